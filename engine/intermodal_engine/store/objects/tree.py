"""A bucket's folder read in the order of its keys, from any key on; what is skipped is not read.

Keys come in the order of their UTF-8 bytes, which is the order of Python's strings. A file sorts by
its component, a folder by its component and `/`: that is where the first key in it sorts.
"""

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from intermodal_engine.store.objects import keys

_LAST_CODE_POINT = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Found:
    """One object's file.

    Attributes:
        key: its key.
        path: the file.
        status: of the file, at the moment of finding.
    """

    key: str
    path: Path
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class CommonPrefix:
    """All objects whose keys begin alike up to the delimiter, rolled up into one."""

    text: str


@dataclass(slots=True)
class _Frame:
    """A folder that is being walked.

    Attributes:
        prefix: what every key in it begins with.
        path: of the folder, relative to the bucket's.
        names: what its entries sort by, in order; a folder's ends with `/`.
        elsewhere: paths of the entries whose name on disk is not their name in the key.
        position: index of the next name.
    """

    prefix: str
    path: str
    names: list[str]
    elsewhere: dict[str, str]
    position: int = 0

    def take(self) -> tuple[str, str]:
        """The next entry's sorting name and its path relative to the bucket."""
        name = self.names[self.position]
        self.position += 1
        return name, self.elsewhere.get(name) or _join(self.path, name.removesuffix("/"))


@dataclass(slots=True)
class Walk:
    """Iterates over a bucket's objects in the order of keys.

    Args:
        bucket: the bucket's folder.
        root: the store's folder, resolved; links that lead out of it are not followed.
        prefix: only keys that begin with it.
        start: only keys that are not less.
        delimiter: keys that hold it behind the prefix are rolled up; empty for none.
    """

    bucket: Path
    root: Path
    prefix: str = ""
    start: str = ""
    delimiter: str = ""
    _stack: list[_Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begins in the deepest folder that holds all of the wanted keys."""
        folder = self.prefix[: self.prefix.rfind("/") + 1]
        path = keys.folder_of(folder)
        if is_real_folder(self.bucket / path):
            self._enter(folder, path)

    def __iter__(self) -> Iterator[Found | CommonPrefix]:
        return self

    def __next__(self) -> Found | CommonPrefix:
        while self._stack:
            frame = self._stack[-1]
            if frame.position >= len(frame.names):
                self._stack.pop()
                continue
            name, path = frame.take()
            if found := self._visit(frame.prefix + name, path, is_folder=name.endswith("/")):
                return found
        raise StopIteration

    def _visit(self, key: str, path: str, *, is_folder: bool) -> Found | CommonPrefix | None:
        common = self.common_prefix(key)
        if is_folder and (common is None or self.start.startswith(key)):
            self._enter(key, path)
            return None
        found = None if is_folder else self._file(key, path)
        if common is None:
            return found
        if found or (is_folder and self._holds_any(path)):
            self._skip(common)
            return CommonPrefix(common)
        return None

    def common_prefix(self, key: str) -> str | None:
        """What `key` is rolled up into, if anything."""
        if not self.delimiter:
            return None
        end = key.find(self.delimiter, len(self.prefix))
        return None if end < 0 else key[: end + len(self.delimiter)]

    def _skip(self, prefix: str) -> None:
        """Goes on behind every key that begins with `prefix`."""
        while self._stack and self._stack[-1].prefix.startswith(prefix):
            self._stack.pop()
        if self._stack:
            frame = self._stack[-1]
            frame.position = max(
                frame.position, _first_behind(frame.names, prefix[len(frame.prefix) :])
            )

    def _enter(self, prefix: str, path: str) -> None:
        """Pushes the folder's frame, narrowed to the entries that can hold wanted keys."""
        frame = self._frame(prefix, path)
        first, end = 0, len(frame.names)
        if len(self.prefix) > len(prefix):
            wanted = self.prefix[len(prefix) :]
            first, end = bisect_left(frame.names, wanted), _first_behind(frame.names, wanted)
        if self.start > prefix:
            if not self.start.startswith(prefix):
                return
            folder, slash, _ = self.start[len(prefix) :].partition("/")
            first = max(first, bisect_left(frame.names, folder + slash))
        del frame.names[end:]
        frame.position = first
        self._stack.append(frame)

    def _frame(self, prefix: str, path: str) -> _Frame:
        frame = _Frame(prefix, path, [], {})
        beside: dict[str, str] = {}
        self._collect(frame, path, "", beside)
        plain = set(frame.names) if beside else set()
        for name in beside.keys() - plain:
            frame.names.append(name)
            frame.elsewhere[name] = beside[name]
        frame.names.sort()
        return frame

    def _collect(self, frame: _Frame, path: str, start: str, beside: dict[str, str]) -> None:
        """Adds a folder's entries to the frame; pieces of long components are joined."""
        for entry in _entries(self.bucket / path):
            name = keys.read_name(entry.name)
            if name is None:
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            below = _join(path, entry.name)
            text = start + name.text
            if name.continues and is_folder:
                self._collect(frame, below, text, beside)
            elif name.beside and not is_folder:
                beside[text] = below
            elif not name.continues and not name.beside:
                frame.names.append(text + "/" if is_folder else text)
                if text != entry.name:
                    frame.elsewhere[frame.names[-1]] = below

    def _file(self, key: str, path: str) -> Found | None:
        if path != key and path not in (keys.path_of(key), keys.beside_path_of(key)):
            return None  # a piece of a name that is too short to be one of ours
        file = self.bucket / path
        status = status_of(file, self.root)
        return None if status is None else Found(key, file, status)

    def _holds_any(self, path: str) -> bool:
        """Whether any object lies in the folder; reads no more than it must."""
        folders = []
        for entry in _entries(self.bucket / path):
            if keys.read_name(entry.name) is None:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif status_of(Path(entry.path), self.root):
                return True
        return any(self._holds_any(_join(path, name)) for name in folders)


def successor(prefix: str) -> str | None:
    """The least string greater than every string that begins with `prefix`; None if none is."""
    while prefix:
        last = ord(prefix[-1])
        if last < _LAST_CODE_POINT:
            return prefix[:-1] + chr(last + 1)
        prefix = prefix[:-1]
    return None


def status_of(file: Path, root: Path) -> os.stat_result | None:
    """The regular file's status; None where there is none, or a link leads out of `root`."""
    try:
        status = file.lstat()
        if stat.S_ISLNK(status.st_mode):
            if not file.resolve(strict=True).is_relative_to(root):
                return None
            status = file.stat()
    except (OSError, RuntimeError):  # not there, no folder, a name too long, links in a circle
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return


def is_real_folder(folder: Path) -> bool:
    """Whether it is a folder and no link leads to it; `folder` is absolute."""
    try:
        return stat.S_ISDIR(folder.lstat().st_mode) and folder.resolve() == folder
    except (OSError, RuntimeError):  # pathlib raises the latter for links in a circle
        return False


def _first_behind(names: list[str], prefix: str) -> int:
    end = successor(prefix)
    return len(names) if end is None else bisect_left(names, end)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
