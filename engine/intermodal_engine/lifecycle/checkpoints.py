"""Checkpoints: restored before a job starts, kept in S3 while it runs.

What the script writes is copied aside first and uploaded only if it did not change meanwhile; a
file that is being written is taken at the next look. Nothing is ever deleted in S3.
"""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from intermodal_contract.channel import S3Uri
from intermodal_engine.folders import FOLDERS_DEEP, below
from intermodal_engine.lifecycle.failure import shorten
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore

_SHOWN_PATH = 80

_Seen = dict[str, tuple[int, int]]


class CheckpointKeeper:
    """Keeps the checkpoint folders of jobs and S3 in step.

    Args:
        objects: where checkpoints are kept.
        scratch: folder for copies, on the objects' file system.
    """

    def __init__(self, objects: ObjectStore, scratch: Path) -> None:
        self._objects = objects
        self._scratch = scratch
        self._uploaded: dict[Path, _Seen] = {}
        self._left_out: dict[Path, set[str]] = {}

    def restore(self, uri: S3Uri, folder: Path) -> int:
        """Copies what is in S3 into an instance's folder.

        Returns:
            How many files there are.
        """
        folder.mkdir(parents=True, exist_ok=True)
        seen: _Seen = {}
        try:
            for info in self._objects.iterate(uri.bucket, uri.key):
                relative = info.key.removeprefix(uri.key)
                destination = folder / relative
                inside = destination.resolve().is_relative_to(folder.resolve())
                if info.key.endswith("/") or not inside:
                    continue
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(info.path, destination)
                seen[relative] = _identity(destination)
        except NoSuchBucketError:
            return 0  # the first upload says so, by name
        self._uploaded[folder] = seen
        return len(seen)

    def sync(self, folder: Path, uri: S3Uri) -> list[str]:
        """Uploads what has changed in an instance's folder since the last look.

        Returns:
            What its owner should know and was not told yet: what is left out.

        Raises:
            NoSuchBucketError: the bucket is gone.
        """
        seen = self._uploaded.setdefault(folder, {})
        told = self._left_out.setdefault(folder, set())
        notes = []
        for relative, path, is_too_deep in _files(folder):
            if is_too_deep:
                if relative not in told:
                    notes.append(_too_deep(relative, uri))
                told.add(relative)
                continue
            try:
                before = _identity(path)
                if seen.get(relative) == before:
                    continue
                copy = self._copy(path)
                try:
                    if _identity(path) == before:
                        self._objects.put_file(uri.bucket, uri.key + relative, copy)
                        seen[relative] = before
                finally:
                    copy.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # the script replaced or removed it meanwhile
        return notes

    def forget(self, folder: Path) -> None:
        """Drops what is remembered of a folder whose instance has ended."""
        self._uploaded.pop(folder, None)
        self._left_out.pop(folder, None)

    def _copy(self, path: Path) -> Path:
        self._scratch.mkdir(parents=True, exist_ok=True)
        copy = self._scratch / uuid.uuid4().hex
        shutil.copyfile(path, copy)
        return copy


def _files(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """Files, and folders that are too deep: relative path, path, which of the two."""
    for path, is_too_deep in below(folder):
        if is_too_deep or (path.is_file() and not path.is_symlink()):
            yield path.relative_to(folder).as_posix(), path, is_too_deep


def _too_deep(relative: str, uri: S3Uri) -> str:
    some = shorten(relative, _SHOWN_PATH).replace("\n", "\\n")
    return (
        f"`{some}` is not kept in s3://{uri.bucket}/{uri.key}: it lies deeper than "
        f"{FOLDERS_DEEP} folders, or its path is too long"
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
