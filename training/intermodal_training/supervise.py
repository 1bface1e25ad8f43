"""Runs the user's program: passes signals on, its output through, and tells how it ended.

One thread, one `poll`: signals arrive on a pipe (`signal.set_wakeup_fd`), so none is missed between
a look and a wait. Only stderr goes through `train`, which remembers its last part; stdout is the
program's own.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from intermodal_training import out_of_memory
from intermodal_training.errors import StoppedBeforeStartError
from intermodal_training.tail import Tail

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STRAGGLER_OUTPUT_S = 1.0
_COMPANION_GRACE_S = 10.0
_LOOK_AGAIN_MS = 500
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the user's program ended.

    Attributes:
        exit_code: 0 to 255; 128 + signal when a signal ended it.
        signal: number of the signal that ended it, if one did.
        stopped_by: signal that `train` passed on, if one came.
        out_of_memory: the kernel's OOM killer struck meanwhile.
        error_tail: the last part of stderr.
        broken_companion: a companion that failed, for which the program was then killed.
    """

    exit_code: int
    signal: int | None = None
    stopped_by: int | None = None
    out_of_memory: bool = False
    error_tail: str = ""
    broken_companion: "BrokenCompanion | None" = None


@dataclass(frozen=True, slots=True)
class Companion:
    """A program that must run as long as the user's does.

    Attributes:
        name: for messages.
        command: argument vector.
        environment: its whole environment.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BrokenCompanion:
    """A companion that failed while the program ran.

    Attributes:
        companion: which.
        outcome: how it ended.
    """

    companion: Companion
    outcome: Outcome


class Signals:
    """What SIGTERM and SIGINT do: before the program runs they end `train`, then they go to it.

    Args:
        is_once: only the first counts, to the end of the process.
    """

    def __init__(self, *, is_once: bool = False) -> None:
        self.received: int | None = None
        self._is_once = is_once
        self._pass_on: Callable[[int], None] | None = None
        self._is_starting = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handles the signals meanwhile."""
        before = {number: signal.signal(number, self._handle) for number in _STOP_SIGNALS}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            is_heard = self._is_once and self.received is not None
            for number, handler in before.items():
                is_over = is_heard and number in _STOP_SIGNALS
                signal.signal(number, signal.SIG_IGN if is_over else handler)
            os.close(self._wake_read)
            os.close(self._wake_write)

    @property
    def wake_fd(self) -> int:
        """Readable when a signal came."""
        return self._wake_read

    def clear(self) -> None:
        """Empties the pipe."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 512):
                pass

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Meanwhile a signal is only remembered: the program is neither there nor not there."""
        self._is_starting = True
        try:
            yield
        finally:
            self._is_starting = False

    def forward_to(self, pass_on: Callable[[int], None]) -> None:
        """From now on signals are passed on so, one that came meanwhile too."""
        self._pass_on = pass_on
        if self.received is not None:
            pass_on(self.received)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._is_once and self.received is not None:
            return
        self.received = number
        if self._pass_on is not None:
            self._pass_on(number)
        elif not self._is_starting:
            raise StoppedBeforeStartError(number)


PassOn = Callable[[int, int], None]
"""Passes a signal on, given its number and the program's process group."""


def to_group(number: int, group: int) -> None:
    """Passes a signal on to everything in the program's process group."""
    _adopt_orphans()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    signals: Signals,
    *,
    pass_on: PassOn = to_group,
    companions: Sequence[Companion] = (),
    on_start: Callable[[], None] | None = None,
    on_running: Callable[[Callable[[], None]], None] | None = None,
) -> Outcome:
    """Runs a program to its end, in a process group of its own.

    When it ends, what it left running ends too, as in a container; except after a stop signal,
    where everything in its group gets the time that the service grants.

    Args:
        command: the program.
        folder: where it runs.
        environment: its whole environment.
        signals: tells of stop signals.
        pass_on: how these reach it.
        companions: run beside it; when it has succeeded they have some seconds to end by
            themselves. One that fails before takes it along. They hear of no signal.
        on_start: runs in the program's process before the program (`subprocess`' `preexec_fn`).
        on_running: called once the program runs, with what ends it at once.

    Raises:
        OSError: it cannot be started.
    """
    kills_before = out_of_memory.kills()
    beside = [_Started(one, _start(one.command, folder, one.environment)) for one in companions]
    try:
        with signals.starting():
            child = _start(command, folder, environment, on_start)
            signals.forward_to(lambda number: pass_on(number, child.pid))
        if on_running is not None:
            on_running(lambda: _kill_group(child.pid))
        watch = _Watch(child, beside, signals)
        status = watch.until_end()
    finally:
        for one in beside:
            one.end()
    return _outcome(
        status,
        watch.tail.text(),
        stopped_by=signals.received,
        has_run_out_of_memory=out_of_memory.kills() > kills_before,
        broken_companion=watch.broken,
    )


def _start(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    on_start: Callable[[], None] | None = None,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=on_start,
    )


def _outcome(
    status: int,
    error_tail: str,
    *,
    stopped_by: int | None = None,
    has_run_out_of_memory: bool = False,
    broken_companion: BrokenCompanion | None = None,
) -> Outcome:
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return Outcome(
        exit_code=128 + number if number else os.WEXITSTATUS(status),
        signal=number,
        stopped_by=stopped_by,
        out_of_memory=has_run_out_of_memory,
        error_tail=error_tail,
        broken_companion=broken_companion,
    )


class _Started:
    """A companion that was started."""

    def __init__(self, companion: Companion, process: "subprocess.Popen[bytes]") -> None:
        self.companion = companion
        self.process = process
        self.tail = Tail(_descriptor(process))

    def end(self) -> None:
        _kill_group(self.process.pid)
        if self.process.returncode is None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.process.pid, 0)
            self.process.returncode = -signal.SIGKILL
        if self.process.stderr is not None:
            self.process.stderr.close()


class _Watch:
    """Waits for a program, and for what must end with it."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", beside: Sequence[_Started], signals: Signals
    ) -> None:
        self.tail = Tail(_descriptor(child))
        self.broken: BrokenCompanion | None = None
        self._child = child
        self._beside = {one.process.pid: one for one in beside}
        self._signals = signals
        self._ended: dict[int, int] = {}
        self._tails = {tail.source: tail for tail in (self.tail, *(one.tail for one in beside))}
        self._poller = select.poll()
        for source in (signals.wake_fd, *self._tails):
            self._poller.register(source, select.POLLIN)

    def until_end(self) -> int:
        """Returns the program's wait status once it and all of its own have ended."""
        pid = self._child.pid
        while pid not in self._ended:
            self._pass_on(None)
            self._reap()
            self._kill_if_broken()
        status = self._ended[pid]
        self._child.returncode = os.waitstatus_to_exitcode(status)
        while self._signals.received is not None and _is_alive(pid):
            self._pass_on(_LOOK_AGAIN_MS)
            self._reap()
        _kill_group(pid)
        # Something that left the group may hold stderr open for ever.
        self._until(_STRAGGLER_OUTPUT_S, lambda: not self.tail.is_open)
        if status == 0:
            self._until(_COMPANION_GRACE_S, lambda: self._beside.keys() <= self._ended.keys())
        self._reap()
        if self._child.stderr is not None:
            self._child.stderr.close()
        return status

    def _until(self, limit_s: float, is_done: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + limit_s
        while not is_done() and (left_s := give_up_at - time.monotonic()) > 0:
            self._pass_on(left_s * 1000)
            self._reap()

    def _pass_on(self, timeout_ms: float | None) -> None:
        """Waits for output or a signal, and passes output on."""
        for source, _ in self._poller.poll(timeout_ms):
            if source == self._signals.wake_fd:
                self._signals.clear()
                continue
            tail = self._tails[source]
            tail.pass_on()
            if not tail.is_open:
                self._poller.unregister(source)

    def _reap(self) -> None:
        """Takes note of every child that ended; orphans fall to a container's first process."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._ended[pid] = status
                if pid in self._beside:
                    self._beside[pid].process.returncode = os.waitstatus_to_exitcode(status)

    def _kill_if_broken(self) -> None:
        """A companion that failed would leave the program waiting for it for ever."""
        for pid, one in self._beside.items():
            if self.broken is None and self._ended.get(pid):
                self._drain(one.tail)
                outcome = _outcome(self._ended[pid], one.tail.text())
                self.broken = BrokenCompanion(one.companion, outcome)
                _kill_group(self._child.pid)

    def _drain(self, tail: Tail) -> None:
        self._until(_STRAGGLER_OUTPUT_S, lambda: not tail.is_open)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _descriptor(process: "subprocess.Popen[bytes]") -> int:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    return process.stderr.fileno()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _adopt_orphans() -> None:
    """Makes orphans of the group children of `train`, so that their end is heard of (Linux)."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
