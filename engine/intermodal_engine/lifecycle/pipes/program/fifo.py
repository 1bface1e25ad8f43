"""One epoch's FIFO: in its place before anybody can miss it, and known to be opened."""

from __future__ import annotations

import fcntl
import os

from intermodal_engine.lifecycle.pipes.program.watch import IN_OPEN, Watch

_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20


class Fifo:
    """The FIFO of one epoch.

    It is held open for reading and writing until a reader comes, so that a reader's open returns at
    once and the kernel tells of it; from then on for writing only, so that a write fails when the
    reader has gone.

    Args:
        folder: descriptor of `/opt/ml/input/data` on the host.
        name: for example `train_0`.
        scratch: folder on the same file system where it is made.
        watch: told to look at it.
    """

    def __init__(self, folder: int, name: str, scratch: str, watch: Watch) -> None:
        self.name = name
        self.is_opened = False
        self._folder = folder
        self._watch = watch
        path = f"{scratch}/{name}.new"
        _remove(path)
        os.mkfifo(path)
        self._held = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._number = watch.watch_file(path, IN_OPEN)
        os.rename(path, name, dst_dir_fd=folder)

    def take(self, events: list[tuple[int, int]]) -> None:
        """Considers what has happened."""
        if any(number == self._number and mask & IN_OPEN for number, mask in events):
            self.is_opened = True

    def open_to_write(self) -> int:
        """The end to write to; only once it is opened."""
        self._watch.forget_file(self._number)
        writer = os.open(f"/proc/self/fd/{self._held}", os.O_WRONLY | os.O_CLOEXEC)
        os.close(self._held)
        try:
            fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            return writer  # over the user's limit for pipes; the usual 64 KiB will do
        return writer

    def remove(self) -> None:
        """Takes it away; who has it open reads on."""
        _remove(self.name, self._folder)


def _remove(path: str, folder: int | None = None) -> None:
    try:
        os.unlink(path, dir_fd=folder)
    except FileNotFoundError:
        return
