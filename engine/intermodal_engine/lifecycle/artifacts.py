"""What a training job leaves behind: `/opt/ml/model` and `/opt/ml/output/data`, into S3."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from intermodal_contract.artifact import pack_files
from intermodal_contract.channel import S3Uri
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.store.objects import ObjectStore


class ArtifactUploader:
    """Puts a job's output into S3.

    Args:
        objects: where to.
        scratch: folder for archives in the making, on the objects' file system.
    """

    def __init__(self, objects: ObjectStore, scratch: Path) -> None:
        self._objects = objects
        self._scratch = scratch

    def upload_model(self, hosts: Sequence[TrainingPaths], output: S3Uri, compressed: bool) -> str:
        """Uploads the merged model folders of all hosts below `output`.

        Returns:
            The S3 URI for `ModelArtifacts.S3ModelArtifacts`.
        """
        files = _merged([paths.model for paths in hosts])
        if compressed:
            return self._upload_archive(files, output, "model.tar.gz")
        self._upload_files(files, output, "model")
        return f"s3://{output.bucket}/{output.key}model/"

    def upload_output_data(
        self, hosts: Sequence[TrainingPaths], output: S3Uri, compressed: bool
    ) -> None:
        """Uploads the merged `/opt/ml/output/data` folders, if a script wrote any."""
        files = _merged([paths.output_data for paths in hosts])
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


def _merged(folders: Sequence[Path]) -> dict[str, Path]:
    """Regular files of all folders by relative path; where two hosts wrote one, the first's."""
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                files.setdefault(path.relative_to(folder).as_posix(), path)
    return files
