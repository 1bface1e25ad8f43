"""The instance's log, filled from the daemon's: no line is lost or doubled when an engine dies.

The daemon keeps all output. How far the log has got is on disk (the *cursor*), a little behind: a
time, how many messages since then are in the log, and how large the log was. Who resumes has the
daemon send everything from that time on, passes over as many messages, and then over the lines that
the log turns out to have beyond the size that the cursor knows.

The time is a second older than the newest message: messages of the two streams may stand in the
daemon's log in another order than that of their times.
"""

import base64
import contextlib
import json
import os
import time
from pathlib import Path
from typing import TypedDict

from intermodal_engine.drivers.containers.frames import Frames, Lines, Message

CURSOR_EVERY_S = 0.1
_DISORDER_NS = 1_000_000_000
_WINDOW_NS = 10_000_000_000
"""The cursor's time is moved on when it is so much older than the newest message."""


class Cursor(TypedDict):
    """The cursor as it is on disk.

    Attributes:
        since_ns: messages from this time on are counted.
        count: how many of them are in the log.
        size_bytes: the log's size with them.
        last_ms: time of the last line.
        rests: by stream, what had come of a line, in base 64.
    """

    since_ns: int
    count: int
    size_bytes: int
    last_ms: int
    rests: dict[str, str]


class ContainerLog:
    """Appends a container's output to the log.

    Args:
        path: the log, which others may append lines to as well.
        cursor_file: what is known of it.
        cursor_every_s: how often the cursor is written while output comes.
    """

    def __init__(
        self, path: Path, cursor_file: Path, cursor_every_s: float = CURSOR_EVERY_S
    ) -> None:
        self.lost_bytes = 0
        self.error: OSError | None = None
        self.last_line = b""
        self._cursor_file = cursor_file
        self._cursor_every_s = cursor_every_s
        self._cursor_due = 0.0
        cursor = _read_cursor(cursor_file)
        self._since_ns = cursor["since_ns"]
        self._count = cursor["count"]
        rests = {int(key): base64.b64decode(rest) for key, rest in cursor["rests"].items()}
        self._lines = Lines(rests, cursor["last_ms"])
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644)
        self._expected = _lines_beyond(self._fd, cursor["size_bytes"])
        self.begin()

    @property
    def since(self) -> str:
        """From when on the daemon is to send, as its API takes it."""
        return f"{self._since_ns // 1_000_000_000}.{self._since_ns % 1_000_000_000:09d}"

    def begin(self) -> None:
        """The daemon begins to send, from `since` on."""
        self._frames = Frames()
        self._to_pass_over = self._count
        self._times: list[int] = []

    def take(self, data: bytes) -> None:
        """Takes what the daemon sent."""
        lines: list[bytes] = []
        for message in self._frames.take(data):
            self._times.append(message.time_ns)
            if self._to_pass_over:
                self._to_pass_over -= 1
                continue
            self._count += 1
            lines += self._lines.take(message)
            self._move_on(message)
        self._append(lines)
        if time.monotonic() >= self._cursor_due:
            self._write_cursor()

    def pause(self) -> None:
        """Nothing comes for now; somebody else may go on."""
        self._write_cursor()

    def end(self) -> None:
        """Everything has come."""
        self._append(self._lines.end())
        self._expected = []
        self._write_cursor()

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)

    def _move_on(self, message: Message) -> None:
        """Takes a newer time to count from; all messages since the old one have been seen."""
        if message.time_ns - self._since_ns > _WINDOW_NS:
            self._since_ns = message.time_ns - _DISORDER_NS
            self._times = [one for one in self._times if one >= self._since_ns]
            self._count = len(self._times)

    def _append(self, lines: list[bytes]) -> None:
        """Writes lines, save those that an engine wrote before it died. A full disk loses some."""
        if lines:
            self.last_line = lines[-1].partition(b" ")[2]
        fresh = self._without_expected(lines) if self._expected else lines
        data = b"".join(line + b"\n" for line in fresh)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self.lost_bytes += len(data)
            self.error = error

    def _without_expected(self, lines: list[bytes]) -> list[bytes]:
        for number, line in enumerate(lines):
            if line not in self._expected:
                self._expected = []
                return lines[number:]
            del self._expected[: self._expected.index(line) + 1]
        return []

    def _write_cursor(self) -> None:
        """No fsync: it must outlive an engine, not the machine.

        As long as lines of an engine that died may come again, its cursor is the one that knows.
        """
        if self._expected:
            return
        self._cursor_due = time.monotonic() + self._cursor_every_s
        cursor = Cursor(
            since_ns=self._since_ns,
            count=self._count,
            size_bytes=os.fstat(self._fd).st_size,
            last_ms=self._lines.last_ms,
            rests={
                str(stream): base64.b64encode(rest).decode()
                for stream, rest in self._lines.rests.items()
            },
        )
        temporary = self._cursor_file.with_suffix(".tmp")
        with contextlib.suppress(OSError):  # the disk is full, or the folder gone: it stays behind
            temporary.write_text(json.dumps(cursor))
            temporary.rename(self._cursor_file)


def _read_cursor(path: Path) -> Cursor:
    try:
        cursor: Cursor = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # or torn, when the machine went down
        return Cursor(since_ns=0, count=0, size_bytes=0, last_ms=0, rests={})
    return cursor


def _lines_beyond(fd: int, size_bytes: int) -> list[bytes]:
    """The lines behind a place in the log; a torn last one is cut off, to come again whole."""
    end = os.fstat(fd).st_size
    data = os.pread(fd, max(0, end - size_bytes), size_bytes)
    whole, newline, torn = data.rpartition(b"\n")
    if torn:
        os.ftruncate(fd, end - len(torn))
    return whole.split(b"\n") if newline else []
