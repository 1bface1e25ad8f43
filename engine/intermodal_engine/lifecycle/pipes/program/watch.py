"""Waits for several things at once: files that appear or are opened, processes that end."""

from __future__ import annotations

import ctypes
import os
import select
import struct

IN_OPEN, IN_MOVED_TO, IN_DELETE = 0x20, 0x80, 0x200

_EVENT = struct.Struct("iIII")
_EVENTS_BYTES = 65_536


class Watch:
    """What the kernel tells of files (inotify) and of processes (pidfds)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._check(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._poll = select.poll()
        self._poll.register(self._inotify, select.POLLIN)

    def watch_file(self, path: str, mask: int) -> int:
        """Has events of a file, or of what is in a folder, reported under the returned number."""
        return self._check(self._libc.inotify_add_watch(self._inotify, os.fsencode(path), mask))

    def forget_file(self, number: int) -> None:
        """No more events under that number; those that came already are told all the same."""
        self._libc.inotify_rm_watch(self._inotify, number)

    def watch_process(self, pidfd: int) -> None:
        """Has the end of a process reported."""
        self._poll.register(pidfd, select.POLLIN)

    def forget_process(self, pidfd: int) -> None:
        """No more word of that process."""
        self._poll.unregister(pidfd)

    def wait(self) -> tuple[list[tuple[int, int]], list[int]]:
        """Waits until something happens.

        Returns:
            Events of files as `(number, mask)`, and the pidfds of processes that have ended.
        """
        ready = [fd for fd, _ in self._poll.poll()]
        events = self._events() if self._inotify in ready else []
        return events, [fd for fd in ready if fd != self._inotify]

    def _events(self) -> list[tuple[int, int]]:
        data = os.read(self._inotify, _EVENTS_BYTES)
        found, at = [], 0
        while at < len(data):
            number, mask, _, name_bytes = _EVENT.unpack_from(data, at)
            at += _EVENT.size + name_bytes
            found.append((number, mask))
        return found

    def _check(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inotify: {os.strerror(number)}")
        return result
