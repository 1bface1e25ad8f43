"""An instance's folder: which files the process driver keeps there, and what they say.

plan.json        what was to be started; there before anything is started
supervisor.json  who supervises it: pid, start ticks, boot id
alive            locked as long as the supervisor lives; no pid needs to be trusted for that
exit.json        how it ended, written by the supervisor, or LOST, written by the engine
home/ tmp/ layers/ hosts supervisor.err
"""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from intermodal_engine.drivers.base import InstanceState, InstanceStatus
from intermodal_engine.drivers.supervision import processes
from intermodal_engine.drivers.supervision.plan import SupervisorPlan


class PlanRecord(TypedDict):
    """plan.json.

    Attributes:
        instance_id: the spec's.
        network: the spec's.
        marker: value of INTERMODAL_INSTANCE in the environment of each process of the tree.
        addresses: for each port, where the engine reaches it.
        supervisor: what the supervisor does.
    """

    instance_id: str
    network: str
    marker: str
    addresses: dict[str, tuple[str, int]]
    supervisor: SupervisorPlan


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process for ever: a pid alone is soon another's."""

    pid: int
    start_ticks: int
    boot_id: str

    def open(self) -> int | None:
        """A pidfd of it, or None if it has ended."""
        if self.boot_id != processes.boot_id():
            return None
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if processes.start_ticks(self.pid) == self.start_ticks:
            return fd
        os.close(fd)
        return None


class InstanceFolder:
    """Reads and writes one instance's records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan_file = folder / "plan.json"
        self.alive_file = folder / "alive"
        self.error_file = folder / "supervisor.err"
        self.hosts_file = folder / "hosts"
        self.home = folder / "home"
        self.temporary = folder / "tmp"
        self.layers = folder / "layers"
        self._exit_file = folder / "exit.json"
        self._supervisor_file = folder / "supervisor.json"

    def lock_alive(self) -> int | None:
        """Takes the lock that the supervisor will hold; None if one holds it: it lives."""
        fd = os.open(self.alive_file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def is_alive(self) -> bool:
        """Whether a supervisor lives, or an engine is about to start one."""
        try:
            fd = os.open(self.alive_file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at the same time do not take each other for it.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def write_plan(self, record: PlanRecord) -> int:
        """Writes plan.json (it holds credentials: mode 0600) and returns it open and locked.

        Whoever wants to read supervisor.json waits for this lock. There is no fsync: if the machine
        crashes, nothing of the instance runs, whether or not the plan is still there.
        """
        temporary = self.plan_file.with_suffix(".tmp")
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            json.dump(record, file)
        fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        temporary.rename(self.plan_file)
        return fd

    def withdraw_plan(self) -> None:
        """Forgets the intent to start."""
        self.plan_file.unlink(missing_ok=True)

    def read_plan(self) -> PlanRecord | None:
        """The recorded intent to start, if there is one."""
        return cast("PlanRecord | None", read_json(self.plan_file))

    def wait_for_identity(self) -> ProcessIdentity | None:
        """Who supervises; waits out the milliseconds in which a supervisor has yet to say so."""
        with self.plan_file.open() as plan:
            fcntl.flock(plan, fcntl.LOCK_SH)
        record = read_json(self._supervisor_file)
        return None if record is None else ProcessIdentity(**record)

    def living_supervisor(self) -> int | None:
        """Pid of what the whole instance ends with, whichever driver runs it; None if it has."""
        if not self.plan_file.exists():
            return None
        identity = self.wait_for_identity()
        pidfd = None if identity is None else identity.open()
        if identity is None or pidfd is None:
            return None
        os.close(pidfd)
        return identity.pid

    def exit_status(self) -> InstanceStatus | None:
        """How it ended, None if there is no record of an end."""
        record = read_json(self._exit_file)
        if record is None:
            return None
        return InstanceStatus(InstanceState(record.pop("state", InstanceState.EXITED)), **record)

    def last_error(self) -> str:
        """What a supervisor said on its way out, as the end of a sentence."""
        text = (
            self.error_file.read_text(errors="replace").strip() if self.error_file.exists() else ""
        )
        return f": {text.splitlines()[-1]}" if text else ""

    def write_lost(self, reason: str) -> None:
        """Records that it has gone without a record of its own. Only while no supervisor lives."""
        temporary = self._exit_file.with_suffix(".lost")
        record = {"state": InstanceState.LOST, "reason": reason, "ended_at": time.time()}
        temporary.write_text(json.dumps(record))
        temporary.rename(self._exit_file)


def read_json(path: Path) -> dict[str, Any] | None:
    """An object from a file that is replaced whole; None if it is not there.

    What is torn counts as not there: only a machine that went down leaves such a file.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content
