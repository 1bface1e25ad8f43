"""The few durable steps on a file system that a write is made of; a test can put its own there."""

import ctypes
import errno
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from intermodal_engine import folders
from intermodal_engine.store.objects.errors import StorageFullError
from intermodal_engine.store.space import Space, is_disk_full

_NO_COPY_IN_KERNEL = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_SYNC_FILE_RANGE_WRITE = 2
_COPY_BYTES = 1 << 20


class Disk:
    """Writes, copies, renames and makes durable.

    Args:
        space: says whether anything can be written; None: the disk itself does.
    """

    _space: Space | None = None

    def __init__(self, space: Space | None = None) -> None:
        self._space = space

    def create(self, path: Path) -> int:
        """A new file, open for reading and writing."""
        self._check()
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, file: int, offset: int, data: bytes) -> None:
        """Writes all of `data` and tells the kernel to begin moving it to the disk."""
        view = memoryview(data)
        self._check()
        while view:
            written = os.pwrite(file, view, offset)
            _begin_writeback(file, offset, written)
            view, offset = view[written:], offset + written

    def copy(self, source: int, start: int, size_bytes: int, target: int, offset: int) -> None:
        """Copies a range between two files, in the kernel where it can."""
        self._check()
        while size_bytes > 0:
            copied = _copy_once(source, start, min(size_bytes, 64 * _COPY_BYTES), target, offset)
            if copied == 0:
                raise EOFError("the file ended before the range did")
            _begin_writeback(target, offset, copied)
            start, offset, size_bytes = start + copied, offset + copied, size_bytes - copied

    def sync(self, file: int) -> None:
        """Makes an open file's content durable."""
        os.fsync(file)

    def sync_folder(self, folder: Path) -> None:
        """Makes a folder's entries durable; one that is gone meanwhile needs none."""
        folders.sync(folder)

    def replace(self, source: Path, target: Path) -> None:
        """Renames over what is there."""
        source.replace(target)

    def remove(self, file: Path) -> None:
        """Removes a file; one that is gone already is fine."""
        file.unlink(missing_ok=True)

    def _check(self) -> None:
        if self._space is not None:
            self._space.check()


def new_name() -> str:
    """A name that nobody has used."""
    return secrets.token_hex(16)


@contextmanager
def errors_of(folder: Path) -> Iterator[None]:
    """Turns a full disk, which rows may meet as well, into the store's own error.

    Raises:
        StorageFullError: the file system or a quota has no room left.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if is_disk_full(error):
            raise StorageFullError(str(folder)) from error
        raise


def check_room(folder: Path, size_bytes: int) -> None:
    """Refuses early what cannot fit.

    Raises:
        StorageFullError: fewer bytes than that are free.
    """
    status = os.statvfs(folder)
    if size_bytes > status.f_bavail * status.f_frsize:
        raise StorageFullError(str(folder))


def _copy_once(source: int, start: int, size_bytes: int, target: int, offset: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, size_bytes, start, offset)
        except OSError as error:
            if error.errno not in _NO_COPY_IN_KERNEL:
                raise
    return os.pwrite(target, os.pread(source, min(size_bytes, _COPY_BYTES), start), offset)


def _begin_writeback(file: int, offset: int, size_bytes: int) -> None:
    """Starts the write-out early, so that the final fsync finds little to do; never waits."""
    function = _sync_file_range()
    if function is not None and size_bytes >= _COPY_BYTES // 4:
        function(file, offset, size_bytes, _SYNC_FILE_RANGE_WRITE)


@lru_cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function
