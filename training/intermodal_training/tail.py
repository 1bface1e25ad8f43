"""Passes a program's stderr on and remembers its last part."""

import os
import select

_KEPT_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_ERROR_FD = 2


class Tail:
    """One pipe.

    Attributes:
        source: its descriptor.
        is_open: whether more may come.
    """

    def __init__(self, source: int) -> None:
        self.source = source
        self.is_open = True
        self._kept = bytearray()

    def pass_on(self) -> None:
        """Takes what is there; the pipe must have something, or be closed."""
        data = os.read(self.source, _READ_BYTES)
        if not data:
            self.is_open = False
            return
        _write_whole(_ERROR_FD, data)
        self._kept += data
        if len(self._kept) > 2 * _KEPT_BYTES:
            del self._kept[:-_KEPT_BYTES]

    def text(self) -> str:
        """The last part."""
        return bytes(self._kept[-_KEPT_BYTES:]).decode("utf-8", errors="replace")


def _write_whole(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:  # nobody reads our stderr any more; the program goes on
            return
