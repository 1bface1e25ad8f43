"""What is known of files in their places: their rows, or what their bytes say where none fits."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from intermodal_engine.store.objects.info import ObjectInfo
from intermodal_engine.store.objects.layout import Layout
from intermodal_engine.store.objects.rows import Details, Row, Rows
from intermodal_engine.store.objects.tree import Found

_LOCKS = 64
_ATTEMPTS = 3
_SETTLED_S = 0.05


class Catalogue:
    """Describes objects; an unknown file gets its ETag here, once.

    Args:
        layout: finds files.
        rows: remembers.
    """

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self._layout = layout
        self._rows = rows
        self._key_locks = [threading.Lock() for _ in range(_LOCKS)]
        self._being_written: set[tuple[str, str]] = set()

    @contextmanager
    def writing(self, bucket: str, key: str) -> Iterator[None]:
        """Held by whoever changes the key's object: one at a time, and its rows stay untouched."""
        with self._key_locks[hash((bucket, key)) % _LOCKS]:
            self._being_written.add((bucket, key))
            try:
                yield
            finally:
                self._being_written.discard((bucket, key))

    def describe(self, bucket: str, files: Sequence[Found]) -> list[ObjectInfo]:
        """What is known of each; bytes are read only of files that no row fits."""
        rows = self._rows.of(bucket, files)
        described, new = [], []
        for found in files:
            row = rows.get(found.key)
            if row is None:
                read = self._read(found)
                if read is None:
                    continue  # gone since it was found
                found, row = read
                new.append((found, row))
            described.append(self.info(bucket, found, row))
        self._remember(bucket, new)
        return described

    def describe_anew(self, info: ObjectInfo, details: Details) -> bool:
        """Changes the details of the object as `info` saw it; False where it is no longer there."""
        with self._key_locks[hash((info.bucket, info.key)) % _LOCKS]:
            found = self._layout.find(info.bucket, info.key)
            current = self.describe(info.bucket, [found]) if found else []
            if found is None or not current or current[0].etag != info.etag:
                return False
            self._rows.add(info.bucket, found, Row(info.etag, details), keep=None)
        return True

    @staticmethod
    def info(bucket: str, found: Found, row: Row) -> ObjectInfo:
        """A file and its row as one."""
        status = found.status
        modified_at = status.st_mtime_ns / 1e9
        return ObjectInfo(
            bucket, found.key, found.path, status.st_size, row.etag, modified_at, row.details
        )

    def _read(self, found: Found) -> tuple[Found, Row] | None:
        """The ETag of the file as it is, with the status that it had meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                with found.path.open("rb") as file:
                    before = os.fstat(file.fileno())
                    digest = hashlib.file_digest(file, _md5)
                    after = os.fstat(file.fileno())
            except FileNotFoundError:
                return None
            found = Found(found.key, found.path, after)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                break
        return found, Row(digest.hexdigest(), Details())

    def _remember(self, bucket: str, new: list[tuple[Found, Row]]) -> None:
        # The file system's clock is coarse: what changed just now may change again unnoticed.
        settled = [
            (found, row)
            for found, row in new
            if abs(time.time() - found.status.st_mtime) > _SETTLED_S
        ]
        if settled:
            self._rows.note(bucket, settled, lambda found: self._is_current(bucket, found))

    def _is_current(self, bucket: str, found: Found) -> bool:
        if (bucket, found.key) in self._being_written:
            return False
        try:
            status = found.path.stat()
        except OSError:
            return False
        return (status.st_ino, status.st_size, status.st_mtime_ns) == (
            found.status.st_ino,
            found.status.st_size,
            found.status.st_mtime_ns,
        )


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)
