"""What a mover is told, and what it leaves: files in its instance's folder.

moved/plan.json     see `Plan`
moved/objects       one line an object: a JSON array, see `ObjectPart`
moved/lock          held as long as a mover lives
moved/mover.json    its pid, start time and boot id
moved/N.out         what the model made of object N, whole
moved/N.failed      why nothing could be made of it
moved/N.published   it is in S3
moved/failure       why the mover could not go on at all
moved/done          it has come to its end
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = "moved"


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """One object of an instance's share.

    Attributes:
        number: names its files.
        path: the file that holds it.
        uri: what to call it.
        size_bytes: its length, modification time and inode when the job began, since an object may
            be replaced meanwhile.
        mtime_ns: see above.
        inode: see above.
        key: of its output.
    """

    number: int
    path: str
    uri: str
    size_bytes: int
    mtime_ns: int
    inode: int
    key: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How the objects of one instance are moved through it.

    Attributes:
        host: where the instance listens.
        port: where the instance listens.
        log: file of the stream that gets what the mover says.
        health_timeout_s: how long `/ping` may take to be answered.
        content_type: of each request; None: none is sent.
        accept: wanted of each answer; None: none is sent.
        is_gzip: the objects are compressed.
        split_type: `None`, `Line`, `RecordIO` or `TFRecord`.
        strategy: `MultiRecord` or `SingleRecord`; None: the container says, else MultiRecord.
        max_payload_mb: 0: no limit; None: the container says, else 6.
        concurrency: requests at once; None or 0: the container says, else 1.
        assemble_with: `None` or `Line`.
        input_filter: JSONPath.
        output_filter: JSONPath.
        join_source: `None` or `Input`.
        timeout_s: of one invocation.
        retries: of one invocation.
        inference_time: every record gets an id and this time; None: none does.
        row: where the instance has several containers, of each the name, host and port.
    """

    host: str
    port: int
    log: str
    health_timeout_s: float
    content_type: str | None
    accept: str | None
    is_gzip: bool
    split_type: str
    strategy: str | None
    max_payload_mb: int | None
    concurrency: int | None
    assemble_with: str
    input_filter: str | None
    output_filter: str | None
    join_source: str | None
    timeout_s: float
    retries: int
    inference_time: str | None = None
    row: tuple[tuple[str, str, int], ...] = ()

    def write(self, folder: Path) -> None:
        """Writes it into a `moved` folder."""
        (folder / "plan.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_plan(folder: Path) -> Plan:
    """The plan in a `moved` folder."""
    return Plan(**json.loads((folder / "plan.json").read_text(encoding="utf-8")))


def write_objects(folder: Path, objects: list[ObjectPart]) -> None:
    """Writes an instance's share into its `moved` folder, made anew."""
    with (folder / "objects").open("w", encoding="utf-8") as file:
        for one in objects:
            file.write(json.dumps(list(asdict(one).values())) + "\n")
        file.flush()
        os.fsync(file.fileno())  # what is moved is durable, and this says what it is


def read_objects(folder: Path) -> Iterator[ObjectPart]:
    """An instance's share."""
    with (folder / "objects").open(encoding="utf-8") as file:
        for line in file:
            yield ObjectPart(*json.loads(line))
