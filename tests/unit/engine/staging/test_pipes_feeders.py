"""Feeders as they run: real programs and FIFOs, with a process that stands for the supervisor."""

import fcntl
import gzip
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.drivers.supervision import processes
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.lifecycle.pipes.plan import FilePart, Part, Pipe

PATIENCE_S = 20


class FakeInstance:
    """An instance's folder, its FIFOs, and a process that is its supervisor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "ml" / "input" / "data"
        self.data.mkdir(parents=True)
        self.objects = folder.parent / "objects"
        self.objects.mkdir()
        self.log = folder.parent / "log"
        self.supervisor: subprocess.Popen[bytes] | None = None

    def plan(
        self,
        *bodies: bytes,
        records: Sequence[Sequence[Part]] | None = None,
        is_gzip: bool = False,
        is_record_io: bool = False,
        seed: int | None = None,
    ) -> None:
        """Plans a channel `train` of one object a body, or of other records."""
        parts = []
        for number, body in enumerate(bodies):
            path = self.objects / str(number)
            path.write_bytes(body)
            parts.append([FilePart(path, f"s3://b/{number}")])
        pipe = Pipe("train", self.data, is_gzip, is_record_io, seed, 0, 1)
        pipe.write(self.folder, records or parts)

    def start(self) -> None:
        """What a driver does: a supervisor runs, and says who it is."""
        self.supervisor = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        pid = self.supervisor.pid
        record = {
            "pid": pid,
            "start_ticks": processes.start_ticks(pid),
            "boot_id": processes.boot_id(),
        }
        made = self.folder / "supervisor.json.tmp"
        made.write_text(json.dumps(record))
        made.rename(self.folder / "supervisor.json")

    def end(self) -> None:
        if self.supervisor is not None:
            self.supervisor.kill()
            self.supervisor.wait()

    def stopped_by(self) -> int:
        """The signal that the supervisor was sent."""
        assert self.supervisor is not None
        return -self.supervisor.wait(PATIENCE_S)

    def read(self, epoch: int) -> bytes:
        return self.fifo(epoch).read_bytes()

    def fifo(self, epoch: int) -> Path:
        return self.data / f"train_{epoch}"

    def processes(self) -> list[int]:
        """Guard, feeder and writer of the channel, in the order of their start."""
        plan = str(self.folder / "pipes" / "train.json").encode()
        return [pid for pid in sorted(processes.all_pids()) if plan in command(pid)]

    def wait_until_nobody_feeds(self) -> None:
        """The lock is held as long as any of them lives."""
        with (self.folder / "pipes" / "train.lock").open() as lock:
            wait_for(lock)


def wait_for(lock: IO[str]) -> None:
    """Takes the lock as soon as nobody has it; pytest's own time limit ends this if need be."""
    fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[FakeInstance]:
    instance = FakeInstance(tmp_path / "algo-1")
    yield instance
    instance.end()
    Feeders().end(instance.folder)


def command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def ends_within(pipe: int, seconds: float) -> bool:
    """Whether a reader would see an end of what it reads."""
    return bool(select.select([pipe], [], [], seconds)[0]) and os.read(pipe, 1 << 20) == b""


def test_each_epoch_is_a_fifo_of_its_own_that_is_there_before_it_is_wanted(
    instance: FakeInstance,
) -> None:
    instance.plan(b"one,", b"", b"two")
    Feeders().ensure(instance.folder, instance.log)
    assert instance.fifo(0).is_fifo()
    instance.start()
    for epoch in range(5):
        assert instance.read(epoch) == b"one,two"
        assert instance.fifo(epoch + 1).is_fifo()
    assert not instance.fifo(0).exists()


def test_a_reader_may_leave_early(instance: FakeInstance) -> None:
    instance.plan(b"x" * (8 << 20))
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    with instance.fifo(0).open("rb") as pipe:
        assert pipe.read(3) == b"xxx"
    with instance.fifo(1).open("rb") as pipe:
        pipe.read(1)
    assert len(instance.read(2)) == 8 << 20


def test_a_second_engine_finds_what_feeds_and_starts_nothing(instance: FakeInstance) -> None:
    instance.plan(b"one")
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    before = instance.processes()
    Feeders().ensure(instance.folder, instance.log)
    assert instance.processes() == before
    assert instance.read(0) == b"one"


def test_feeders_end_with_their_instance(instance: FakeInstance) -> None:
    instance.plan(b"x" * (8 << 20))
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    with instance.fifo(0).open("rb") as pipe:
        pipe.read(1)
        instance.end()
        instance.wait_until_nobody_feeds()
    assert list(instance.data.iterdir()) == []
    assert Feeders().failure(instance.folder) is None


def test_feeders_of_an_instance_that_never_started_end_when_told(instance: FakeInstance) -> None:
    instance.plan(b"one")
    feeders = Feeders()
    feeders.ensure(instance.folder, instance.log)
    feeders.end(instance.folder)
    instance.wait_until_nobody_feeds()
    feeders.ensure(instance.folder, instance.log)
    assert instance.processes() == []


def test_feeders_end_when_their_folder_goes(instance: FakeInstance) -> None:
    instance.plan(b"one")
    Feeders().ensure(instance.folder, instance.log)
    with (instance.folder / "pipes" / "train.lock").open() as lock:
        shutil.rmtree(instance.folder)
        wait_for(lock)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["guard", "feeder", "writer"])
def test_a_feeder_that_is_killed_never_ends_an_epoch_early(
    instance: FakeInstance, number: int
) -> None:
    instance.plan(b"x" * (8 << 20))
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    pipe = os.open(instance.fifo(0), os.O_RDONLY)
    os.read(pipe, 1)
    victims = instance.processes()
    assert len(victims) == 3
    os.kill(victims[number], signal.SIGKILL)
    if number == 0:
        size = 1
        while data := os.read(pipe, 1 << 20):
            size += len(data)
        assert size == 8 << 20
        assert len(instance.read(1)) == 8 << 20
    else:
        assert instance.stopped_by() == signal.SIGTERM
        failure = Feeders().failure(instance.folder)
        assert failure is not None
        assert failure.startswith("channel `train`: ")
        assert failure in instance.log.read_text()
    os.close(pipe)


def test_a_reader_sees_no_end_while_the_instance_is_being_stopped(instance: FakeInstance) -> None:
    instance.plan(b"x" * 10)
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    assert instance.supervisor is not None
    os.kill(instance.supervisor.pid, signal.SIGSTOP)  # SIGTERM waits, as it does for a grace time
    (instance.objects / "0").write_bytes(b"y" * 10)
    pipe = os.open(instance.fifo(0), os.O_RDONLY)
    assert not ends_within(pipe, 1.0)
    os.kill(instance.supervisor.pid, signal.SIGCONT)
    assert instance.stopped_by() == signal.SIGTERM
    instance.wait_until_nobody_feeds()
    os.close(pipe)


def test_feeders_that_have_all_died_are_noticed_and_not_begun_anew(instance: FakeInstance) -> None:
    instance.plan(b"one")
    feeders = Feeders()
    feeders.ensure(instance.folder, instance.log)
    for pid in instance.processes():
        os.kill(pid, signal.SIGKILL)
    instance.start()
    instance.wait_until_nobody_feeds()
    feeders.ensure(instance.folder, instance.log)
    assert instance.stopped_by() == signal.SIGTERM
    assert "have died" in (feeders.failure(instance.folder) or "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"changed!", "`s3://b/0` was replaced after the job had started"),
        (None, "`s3://b/0` cannot be read: No such file or directory"),
    ],
)
def test_an_object_that_changes_ends_the_instance_and_is_named(
    instance: FakeInstance, body: bytes | None, words: str
) -> None:
    instance.plan(b"original")
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    (instance.objects / "0").unlink()
    if body is not None:
        (instance.objects / "0").write_bytes(body)
    pipe = os.open(instance.fifo(0), os.O_RDONLY)
    assert instance.stopped_by() == signal.SIGTERM
    assert words in instance.log.read_text()
    os.close(pipe)


@pytest.mark.parametrize(
    "body",
    [b"plain", gzip.compress(b"x" * 9999)[:-9], gzip.compress(b"a") + b"rubbish"],
    ids=["plain", "cut off", "rubbish after it"],
)
def test_what_is_no_whole_gzip_file_is_named(instance: FakeInstance, body: bytes) -> None:
    instance.plan(body, is_gzip=True)
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    pipe = os.open(instance.fifo(0), os.O_RDONLY)
    assert instance.stopped_by() == signal.SIGTERM
    assert "`s3://b/0` is no whole gzip file" in instance.log.read_text()
    os.close(pipe)


def test_gzip_files_of_several_members_are_decompressed_whole(instance: FakeInstance) -> None:
    instance.plan(gzip.compress(b"one") + gzip.compress(b"two"), gzip.compress(b""), is_gzip=True)
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    assert instance.read(0) == b"onetwo"


def test_each_part_of_a_record_is_wrapped_by_itself(instance: FakeInstance) -> None:
    path = instance.objects / "image"
    path.write_bytes(b"image")
    instance.plan(records=[[FilePart(path, "s3://b/image"), "é", ""]], is_record_io=True)
    Feeders().ensure(instance.folder, instance.log)
    instance.start()
    magic = bytes.fromhex("0a23d7ce")
    assert instance.read(0) == (
        magic + b"\5\0\0\0image\0\0\0" + magic + b"\2\0\0\0\xc3\xa9\0\0" + magic + b"\0\0\0\0"
    )


def test_a_seed_gives_each_epoch_an_order_of_its_own_and_always_the_same(
    instance: FakeInstance, tmp_path: Path
) -> None:
    runs = []
    for run in range(2):
        one = instance if run == 0 else FakeInstance(tmp_path / "again" / "algo-1")
        one.plan(*(bytes([number]) for number in range(20)), seed=5)
        Feeders().ensure(one.folder, one.log)
        one.start()
        runs.append([one.read(epoch) for epoch in range(3)])
        one.end()
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3
    assert all(sorted(epoch) == list(range(20)) for epoch in runs[0])


def test_a_pipe_that_cannot_be_made_is_said_before_anything_starts(instance: FakeInstance) -> None:
    instance.plan(b"one")
    instance.fifo(0).mkdir()
    with pytest.raises(StartFailedError, match=r"the pipe `train` cannot be fed: .*directory"):
        Feeders().ensure(instance.folder, instance.log)
