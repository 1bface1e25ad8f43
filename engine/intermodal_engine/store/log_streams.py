"""Log groups and streams: one append-only file a stream, `<epoch ms> <text>` a line.

Supervisors append to these files directly, whether an engine runs or not. A last line without its
line feed is still being written and does not count yet. Places in a stream are byte offsets.
A message with several lines, which only PutLogEvents brings, has a tab before each further one.
What a client is told is durable; what supervisors append is not asked for by anybody.
"""

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from intermodal_engine import folders

SUFFIX = ".log"
_TAIL_BYTES = 64 * 1024
_LOCKS = 16
"""Streams share them, so that those of two streams rarely wait for each other."""
_LINE = re.compile(rb"(\d{1,19}) (.*)", re.DOTALL)


class NoSuchGroupError(Exception):
    """There is no such log group."""


class NoSuchStreamError(Exception):
    """There is no such log stream."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line.

    Attributes:
        timestamp_ms: epoch milliseconds.
        message: the line without its line feed.
        offset: where the line begins in its stream, in bytes.
        end: where the next one begins.
    """

    timestamp_ms: int
    message: str
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class LogStream:
    """One stream.

    Attributes:
        group: name of its group.
        name: its name.
        path: its file.
        created_at: epoch seconds.
        modified_at: epoch seconds of the last write.
        size_bytes: of the file.
    """

    group: str
    name: str
    path: Path
    created_at: float
    modified_at: float
    size_bytes: int


class LogStreams:
    """All log streams below one folder.

    Args:
        root: a folder a group, a file a stream.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def path(self, group: str, stream: str) -> Path:
        """The file of a stream, there or not; a stream exists as soon as its file does."""
        return self._root / _escape(group) / (_escape(stream) + SUFFIX)

    def groups(self, prefix: str = "") -> list[str]:
        """Names of the groups that begin with `prefix`, sorted."""
        if not self._root.is_dir():
            return []
        names = (unquote(one.name) for one in self._root.iterdir() if one.is_dir())
        return sorted(name for name in names if name.startswith(prefix))

    def streams(self, group: str, prefix: str = "") -> list[LogStream]:
        """The streams of a group that begin with `prefix`, sorted by name.

        A stream that is deleted meanwhile may be among them, and its file not be there any more.

        Raises:
            NoSuchGroupError: no such group.
        """
        folder = self._root / _escape(group)
        if not _is_there(folder):
            raise NoSuchGroupError(group)
        found: list[LogStream] = []
        for path in folder.glob(f"*{SUFFIX}"):
            if _name_of(path).startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    found.append(_stream(group, path))
        return sorted(found, key=lambda stream: stream.name)

    def stream(self, group: str, name: str) -> LogStream:
        """One stream.

        Raises:
            NoSuchGroupError: no such group.
            NoSuchStreamError: no such stream.
        """
        path = self.path(group, name)
        if not _is_there(path.parent):
            raise NoSuchGroupError(group)
        if not _is_there(path):
            raise NoSuchStreamError(name)
        return _stream(group, path)

    def create_group(self, group: str) -> None:
        """Makes a group, durably.

        Raises:
            FileExistsError: it is there.
        """
        (self._root / _escape(group)).mkdir(parents=True)
        folders.sync(self._root)

    def created_at(self, group: str) -> float:
        """When a group was made, in epoch seconds; no later than its oldest stream.

        Raises:
            NoSuchGroupError: no such group.
        """
        folder = self._root / _escape(group)
        if not _is_there(folder):
            raise NoSuchGroupError(group)
        made_at = folder.stat().st_mtime
        return min([made_at, *(stream.created_at for stream in self.streams(group))])

    def delete_group(self, group: str) -> None:
        """Removes a group and its streams, durably.

        Raises:
            NoSuchGroupError: no such group.
        """
        for stream in self.streams(group):
            stream.path.unlink(missing_ok=True)
        (self._root / _escape(group)).rmdir()
        folders.sync(self._root)

    def create_stream(self, group: str, name: str) -> None:
        """Makes a stream without events, durably.

        Raises:
            NoSuchGroupError: no such group.
            FileExistsError: it is there.
        """
        path = self.path(group, name)
        try:
            path.touch(exist_ok=False)
        except FileNotFoundError as error:
            raise NoSuchGroupError(group) from error
        folders.sync(path.parent)

    def delete_stream(self, group: str, name: str) -> None:
        """Removes a stream, durably.

        Raises:
            NoSuchGroupError: no such group.
            NoSuchStreamError: no such stream.
        """
        path = self.stream(group, name).path
        path.unlink(missing_ok=True)
        folders.sync(path.parent)

    def append(self, group: str, name: str, events: Iterable[tuple[int, str]]) -> None:
        """Adds events, given as epoch milliseconds and message, durably; all or none.

        Raises:
            NoSuchGroupError: no such group.
            NoSuchStreamError: no such stream.
            OSError: the disk has no room.
        """
        path = self.stream(group, name).path
        lock = self._locks[hash(path) % len(self._locks)]
        lines = (f"{at} {text}".replace("\n", "\n\t") + "\n" for at, text in events)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            with lock:  # what another one is about to write is not torn
                _append(file, "".join(lines).encode("utf-8", "replace"))
        finally:
            os.close(file)


def append_lines(path: Path, timestamp_ms: int, lines: Iterable[str]) -> None:
    """Adds lines of the engine's own to a stream's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{timestamp_ms} {line}\n" for line in lines)
    with path.open("ab") as file:
        file.write(text.encode("utf-8", "replace"))


def _append(file: int, data: bytes) -> None:
    """Appends durably; what could not be written whole goes again, unless more came behind it."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        data = b"\n" + data  # a line that was torn when the machine went down
    written = 0
    try:
        while written < len(data):
            written += os.write(file, data[written:])
        os.fsync(file)
    except OSError:
        if os.fstat(file).st_size == size + written:
            os.ftruncate(file, size)
        raise


def last_lines(path: Path, count: int) -> list[str]:
    """The texts of the last complete lines, in order; empty where there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - _TAIL_BYTES)
            file.seek(begin)
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    whole = lines if begin == 0 else lines[1:]
    return [parse_event([line + b"\n"], 0).message for line in whole[-count:]]


def parse_event(lines: list[bytes], offset: int) -> LogEvent:
    """The event that complete lines stand for, the first of which begins at `offset`.

    A line that nobody stamped counts as written at the beginning of time.
    """
    match = _LINE.fullmatch(lines[0][:-1])
    timestamp, text = (int(match[1]), match[2]) if match else (0, lines[0][:-1])
    message = b"\n".join([text, *(line[1:-1] for line in lines[1:])])
    end = offset + sum(map(len, lines))
    return LogEvent(timestamp, message.decode("utf-8", "replace"), offset, end)


def _stream(group: str, path: Path) -> LogStream:
    status = path.stat()
    return LogStream(group, _name_of(path), path, status.st_ctime, status.st_mtime, status.st_size)


def _name_of(path: Path) -> str:
    return unquote(path.name.removesuffix(SUFFIX))


def _is_there(path: Path) -> bool:
    """Whether a folder or a file exists; none can whose name no file system holds."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _escape(name: str) -> str:
    """A name as one file name; `/` and whatever else a file name cannot hold are escaped."""
    return (
        quote(name, safe="-_.=+@ ").replace("..", "%2E%2E")
        if name not in {".", ".."}
        else (name.replace(".", "%2E"))
    )
