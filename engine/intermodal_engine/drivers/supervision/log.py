"""The instance's log: lines `<epoch ms> <text>`, appended as they come."""

import os
import time

CHUNK_BYTES = 65_536
LINE_LIMIT_BYTES = 262_144
"""Longer lines are split, never inside a UTF-8 character."""


class Log:
    """Appends what a pipe yields. A full disk loses lines, never the program."""

    def __init__(self, path: str) -> None:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
        self.fd = os.open(path, flags, 0o644)
        self.rest = b""
        self.lost_bytes = 0
        self.error: OSError | None = None

    def pump(self, pipe: int) -> bool:
        """Moves what is there; False once the pipe is at its end."""
        try:
            data = os.read(pipe, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if data:
            self.take(data)
        return bool(data)

    def drain(self, pipe: int) -> None:
        """Moves what is left, waits for nobody who still holds the pipe, and ends the last line."""
        try:
            while data := os.read(pipe, CHUNK_BYTES):
                self.take(data)
        except BlockingIOError:
            pass
        if self.rest:
            self.write(self.rest)
            self.rest = b""

    def take(self, data: bytes) -> None:
        """Writes whole lines and keeps the beginning of the next."""
        data = self.rest + data
        while len(data) > LINE_LIMIT_BYTES and data.find(b"\n", 0, LINE_LIMIT_BYTES + 1) < 0:
            cut = character_boundary(data, LINE_LIMIT_BYTES)
            self.write(data[:cut])
            data = data[cut:]
        lines, newline, self.rest = data.rpartition(b"\n")
        if newline:
            self.write(lines)

    def write(self, lines: bytes) -> None:
        """Stamps lines (without their last newline) and appends them."""
        stamp = b"%d " % (time.time_ns() // 1_000_000)
        try:
            lines.decode()
        except UnicodeDecodeError:
            lines = lines.decode(errors="replace").encode()
        data = stamp + lines.replace(b"\n", b"\n" + stamp) + b"\n"
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.lost_bytes += len(data)
            self.error = error


def character_boundary(data: bytes, at: int) -> int:
    """`at`, or up to three bytes before it, so that no UTF-8 character is cut."""
    for cut in range(at, at - 4, -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return at
