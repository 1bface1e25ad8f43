"""A driver that runs nothing and does what it is told, on whatever clock it is given.

A test scripts outcomes, turns its clock, and calls `FakeDriver.turn`: everything that has become
due happens, in order, in the calling thread. So queueing, retries, time-outs and recovery run in
milliseconds. Instances are recorded in their folders, so that another FakeDriver adopts them as a
restarted engine would.
"""

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from intermodal_engine.drivers.base import (
    Instance,
    InstanceSpec,
    InstanceState,
    InstanceStatus,
    OnExit,
    Plan,
    PlanRefusedError,
    StartFailedError,
)
from intermodal_engine.drivers.records import read_json

_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an instance. By default it succeeds at once.

    Attributes:
        exit_code: with which it ends by itself.
        after_s: seconds from its start to that end; None: it never ends by itself.
        signal: number of the signal that ends it by itself; it then has no exit code of its own.
        out_of_memory: the kernel's OOM killer ended it.
        is_lost: it ends without a record.
        refusal: `plan` refuses it with these words.
        preparation_s: seconds that `prepare` takes for an image that was not prepared yet.
        failure: `start` fails with these words.
        ignores_sigterm: a stop ends it only after the grace.
        exit_code_on_sigterm: with which it ends when it is stopped in time; None: by the signal.
        log: lines that it writes, and when: `(seconds from its start, text)`.
        files: what it leaves in `/opt/ml`, by path below it, written just before it ends by itself.
        addresses: where its ports are reached; one that is missing is that port on 127.0.0.1.
    """

    exit_code: int = 0
    after_s: float | None = 0.0
    signal: int | None = None
    out_of_memory: bool = False
    is_lost: bool = False
    refusal: str | None = None
    preparation_s: float = 0.0
    failure: str | None = None
    ignores_sigterm: bool = False
    exit_code_on_sigterm: int | None = None
    log: tuple[tuple[float, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[int, tuple[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """A started instance."""

    instance: Instance
    outcome: Outcome
    started_at: float
    ml: Path
    log: Path
    stop_grace_s: float
    max_runtime_s: float | None
    on_exit: OnExit
    status: InstanceStatus
    lines_written: int = 0
    stopping_at: float | None = None
    max_runtime_exceeded: bool = False


class FakeDriver:
    """Plays scripted outcomes.

    Args:
        now: tells the time, epoch seconds: `FakeClock.now` in tests.
        wait: lets so many seconds pass while something is prepared: `FakeClock.advance` in tests.
        turns_by_itself: for a clock that goes on by itself: a thread calls `turn` when it is time.
        can_mount: what it says of itself.
    """

    engine_addresses: tuple[str, ...] = ()

    def __init__(
        self,
        now: Callable[[], float],
        *,
        wait: Callable[[float], None] = time.sleep,
        turns_by_itself: bool = False,
        can_mount: bool = True,
    ) -> None:
        self._now = now
        self._wait = wait
        self._can_mount = can_mount
        self._prepared_images: set[str] = set()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._is_closed = False
        self._script: list[tuple[str, Outcome]] = []
        self._runs: dict[Path, _Run] = {}
        self.started: list[InstanceSpec] = []
        """Every spec that was started, in order."""
        if turns_by_itself:
            threading.Thread(target=self._turn_in_time, name="fake-driver", daemon=True).start()

    @property
    def can_mount(self) -> bool:
        """As it was told. See `Driver.can_mount`."""
        return self._can_mount

    def script(self, pattern: str, *outcomes: Outcome) -> None:
        """Says what becomes of instances whose id matches (`*` and `?` as in file names).

        Several outcomes go to the matching starts one after the other, the last one to all that
        follow. What was scripted later wins.
        """
        with self._lock:
            repeated = [(pattern, outcome) for outcome in outcomes]
            self._script = repeated + self._script

    def plan(self, spec: InstanceSpec) -> Plan:
        """Says what would run, or refuses as scripted. See `Driver.plan`."""
        with self._lock:
            outcome = self._outcome(spec.instance_id)
            is_prepared = not outcome.preparation_s or spec.image in self._prepared_images
        if outcome.refusal is not None:
            raise PlanRefusedError(outcome.refusal)
        notes = ("nothing really runs",)
        digest = hashlib.sha256(spec.image.encode()).hexdigest()
        image = f"{spec.image.partition(':')[0]}@sha256:{digest}"
        return Plan(spec, spec.argv, dict(spec.environment), notes, is_prepared, image)

    def prepare(self, plan: Plan) -> None:
        """Takes the scripted time, once an image. See `Driver.prepare`."""
        with self._lock:
            wait_s = self._outcome(plan.spec.instance_id).preparation_s
            is_prepared = plan.spec.image in self._prepared_images
        if wait_s and not is_prepared:
            self._wait(wait_s)
        with self._lock:
            self._prepared_images.add(plan.spec.image)

    def start(self, plan: Plan, on_exit: OnExit) -> Instance:
        """Begins to play an outcome. See `Driver.start`."""
        spec = plan.spec
        self.prepare(plan)
        with self._lock:
            outcome = self._take_outcome(spec.instance_id)
            if outcome.failure is not None:
                raise StartFailedError(outcome.failure)
            if _record_file(spec.folder).exists():
                raise StartFailedError(f"`{spec.instance_id}` was started before")
            self.started.append(spec)
            run = _begin(spec, outcome, self._now(), on_exit)
            self._runs[spec.folder] = run
            _write_record(run)
            self._write_log(run, self._now())
            self._changed.notify_all()
        return run.instance

    def status(self, instance: Instance) -> InstanceStatus:
        """How it was when the clock was last heeded. See `Driver.status`."""
        with self._lock:
            run = self._runs.get(instance.folder)
            if run is not None:
                return run.status
        status = _read_status(instance.folder)
        return status or InstanceStatus(InstanceState.LOST, reason="it was never started")

    def stop(self, instance: Instance) -> None:
        """SIGTERM: it ends at the next turn, or after its grace. See `Driver.stop`."""
        with self._lock:
            run = self._runs.get(instance.folder)
            if run is not None and run.stopping_at is None:
                run.stopping_at = self._now()
                self._changed.notify_all()

    def logs(self, instance: Instance) -> Path:
        """The file with its output."""
        with self._lock:
            return self._runs[instance.folder].log

    def adopt(self, spec: InstanceSpec, on_exit: OnExit) -> Instance | None:
        """Finds an instance by its folder's record. See `Driver.adopt`."""
        record = read_json(_record_file(spec.folder))
        if record is None:
            return None
        outcome = _outcome_from(record["outcome"])
        with self._lock:
            run = _begin(spec, outcome, record["started_at"], on_exit)
            run.lines_written = record["lines_written"]
            self._runs[spec.folder] = run
            self._changed.notify_all()
        ended = _read_status(spec.folder)
        if ended is not None:
            run.status = ended
            on_exit(spec.instance_id)
        return run.instance

    def gateway_host(self, network: str) -> str:  # noqa: ARG002 - nothing really runs there
        """Loopback. See `Driver.gateway_host`."""
        return "127.0.0.1"

    def close(self) -> None:
        """Forgets what runs, as an engine that dies does."""
        with self._lock:
            self._runs.clear()
            self._is_closed = True
            self._changed.notify_all()

    def kill(self, instance: Instance) -> None:
        """Ends it without a record, at once. See `Driver.kill`."""
        with self._lock:
            run = self._runs.get(instance.folder)
            if run is None or run.status.state is not InstanceState.RUNNING:
                return
            reason = "it went away"
            status = InstanceStatus(InstanceState.LOST, ended_at=self._now(), reason=reason)
            self._end(run, status)
        run.on_exit(instance.instance_id)

    def turn(self) -> int:
        """Lets everything happen that has become due, ends in the order of their times.

        Returns:
            How many instances have ended.
        """
        ended = 0
        with self._lock:
            for run in self._runs.values():
                if run.status.state is InstanceState.RUNNING:
                    self._write_log(run, self._now())
        while (gone := self._next_end()) is not None:
            gone.on_exit(gone.instance.instance_id)
            ended += 1
        return ended

    def next_turn_at(self) -> float | None:
        """When something is due next, epoch seconds; None for never."""
        with self._lock:
            ends = [_end_of(run) for run in self._running()]
            lines = [_next_line_at(run) for run in self._running()]
        times = [end[0] for end in ends if end] + [at for at in lines if at is not None]
        return min(times, default=None)

    def _turn_in_time(self) -> None:
        while not self._is_closed:
            try:
                self.turn()
                is_full = False
            except OSError:
                is_full = True
            with self._lock:
                at = self._now() + _RETRY_S if is_full else self.next_turn_at()
                if not self._is_closed and (at is None or at > self._now()):
                    self._changed.wait(None if at is None else at - self._now())

    def _running(self) -> list[_Run]:
        return [run for run in self._runs.values() if run.status.state is InstanceState.RUNNING]

    def _next_end(self) -> _Run | None:
        """Ends the instance that is due first, if one is."""
        with self._lock:
            due = [(end, run) for run in self._running() if (end := _end_of(run)) is not None]
            due = [(end, run) for end, run in due if end[0] <= self._now()]
            if not due:
                return None
            (_, status), run = min(due, key=lambda item: item[0][0])
            self._end(run, status)
            return run

    def _end(self, run: _Run, status: InstanceStatus) -> None:
        ended_by_itself = run.stopping_at is None and not status.max_runtime_exceeded
        if ended_by_itself and status.state is InstanceState.EXITED:
            for name, content in run.outcome.files.items():
                path = run.ml / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        before, run.status = run.status, status
        try:
            _write_record(run)
        except OSError:
            run.status = before
            raise

    def _write_log(self, run: _Run, now: float) -> None:
        due = [(at, text) for at, text in run.outcome.log if run.started_at + at <= now]
        new = due[run.lines_written :]
        run.lines_written = len(due)
        run.log.parent.mkdir(parents=True, exist_ok=True)
        with run.log.open("a") as file:
            file.writelines(f"{int((run.started_at + at) * 1000)} {text}\n" for at, text in new)
        _write_record(run)

    def _outcome(self, instance_id: str) -> Outcome:
        return next((o for p, o in self._script if fnmatchcase(instance_id, p)), Outcome())

    def _take_outcome(self, instance_id: str) -> Outcome:
        """The next outcome of the first pattern that matches; its last one stays."""
        for number, (pattern, outcome) in enumerate(self._script):
            if fnmatchcase(instance_id, pattern):
                if [p for p, _ in self._script].count(pattern) > 1:
                    del self._script[number]
                return outcome
        return Outcome()


def _begin(spec: InstanceSpec, outcome: Outcome, started_at: float, on_exit: OnExit) -> _Run:
    addresses = {port: outcome.addresses.get(port, ("127.0.0.1", port)) for port in spec.ports}
    return _Run(
        instance=Instance(spec.instance_id, spec.folder, addresses),
        outcome=outcome,
        started_at=started_at,
        ml=spec.ml,
        log=spec.log,
        stop_grace_s=spec.stop_grace_s,
        max_runtime_s=spec.max_runtime_s,
        on_exit=on_exit,
        status=InstanceStatus(InstanceState.RUNNING, started_at=started_at),
    )


def _end_of(run: _Run) -> tuple[float, InstanceStatus] | None:
    """When and how it ends as things stand: by itself, stopped, or by its time limit."""
    ends: list[tuple[float, InstanceStatus]] = []
    if run.outcome.after_s is not None:
        at = run.started_at + run.outcome.after_s
        ends.append((at, _own_end(run.outcome)))
    if run.stopping_at is not None:
        ends.append(_stopped_end(run, run.stopping_at))
    if run.max_runtime_s is not None:
        at, status = _stopped_end(run, run.started_at + run.max_runtime_s)
        ends.append((at, replace(status, max_runtime_exceeded=True)))
    if not ends:
        return None
    at, status = min(ends, key=lambda end: end[0])
    return at, replace(status, started_at=run.started_at, ended_at=at)


def _next_line_at(run: _Run) -> float | None:
    """When it writes its next line."""
    left = run.outcome.log[run.lines_written :]
    return run.started_at + left[0][0] if left else None


def _own_end(outcome: Outcome) -> InstanceStatus:
    if outcome.is_lost:
        return InstanceStatus(InstanceState.LOST, reason="it went away")
    if outcome.signal is None and not outcome.out_of_memory:
        return InstanceStatus(InstanceState.EXITED, outcome.exit_code)
    number = signal.SIGKILL.value if outcome.signal is None else outcome.signal
    ended = InstanceStatus(InstanceState.EXITED, 128 + number, number)
    return replace(ended, out_of_memory=outcome.out_of_memory)


def _stopped_end(run: _Run, stopping_at: float) -> tuple[float, InstanceStatus]:
    outcome = run.outcome
    if outcome.ignores_sigterm:
        killed = InstanceStatus(InstanceState.EXITED, 128 + signal.SIGKILL, signal.SIGKILL.value)
        return stopping_at + run.stop_grace_s, killed
    if outcome.exit_code_on_sigterm is not None:
        return stopping_at, InstanceStatus(InstanceState.EXITED, outcome.exit_code_on_sigterm)
    number = signal.SIGTERM.value
    return stopping_at, InstanceStatus(InstanceState.EXITED, 128 + number, number)


def _record_file(folder: Path) -> Path:
    return folder / "fake.json"


def _write_record(run: _Run) -> None:
    record = {
        "outcome": asdict(run.outcome),
        "started_at": run.started_at,
        "lines_written": run.lines_written,
        "status": asdict(run.status),
    }
    file = _record_file(run.instance.folder)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(record))
    beside.rename(file)


def _read_status(folder: Path) -> InstanceStatus | None:
    """How a recorded instance ended; None for one that runs or was never started."""
    record = read_json(_record_file(folder))
    if record is None:
        return None
    fields = record["status"]
    status = InstanceStatus(**{**fields, "state": InstanceState(fields["state"])})
    return None if status.state is InstanceState.RUNNING else status


def _outcome_from(fields: dict[str, Any]) -> Outcome:
    """Undoes what JSON did to an outcome's tuples and port numbers."""
    log = tuple((at, text) for at, text in fields["log"])
    addresses = {int(port): (at[0], at[1]) for port, at in fields["addresses"].items()}
    return Outcome(**{**fields, "log": log, "addresses": addresses})
