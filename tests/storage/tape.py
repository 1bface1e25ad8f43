"""What `recorder.c` recorded, and the recorder's controls."""

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

SOURCE = Path(__file__).with_name("recorder.c")
_HEAD = struct.Struct("<IIIQQQ")
_CONTROL = struct.Struct("<qqqq")
_NEVER = (1 << 63) - 1


class Kind(IntEnum):
    """What happened; the numbers are the recorder's."""

    MARK = 0
    CREATE = 1
    TRUNCATE = 2
    WRITE = 3
    SYNC = 4
    SYNC_FOLDER = 5
    RENAME = 6
    UNLINK = 7
    MKDIR = 8
    RMDIR = 9
    LINK = 10
    SYMLINK = 11
    TOUCH = 12
    MODE = 13


@dataclass(frozen=True, slots=True)
class Event:
    """One change.

    Attributes:
        kind: of the change.
        path: absolute, where a name is changed; of a link: what it leads to.
        second: the new name of a rename or a link.
        file: number of the file's node, where content is changed or a file is made.
        number: an offset or size in bytes, a mode, or nanoseconds since the epoch, by the kind.
        data: what was written.
    """

    kind: Kind
    path: str
    second: str
    file: int
    number: int
    data: bytes


class Recorder:
    """Records what a process does below a folder.

    Args:
        root: the folder, absolute.
        folder: where the recorder's own files lie; not below `root`.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.tape = folder / "tape"
        self.tape.touch()
        control = folder / "control"
        control.write_bytes(_CONTROL.pack(0, _NEVER, _NEVER, 0))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)
        self.environment = {
            "LD_PRELOAD": str(_built(folder)),
            "RECORDER_ROOT": str(root),
            "RECORDER_TAPE": str(self.tape),
            "RECORDER_CONTROL": str(control),
        }

    def mark(self) -> None:
        """Puts a mark onto the tape: whatever is on it has been before."""
        descriptor = os.open(self.tape, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, _HEAD.pack(Kind.MARK, 0, 0, 0, 0, 0))
        os.close(descriptor)

    @property
    def seen(self) -> int:
        """How many changes that take room there were, failed ones among them."""
        return int(self._values()[0])

    @property
    def failed(self) -> int:
        """How many changes were made to fail."""
        return int(self._values()[3])

    def fail(self, after: int, count: int | None = None) -> None:
        """The disk is full once so many further changes were made: for `count`, or for good."""
        begin = self.seen + after
        end = _NEVER if count is None else begin + count
        # The end first: the recorder reads both while this writes.
        _put(self._control, 16, end)
        _put(self._control, 8, begin)

    def relent(self) -> None:
        """The disk has room again."""
        _put(self._control, 8, _NEVER)

    def _values(self) -> tuple[int, ...]:
        return _CONTROL.unpack(self._control[:])


def compiler() -> str | None:
    """The C compiler that builds the recorder; None where there is none."""
    return shutil.which("cc") or shutil.which("gcc")


def events(tape: Path) -> Iterator[Event]:
    """What is on a tape, in order."""
    recorded = memoryview(tape.read_bytes())
    place = 0
    while place < len(recorded):
        kind, first, second, file, number, length = _HEAD.unpack_from(recorded, place)
        ends = [place + _HEAD.size]
        for size in (first, second, length):
            ends.append(ends[-1] + size)
        path, other, data = (bytes(recorded[a:b]) for a, b in pairwise(ends))
        yield Event(Kind(kind), os.fsdecode(path), os.fsdecode(other), file, number, data)
        place = ends[-1]


def _built(folder: Path) -> Path:
    found = compiler()
    assert found is not None
    library = folder / "recorder.so"
    flags = ("-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-ldl")
    command = [found, *flags, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


def _put(control: mmap.mmap, offset: int, value: int) -> None:
    control[offset : offset + 8] = struct.pack("<q", value)
