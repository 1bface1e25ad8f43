"""What a feeder is told: two files in the instance's folder, and the identity of each object.

pipes/CHANNEL.json      the header
pipes/CHANNEL.records   one line a record: a JSON array of its parts
pipes/CHANNEL.lock      held as long as a feeder lives
pipes/CHANNEL.begun     there once one has made a FIFO
pipes/CHANNEL.failure   why it could not go on
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from intermodal_engine.lifecycle.pipes.program.instance import PIPES
from intermodal_engine.lifecycle.pipes.program.recordio import RECORD_LIMIT_BYTES


class PipeTooLargeError(Exception):
    """An object does not fit into a RecordIO record; the message names it."""


class Header(TypedDict):
    """The header as it is on disk; see `Pipe`."""

    channel: str
    instance_folder: str
    data_folder: str
    is_gzip: bool
    is_record_io: bool
    shuffle_seed: int | None
    host_index: int
    host_count: int


@dataclass(frozen=True, slots=True)
class FilePart:
    """An object to stream.

    Attributes:
        path: the file that holds it.
        uri: what to call it.
    """

    path: Path
    uri: str


Part = str | FilePart
"""Text to stream, or an object."""


@dataclass(frozen=True, slots=True)
class Pipe:
    """A channel in Pipe mode, for one instance.

    Attributes:
        channel: its name.
        data_folder: `/opt/ml/input/data` on the host.
        is_gzip: objects are decompressed.
        is_record_io: each part becomes a RecordIO record.
        shuffle_seed: records are shuffled by this and the epoch; None: they come in order.
        host_index: which of the hosts that share the records.
        host_count: how many share them; 1 if each gets all.
    """

    channel: str
    data_folder: Path
    is_gzip: bool
    is_record_io: bool
    shuffle_seed: int | None
    host_index: int
    host_count: int

    def write(self, instance_folder: Path, records: Iterable[Sequence[Part]]) -> None:
        """Writes the plan; the objects' versions are those of this moment.

        Raises:
            FileNotFoundError: an object has gone.
            PipeTooLargeError: one does not fit into a RecordIO record.
        """
        folder = instance_folder / PIPES
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{self.channel}.records").open("w", encoding="utf-8") as file:
            for parts in records:
                entries = [part if isinstance(part, str) else self._entry(part) for part in parts]
                file.write(json.dumps(entries) + "\n")
        header = {
            **asdict(self),
            "instance_folder": str(instance_folder),
            "data_folder": str(self.data_folder),
        }
        (folder / f"{self.channel}.json").write_text(json.dumps(header), encoding="utf-8")

    def _entry(self, part: FilePart) -> list[str | int]:
        status = part.path.stat()
        if self.is_record_io and not self.is_gzip and status.st_size >= RECORD_LIMIT_BYTES:
            raise PipeTooLargeError(
                f"`{part.uri}` has {status.st_size} bytes; a RecordIO record has less than 512 MiB"
            )
        return [str(part.path), part.uri, status.st_size, status.st_mtime_ns, status.st_ino]
