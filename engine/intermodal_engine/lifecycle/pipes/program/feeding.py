"""One channel from its first epoch to the end of its instance."""

# The program does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH103, PTH104, PTH110, PTH120, PTH123
from __future__ import annotations

import os
import signal

from intermodal_engine.drivers.supervision.log import Log
from intermodal_engine.drivers.supervision.records import load_json
from intermodal_engine.lifecycle.pipes.program.content import Content, ContentError
from intermodal_engine.lifecycle.pipes.program.fifo import Fifo
from intermodal_engine.lifecycle.pipes.program.instance import InstanceEndedError, WatchedInstance
from intermodal_engine.lifecycle.pipes.program.records import Records
from intermodal_engine.lifecycle.pipes.program.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from intermodal_engine.lifecycle.pipes.plan import Header

READY = b"ready"
_WHOLE, _FAILED, _LEFT = 0, 1, 3
_REASON_BYTES = 4096


class FeedError(Exception):
    """The channel cannot be fed any further; the message says why."""


def main(plan: str, log: str, lock_fd: int, ready_fd: int) -> None:
    """Has a fork feed the channel; the lock is held until all of them have ended.

    Should the fork die, this process makes it known.
    """
    with open(plan, "rb") as file:
        header: Header = load_json(file.read())  # type: ignore[assignment] # as plan.py wrote it
    os.set_inheritable(lock_fd, False)
    os.umask(0o022)
    stem = plan.removesuffix(".json")
    pid = os.fork()
    try:
        if pid == 0:
            _feed_channel(header, stem, log, ready_fd)
            return
        os.close(ready_fd)
        _, status = os.waitpid(pid, 0)
        if status:
            watch = Watch()
            instance = WatchedInstance(header["instance_folder"], watch)
            fail(header, stem, log, "the program that fed it has died", watch, instance)
    except InstanceEndedError:
        return


def _feed_channel(header: Header, stem: str, log: str, ready_fd: int) -> None:
    """Gets ready, tells the engine how that went, and feeds.

    Raises:
        InstanceEndedError: there is nothing to do any more.
    """
    answer = READY
    try:
        feeder = Feeder(header, stem)
        feeder.prepare()
    except OSError as error:
        answer = str(error).encode()
        return
    finally:
        os.write(ready_fd, answer)
        os.close(ready_fd)
    try:
        feeder.run()
    except (FeedError, OSError) as error:
        feeder.fail(log, str(error))
    finally:
        feeder.clear_away()


def fail(
    header: Header, stem: str, log: str, cause: str, watch: Watch, instance: WatchedInstance
) -> NoReturn:
    """Says why, in the job's log and for the engine; has the instance end; waits for that.

    Raises:
        InstanceEndedError: always, at last.
    """
    reason = f"channel `{header['channel']}`: {cause}"
    with open(f"{stem}.failure.new", "w") as file:
        file.write(reason)
    os.rename(f"{stem}.failure.new", f"{stem}.failure")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    Log(log).write(f"intermodal: {reason}".encode())
    while not instance.has_started:
        instance.take(*watch.wait())
    instance.stop()
    while True:
        instance.take(*watch.wait())


class Feeder:
    """Feeds one channel of one instance."""

    def __init__(self, header: Header, stem: str) -> None:
        self._header = header
        self._stem = stem
        self._watch = Watch()
        self._instance = WatchedInstance(header["instance_folder"], self._watch)
        self._folder = -1
        self._fifo: Fifo | None = None
        self._has_begun = False

    def prepare(self) -> None:
        """Makes the first FIFO, and notes that the channel has begun.

        Raises:
            OSError: it cannot be made.
        """
        header, mark = self._header, f"{self._stem}.begun"
        self._has_begun = os.path.exists(mark)
        if self._has_begun:
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._folder = os.open(header["data_folder"], flags)
        self._fifo = self._make_fifo(0)
        os.close(os.open(mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def run(self) -> None:
        """Feeds epoch after epoch.

        Raises:
            FeedError: it cannot be fed any further; whoever reads must not see an end.
            InstanceEndedError: at last.
        """
        if self._has_begun:
            raise FeedError("the programs that fed it have died; what they had not sent is lost")
        self._feed()

    def fail(self, log: str, cause: str) -> NoReturn:
        """Has the instance end because of `cause`.

        Raises:
            InstanceEndedError: always, at last.
        """
        fail(self._header, self._stem, log, cause, self._watch, self._instance)

    def clear_away(self) -> None:
        """Removes the FIFO that nobody will read."""
        if self._fifo is not None:
            self._fifo.remove()

    def _feed(self) -> None:
        header = self._header
        path, seed = f"{self._stem}.records", header["shuffle_seed"]
        records = Records(path, seed, header["host_index"], header["host_count"])
        epoch = 0
        while self._fifo is not None:
            fifo = self._fifo
            while not fifo.is_opened:
                self._wait(fifo)
            writer = fifo.open_to_write()
            self._fifo = self._make_fifo(epoch + 1)
            fifo.remove()
            self._write_epoch(writer, records, epoch)
            os.close(writer)
            epoch += 1

    def _make_fifo(self, epoch: int) -> Fifo:
        name = f"{self._header['channel']}_{epoch}"
        return Fifo(self._folder, name, os.path.dirname(self._stem), self._watch)

    def _wait(self, fifo: Fifo | None = None, process: int | None = None) -> bool:
        """Waits for what happens next; says whether `process` has ended."""
        events, ended = self._watch.wait()
        self._instance.take(events, ended)
        for one in (fifo, self._fifo):
            if one is not None:
                one.take(events)
        return process in ended

    def _write_epoch(self, writer: int, records: Records, epoch: int) -> None:
        """Has a fork write one epoch, and holds the FIFO open until that has gone well.

        Raises:
            FeedError: it has not. `writer` stays open: the reader must not see an end.
        """
        reason_r, reason_w = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reason_r)
            os._exit(self._write(writer, records, epoch, reason_w, parent))
        os.close(reason_w)
        pidfd = os.pidfd_open(pid)
        self._watch.watch_process(pidfd)
        try:
            while not self._wait(process=pidfd):
                pass
        except InstanceEndedError:
            os.kill(pid, signal.SIGKILL)
            raise
        self._watch.forget_process(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        reason = os.read(reason_r, _REASON_BYTES).decode(errors="replace")
        os.close(reason_r)
        if os.WIFSIGNALED(status):
            raise FeedError(f"its writer was killed by signal {os.WTERMSIG(status)}")
        if os.WEXITSTATUS(status) not in (_WHOLE, _LEFT):
            raise FeedError(reason or f"its writer ended with code {os.WEXITSTATUS(status)}")

    def _write(self, out: int, records: Records, epoch: int, reason_w: int, parent: int) -> int:
        """In the fork: returns its exit code."""
        header = self._header
        content = Content(out, is_gzip=header["is_gzip"], is_record_io=header["is_record_io"])
        code = _WHOLE
        try:
            for parts in records.epoch(epoch):
                content.send(parts)
        except BrokenPipeError:
            code = _LEFT
        except (ContentError, OSError) as error:
            code = _FAILED
            if os.getppid() == parent:
                os.write(reason_w, str(error).encode()[:_REASON_BYTES])
        if os.getppid() != parent:
            self._hold()
        return code

    def _hold(self) -> None:
        """In the fork, whose parent is dead: keeps the FIFO open, since no epoch can follow."""
        try:
            # What the parent waited for is not this process's to wait for: look afresh.
            watch = Watch()
            instance = WatchedInstance(self._header["instance_folder"], watch)
            while True:
                instance.take(*watch.wait())
        except InstanceEndedError:
            return
