"""Whether the file system of the home has room, as far as a drill says that it has none."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ROWS_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


class Space:
    """What everybody asks who is about to write into the home.

    Args:
        home: the folder.
        now: epoch seconds.
    """

    def __init__(self, home: Path, now: Callable[[], float]) -> None:
        self._home = home
        self._now = now
        self._full_until = 0.0

    def fill(self, until: float) -> None:
        """There is none until then (epoch seconds); a time that is over gives it free."""
        self._full_until = until

    @property
    def is_full(self) -> bool:
        """Whether there is none."""
        return self._now() < self._full_until

    def check(self) -> None:
        """Makes sure that something can be written.

        Raises:
            OSError: ENOSPC, as the kernel would say it.
        """
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._home))


@contextmanager
def tidying() -> Iterator[None]:
    """What the block does can wait: where the disk is full it is passed over."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if not is_disk_full(error):
            raise


def rows_full() -> sqlite3.OperationalError:
    """What SQLite says where the disk is full."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return error


def is_disk_full(error: BaseException) -> bool:
    """Whether that is what happened, to a file or to rows."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return getattr(error, "sqlite_errorcode", None) in _ROWS_FULL
