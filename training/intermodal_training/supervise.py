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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from intermodal_training.errors import StoppedBeforeStartError

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_TAIL_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_STRAGGLER_OUTPUT_S = 1.0
_LOOK_AGAIN_MS = 500
_PR_SET_CHILD_SUBREAPER = 36
_ERROR_FD = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the user's program ended.

    Attributes:
        exit_code: 0 to 255; 128 + signal when a signal ended it.
        signal: number of the signal that ended it, if one did.
        stopped_by: signal that `train` passed on, if one came.
        out_of_memory: the kernel's OOM killer struck meanwhile.
        error_tail: the last part of stderr.
    """

    exit_code: int
    signal: int | None = None
    stopped_by: int | None = None
    out_of_memory: bool = False
    error_tail: str = ""


class Signals:
    """What SIGTERM and SIGINT do: before the program runs they end `train`, then they go to it."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._group: int | None = None
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
            for number, handler in before.items():
                signal.signal(number, handler)
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

    def forward_to(self, group: int) -> None:
        """From now on signals go to this process group, one that came meanwhile too."""
        self._group = group
        if self.received is not None:
            self._handle(self.received, None)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        if self._group is not None:
            _adopt_orphans()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, number)
        elif not self._is_starting:
            raise StoppedBeforeStartError(number)


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], signals: Signals
) -> Outcome:
    """Runs a program to its end, in a process group of its own.

    When it ends, what it left running ends too, as in a container; except after a stop signal,
    where everything in its group gets the time that the service grants.

    Raises:
        OSError: it cannot be started.
    """
    kills_before = _out_of_memory_kills()
    with signals.starting():
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, start_new_session=True
        )
        signals.forward_to(child.pid)
    assert child.stderr is not None  # noqa: S101 - it is a pipe
    with child.stderr:
        tail = _Tail(child.stderr.fileno())
        status = _watch(child.pid, tail, signals)
    child.returncode = os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return Outcome(
        exit_code=128 + number if number else os.WEXITSTATUS(status),
        signal=number,
        stopped_by=signals.received,
        out_of_memory=_out_of_memory_kills() > kills_before,
        error_tail=tail.text(),
    )


class _Tail:
    """Passes a pipe on to stderr and keeps its last part."""

    def __init__(self, source: int) -> None:
        self.source = source
        self.is_open = True
        self._kept = bytearray()

    def pass_on(self) -> None:
        data = os.read(self.source, _READ_BYTES)
        if not data:
            self.is_open = False
            return
        _write_whole(_ERROR_FD, data)
        self._kept += data
        if len(self._kept) > 2 * _TAIL_BYTES:
            del self._kept[:-_TAIL_BYTES]

    def text(self) -> str:
        return bytes(self._kept[-_TAIL_BYTES:]).decode("utf-8", errors="replace")


def _watch(pid: int, tail: _Tail, signals: Signals) -> int:
    """Waits for the program, and for what must end with it.

    Returns:
        Its wait status.
    """
    poller = select.poll()
    poller.register(signals.wake_fd, select.POLLIN)
    poller.register(tail.source, select.POLLIN)
    status = None
    while status is None:
        _pass_on(poller, None, tail, signals)
        status = _reap(pid)
    while signals.received is not None and _is_alive(pid):
        _pass_on(poller, _LOOK_AGAIN_MS, tail, signals)
        _reap(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    # Something that left the group may hold stderr open for ever.
    give_up_at = time.monotonic() + _STRAGGLER_OUTPUT_S
    while tail.is_open and (left_s := give_up_at - time.monotonic()) > 0:
        _pass_on(poller, left_s * 1000, tail, signals)
    _reap(pid)
    return status


def _pass_on(
    poller: "select.poll", timeout_ms: float | None, tail: _Tail, signals: Signals
) -> None:
    """Waits for output or a signal, and passes output on."""
    for source, _ in poller.poll(timeout_ms):
        if source == signals.wake_fd:
            signals.clear()
        else:
            tail.pass_on()
            if not tail.is_open:
                poller.unregister(tail.source)


def _reap(wanted: int) -> int | None:
    """Takes note of every child that ended; orphans fall to the first process of a container.

    Returns:
        The wait status of the wanted one, if it is among them.
    """
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == wanted:
                found = status
    return found


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


def _write_whole(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:  # nobody reads our stderr any more; the program goes on
            return


def _out_of_memory_kills() -> int:
    """How often the kernel's OOM killer struck in this container."""
    for path in _memory_counters():
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and count.isdigit():
                    return int(count)
    return 0


def _memory_counters() -> Iterator[Path]:
    """Files that may hold the count: of cgroup v2 and v1, seen from outside and from inside."""
    two, one = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                yield two / group.lstrip("/") / "memory.events"
            elif "memory" in controllers.split(","):
                yield one / group.lstrip("/") / "memory.oom_control"
    yield two / "memory.events"
    yield one / "memory.oom_control"
