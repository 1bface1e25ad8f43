"""What a disk may hold after a power cut, given what was done to it before.

As POSIX allows it, and as journaling file systems do it at their weakest: names (of files and
folders) change in the order in which they were changed, and how far that got is open, except that
all is there that was done to a folder before its fsync. Content that was written to a file after
its last fsync is there, or not, or as zeros, or half, each write for itself.
"""

import bisect
import hashlib
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TypeVar

from tests.storage.tape import Event, Kind

_BLOCK_BYTES = 512
_NAMES = {
    Kind.CREATE,
    Kind.RENAME,
    Kind.UNLINK,
    Kind.MKDIR,
    Kind.RMDIR,
    Kind.LINK,
    Kind.SYMLINK,
    Kind.MODE,
}
_CONTENT = {Kind.TRUNCATE, Kind.WRITE, Kind.TOUCH}

T = TypeVar("T")


class Loss(Enum):
    """What becomes of what no fsync covers."""

    NOTHING = "nothing is lost"
    """As when only the process was killed."""
    CONTENT = "names stay, content is lost"
    """What journals of names do to files that are renamed without an fsync."""
    ALL = "all is lost"
    RANDOM = "some is lost"


@dataclass(slots=True)
class File:
    """A file of an image.

    Attributes:
        data: its content.
        modified_ns: its time, where one was set.
        mode: its permissions.
    """

    data: bytearray = field(default_factory=bytearray)
    modified_ns: int | None = None
    mode: int = 0o644


@dataclass(slots=True)
class Image:
    """Names below one folder.

    Attributes:
        folders: their paths and permissions.
        files: paths, and the numbers of the nodes of files.
        links: paths of symbolic links, and where they lead.
        nodes: content by number.
    """

    folders: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    nodes: dict[int, File] = field(default_factory=dict)

    def digest(self) -> str:
        """The same for images that are the same."""
        found = hashlib.sha256(repr((sorted(self.folders.items()), sorted(self.links))).encode())
        for path, number in sorted(self.files.items()):
            node = self.nodes[number]
            found.update(f"{path} {len(node.data)} {node.modified_ns}\n".encode())
            found.update(node.data)
        return found.hexdigest()

    def build(self, root: Path) -> dict[int, int]:
        """Makes it at `root`, in the place of what is there; inodes by the numbers of nodes."""
        shutil.rmtree(root, ignore_errors=True)
        for path in sorted(self.folders):
            Path(path).mkdir(parents=True, exist_ok=True)
        made: dict[int, int] = {}
        for path, number in self.files.items():
            node = self.nodes[number]
            Path(path).write_bytes(node.data)
            Path(path).chmod(node.mode)
            if node.modified_ns is not None:
                os.utime(path, ns=(node.modified_ns, node.modified_ns))
            made[number] = Path(path).stat().st_ino
        for path, target in self.links.items():
            Path(path).symlink_to(target)
        for path, mode in sorted(self.folders.items(), reverse=True):
            Path(path).chmod(mode)
        return made


class Disk:
    """All that was done to a disk, from the first event on.

    Args:
        events: from a tape.

    Attributes:
        events: the same, with numbers of files that no other file ever had.
        inodes: the numbers that the tape has for them.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.inodes: dict[int, int] = {}
        self.events = events = self._numbered(events)
        self._names = [number for number, one in enumerate(events) if one.kind in _NAMES]
        self._content: dict[int, list[int]] = {}
        self._syncs: dict[int, list[int]] = {}
        for number, one in enumerate(events):
            if one.kind in _CONTENT:
                self._content.setdefault(one.file, []).append(number)
            elif one.kind is Kind.SYNC:
                self._syncs.setdefault(one.file, []).append(number)

    def after(self, cut: int, loss: Loss, choices: random.Random) -> Image:
        """What is there when the power went before event number `cut`."""
        image = Image()
        for number in self._names[: self._names_kept(cut, loss, choices)]:
            _apply(image, self.events[number])
        for number in set(image.files.values()):
            self._fill(image.nodes[number], number, cut, loss, choices)
        return image

    def _numbered(self, events: Sequence[Event]) -> list[Event]:
        """A file system may give the number of a file that is gone to a new one."""
        found, current = [], dict[int, int]()
        for event in events:
            if event.kind is Kind.CREATE:
                current[event.file] = len(self.inodes) + 1
                self.inodes[current[event.file]] = event.file
            found.append(replace(event, file=current.get(event.file, 0)))
        return found

    def _names_kept(self, cut: int, loss: Loss, choices: random.Random) -> int:
        """How many changes of names are there."""
        most = bisect.bisect_left(self._names, cut)
        if loss in (Loss.NOTHING, Loss.CONTENT):
            return most
        least = self._names_durable(cut)
        return least if loss is Loss.ALL else choices.randint(least, most)

    def _names_durable(self, cut: int) -> int:
        """How many of them an fsync covers, at the least: the last such one and all before it."""
        synced: set[str] = set()
        for number in range(cut - 1, -1, -1):
            event = self.events[number]
            if event.kind is Kind.SYNC_FOLDER:
                synced.add(event.path)
            elif event.kind in _NAMES and synced & _folders_of(event):
                return bisect.bisect_right(self._names, number)
        return 0

    def _fill(self, node: File, number: int, cut: int, loss: Loss, choices: random.Random) -> None:
        syncs = self._syncs.get(number, [])
        before = bisect.bisect_left(syncs, cut)
        durable = syncs[before - 1] if before else -1
        for change in self._content.get(number, []):
            if change >= cut:
                break
            event = self.events[change]
            if change < durable or loss is Loss.NOTHING:
                _write(node, event, event.data)
            elif loss is Loss.RANDOM:
                _write_perhaps(node, event, choices)


def _folders_of(event: Event) -> set[str]:
    """The folders whose entries it changes."""
    names = (event.second,) if event.kind is Kind.SYMLINK else (event.path, event.second)
    return {str(Path(name).parent) for name in names if name}


def _apply(image: Image, event: Event) -> None:
    """Changes the names of an image."""
    path, second = event.path, event.second
    match event.kind:
        case Kind.CREATE:
            image.files[path] = event.file
            image.nodes.setdefault(event.file, File(mode=event.number))
        case Kind.MKDIR:
            image.folders[path] = event.number
        case Kind.UNLINK:
            image.files.pop(path, None)
            image.links.pop(path, None)
        case Kind.RMDIR:
            image.folders.pop(path, None)
        case Kind.LINK:
            image.files[second] = image.files[path]
        case Kind.SYMLINK:
            image.links[second] = path
        case Kind.MODE:
            _change_mode(image, path, event.number)
        case Kind.RENAME:
            _rename(image, path, second)


def _change_mode(image: Image, path: str, mode: int) -> None:
    if path in image.folders:
        image.folders[path] = mode
    elif path in image.files:
        image.nodes[image.files[path]].mode = mode


def _rename(image: Image, old: str, new: str) -> None:
    image.links.pop(new, None)
    _rename_below(image.folders, old, new)
    _rename_below(image.files, old, new)
    _rename_below(image.links, old, new)


def _rename_below(names: dict[str, T], old: str, new: str) -> None:
    for name in [one for one in names if one == old or one.startswith(old + "/")]:
        names[new + name[len(old) :]] = names.pop(name)


def _write(node: File, event: Event, data: bytes) -> None:
    if event.kind is Kind.TOUCH:
        node.modified_ns = event.number
    elif event.kind is Kind.TRUNCATE:
        del node.data[event.number :]
        node.data.extend(bytes(event.number - len(node.data)))
    else:
        end = event.number + len(data)
        node.data.extend(bytes(max(0, end - len(node.data))))
        node.data[event.number : end] = data


def _write_perhaps(node: File, event: Event, choices: random.Random) -> None:
    """There, not there, as zeros, or torn."""
    match choices.randrange(4):
        case 0:
            _write(node, event, event.data)
        case 1 if event.kind is Kind.WRITE:
            _write(node, event, bytes(len(event.data)))
        case 2 if event.kind is Kind.WRITE:
            blocks = choices.randint(0, len(event.data) // _BLOCK_BYTES)
            _write(node, event, event.data[: blocks * _BLOCK_BYTES])
