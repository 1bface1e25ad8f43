"""Power cuts: one run of the steps is recorded, and then ends anywhere."""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.drivers.supervision.processes import boot_id
from tests.helpers.object_store import fast_folder
from tests.storage.images import Disk, Image, Loss
from tests.storage.subject import Subject, clients
from tests.storage.tape import Event, Kind, Recorder, events
from tests.storage.world import Clients, World, difference, read, run_job, steps

LOST = "InternalServerError: the machine was restarted while the job ran"


@dataclass(frozen=True, slots=True)
class Recording:
    """A run of the steps.

    Attributes:
        home: where the engine ran; images are made there.
        scratch: for other files.
        disk: what was done.
        credentials: the content of the engine's file of them.
        worlds: what was known at the beginning, and after each step.
        marks: the number of the event that followed upon each acknowledgement.
        last: what the folder held in the end, files without SQLite's shared memory.
    """

    home: Path
    scratch: Path
    disk: Disk
    credentials: bytes
    worlds: list[World]
    marks: list[int]
    last: dict[str, bytes]

    def cuts(self) -> list[int]:
        """Events before which the power may go; the last one comes after all."""
        return list(range(len(self.disk.events) + 1))

    def acknowledged(self, cut: int) -> int:
        """How many steps' ends came before that event; -1 where the engine never answered."""
        return sum(mark <= cut for mark in self.marks) - 1


@contextmanager
def recorded() -> Iterator[Recording]:
    """Records a run of all steps; home and scratch last as long as the block."""
    with fast_folder() as top:
        home = top / "home"
        recorder = Recorder(home, top)
        subject = Subject(home, top / "output", recorder)
        try:
            state = subject.wait()
            on = clients(home, state["port"])
            worlds = [read(on)]
            recorder.mark()
            for step in (*steps(), run_job("job"), run_job("another")):
                step(on)
                worlds.append(read(on))
                recorder.mark()
            credentials = (home / "credentials.json").read_bytes()
        finally:
            subject.kill()
        found = list(events(recorder.tape))
        marks = [number for number, one in enumerate(found) if one.kind is Kind.MARK]
        yield Recording(home, top, Disk(found), credentials, worlds, marks, _content(home))


class Cutter:
    """Cuts the power and sees what the next engine finds.

    Args:
        recording: of what was done before.
        seed: of what is lost.
    """

    def __init__(self, recording: Recording, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._recording = recording
        self._seed = seed
        self._seen: set[tuple[str, int]] = set()

    def cut(self, at: int, loss: Loss) -> None:
        """Cuts it before event number `at`, starts an engine, and compares.

        Raises:
            AssertionError: it knows something that no client was told or asked for.
        """
        choices = random.Random(f"{self._seed} {at} {loss.name}")
        image = self._recording.disk.after(at, loss, choices)
        done = self._recording.acknowledged(at)
        if (key := (image.digest(), done)) in self._seen:
            self.counts["the same as before"] += 1
            return
        self._seen.add(key)
        self.counts[loss.value] += 1
        self._build(image, is_rebooted=loss is not Loss.NOTHING)
        subject = Subject(self._recording.home, self._recording.scratch / "output")
        try:
            on = clients(self._recording.home, subject.wait()["port"])
            self._compare(on, done)
        finally:
            subject.kill()

    def _compare(self, on: Clients, done: int) -> None:
        worlds, home = self._recording.worlds, self._recording.home
        if done >= 0:
            assert (home / "credentials.json").read_bytes() == self._recording.credentials
        found = without_lost_jobs(read(on), worlds[max(done, 0)])
        assert found in worlds[max(done, 0) : done + 2], difference(found, worlds[max(done, 0)])
        left = [str(one) for one in (home / "tmp/objects").rglob("*")]
        assert left == []
        on.s3.create_bucket(Bucket="after-all")
        on.s3.put_object(Bucket="after-all", Key="key", Body=b"works")

    def _build(self, image: Image, *, is_rebooted: bool) -> None:
        """Rows know objects by their inodes, which nobody can choose: they get the new ones.

        They know the machine's boot, too, and this is another one.
        """
        home, disk = self._recording.home, self._recording.disk
        inodes = {disk.inodes[node]: inode for node, inode in image.build(home).items()}
        database = home / "state.sqlite"
        if not database.exists():
            return
        with closing(sqlite3.connect(database)) as connection:
            query = "SELECT count(*) FROM sqlite_master WHERE name = 's3_objects'"
            if connection.execute(query).fetchone()[0]:
                connection.execute("UPDATE s3_objects SET inode = -inode")
                connection.executemany(
                    "UPDATE s3_objects SET inode = ? WHERE inode = ?",
                    [(new, -old) for old, new in inodes.items()],
                )
                if is_rebooted:
                    query = "UPDATE records SET state = replace(state, ?, 'an earlier one')"
                    connection.execute(query, (boot_id(),))
                connection.commit()


def without_lost_jobs(found: World, before: World) -> World:
    """A job that was not acknowledged may have failed with the machine; what it left is its own."""
    lost = {
        name
        for name, (status, reason) in found["jobs"].items()
        if name not in before["jobs"] and status == "Failed" and reason == LOST
    }
    kept = {name: one for name, one in found["jobs"].items() if name not in lost}
    objects = {
        bucket: {
            key: one
            for key, one in content.items()
            if not any(key.startswith(f"output/{name}/") for name in lost)
        }
        for bucket, content in found["objects"].items()
    }
    return {**found, "jobs": kept, "objects": objects}


def replayed(events: list[Event]) -> dict[str, bytes]:
    """What a folder holds when all events have happened."""
    disk = Disk(events)
    image = disk.after(len(events), Loss.NOTHING, random.Random(0))
    return {path: bytes(image.nodes[node].data) for path, node in image.files.items()}


def _content(home: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }
