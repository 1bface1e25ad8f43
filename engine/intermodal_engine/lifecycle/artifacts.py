"""What a training job leaves behind: `/opt/ml/model` and `/opt/ml/output/data`, into S3."""

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.artifact import pack_files
from intermodal_contract.channel import S3Uri
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.folders import FOLDERS_DEEP
from intermodal_engine.lifecycle.failure import printable
from intermodal_engine.lifecycle.staging import DataMissingError
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore

LEFT_OUT_SHOWN = 5
"""How many paths a message names."""


@dataclass(frozen=True, slots=True)
class UploadedModel:
    """A model in S3.

    Attributes:
        uri: for `ModelArtifacts.S3ModelArtifacts`.
        left_out: paths that could not be kept: links out of the folder, devices, pipes.
    """

    uri: str
    left_out: tuple[str, ...]

    @property
    def remark(self) -> str:
        """What a person should know of it; empty if it is whole."""
        if not self.left_out:
            return ""
        some = ", ".join(f"`{printable(path)}`" for path in self.left_out[:LEFT_OUT_SHOWN])
        return (
            f". {len(self.left_out)} of what is in /opt/ml/model could not be kept (only files, "
            f"folders and links within it can): {some}"
        )


class ArtifactUploader:
    """Puts a job's output into S3.

    Args:
        objects: where to.
        scratch: folder for archives in the making, on the objects' file system.
    """

    def __init__(self, objects: ObjectStore, scratch: Path) -> None:
        self._objects = objects
        self._scratch = scratch

    def upload(
        self, hosts: Sequence[TrainingPaths], output: S3Uri, compressed: bool
    ) -> UploadedModel:
        """Uploads what the hosts have written: models and other output.

        Raises:
            DataMissingError: the bucket does not exist.
        """
        try:
            model = self.upload_model(hosts, output, compressed)
            self.upload_output_data(hosts, output, compressed)
        except NoSuchBucketError as error:
            raise DataMissingError(
                f"ClientError: Artifact upload failed:the bucket `{output.bucket}` of "
                f"`OutputDataConfig.S3OutputPath` does not exist"
            ) from error
        return model

    def upload_model(
        self, hosts: Sequence[TrainingPaths], output: S3Uri, compressed: bool
    ) -> UploadedModel:
        """Uploads the merged model folders of all hosts below `output`."""
        files, left_out = _merged([paths.model for paths in hosts])
        if compressed:
            return UploadedModel(self._upload_archive(files, output, "model.tar.gz"), left_out)
        self._upload_files(files, output, "model")
        return UploadedModel(f"s3://{output.bucket}/{output.key}model/", left_out)

    def upload_output_data(
        self, hosts: Sequence[TrainingPaths], output: S3Uri, compressed: bool
    ) -> None:
        """Uploads the merged `/opt/ml/output/data` folders, if a script wrote any."""
        files, _ = _merged([paths.output_data for paths in hosts])
        if files and compressed:
            self._upload_archive(files, output, "output.tar.gz")
        elif files:
            self._upload_files(files, output, "data")

    def _upload_archive(self, files: Mapping[str, Path], output: S3Uri, name: str) -> str:
        archive = self._making()
        try:
            pack_files(files, archive)
            self._objects.put_file(
                output.bucket,
                output.key + name,
                archive,
                content_type="application/x-tar",
            )
        finally:
            archive.unlink(missing_ok=True)
        return f"s3://{output.bucket}/{output.key}{name}"

    def _upload_files(self, files: Mapping[str, Path], output: S3Uri, folder: str) -> None:
        for relative, path in files.items():
            copy = self._making()
            try:
                shutil.copyfile(path, copy)
                self._objects.put_file(output.bucket, f"{output.key}{folder}/{relative}", copy)
            finally:
                copy.unlink(missing_ok=True)

    def _making(self) -> Path:
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch / uuid.uuid4().hex


def _merged(folders: Sequence[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Files of all folders by relative path, and what cannot be kept.

    A link within its folder counts as what it leads to. Where two hosts wrote one path, the first
    host's is taken.
    """
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            left_out.append(f"{folder.name}/")
            continue
        root = folder.resolve()
        for path, can_be_kept in _below(folder, root, (root,)):
            relative = path.relative_to(folder).as_posix()
            if can_be_kept:
                files.setdefault(relative, path)
            else:
                left_out.append(relative)
    return files, tuple(left_out)


def _below(folder: Path, root: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """Everything below a folder that is no folder itself, and whether it is a file within `root`.

    Args:
        folder: where to look.
        root: resolved; what leads out of it is not followed.
        above: resolved folders on the way here; a link back to one is not followed.
    """
    for path in sorted(folder.iterdir()):
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # leads nowhere, or in a circle
            yield path, False
            continue
        is_inside = real.is_relative_to(root)
        if is_inside and real.is_dir() and real not in above and len(above) < FOLDERS_DEEP:
            yield from _below(path, root, (*above, real))
        else:
            yield path, is_inside and real.is_file()
