"""One instance from its start to its exit record, as its supervisor sees it."""

# The supervisor does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH100, PTH120
from __future__ import annotations

import os
import select
import time

from intermodal_engine.drivers.supervision import processes, surroundings
from intermodal_engine.drivers.supervision.cores import signal
from intermodal_engine.drivers.supervision.init import KILL_TREE, WAITED, Init
from intermodal_engine.drivers.supervision.log import Log
from intermodal_engine.drivers.supervision.records import ExitRecord, load_json, record_self

TYPE_CHECKING = False
if TYPE_CHECKING:
    from intermodal_engine.drivers.supervision.plan import SupervisorPlan
    from intermodal_engine.drivers.supervision.records import Record

_PLAN_FD, _ALIVE_FD, _OUTCOME_FD, _NETWORK_FD = 3, 4, 5, 6  # As plan.py says; its import is dear.
_MOST_DESCRIPTORS = 1 << 30
_LOOK_S = 10.0
"""How often it looks whether its folder is still there."""
_INIT_PATIENCE_S = 10.0
"""How long init may take to end a killed tree before it is killed itself."""


def main(plan_path: str) -> None:
    """Supervises the instance whose plan.json is open as descriptor 3."""
    folder = os.path.dirname(os.path.abspath(plan_path))
    # What else the engine inherited: whoever reads such a pipe to its end would wait for this job.
    os.closerange(_NETWORK_FD + 1, _MOST_DESCRIPTORS)
    content: dict[str, SupervisorPlan] = load_json(_read_all(_PLAN_FD))  # type: ignore[assignment] # ours
    plan = content["supervisor"]
    record_self(folder, plan["boot_id"])
    os.close(_PLAN_FD)
    os.set_inheritable(_ALIVE_FD, False)
    os.set_inheritable(_OUTCOME_FD, False)
    Supervisor(folder, plan).run()


class Supervisor:
    """Owns the instance."""

    def __init__(self, folder: str, plan: SupervisorPlan) -> None:
        self.plan = plan
        self.exit_record = ExitRecord(folder)
        self.log = Log(plan["log"])
        self.wakeup_r = _take_sigterm()
        self.init_pid: int | None = None
        self.kill_at: float | None = None
        self.has_killed = False
        self.record: Record = {
            "exit_code": None,
            "signal": None,
            "out_of_memory": False,
            "max_runtime_exceeded": False,
            "started_at": None,
            "ended_at": None,
            "reason": None,
        }

    def run(self) -> None:
        """Starts the instance, watches it, writes how it ended."""
        oom_kills = processes.oom_kills()
        try:
            for source, target in self.plan["copies"]:
                _copy(source, target)
            status = self._supervise()
        except OSError as error:
            self._fail(error)
        else:
            self._settle(status, oom_kills)
        self.record["ended_at"] = time.time()
        self.exit_record.write(self.record)

    def _supervise(self) -> int:
        """Starts init and the program; returns its wait status once nothing of it is left."""
        kernel = surroundings.Kernel()
        out_r, out_w = os.pipe2(os.O_CLOEXEC)
        outcome_r, outcome_w = os.pipe2(os.O_CLOEXEC)
        status_r, status_w = os.pipe2(os.O_CLOEXEC)
        life_r, life_w = os.pipe2(os.O_CLOEXEC)
        surroundings.leave_for_children(kernel, self.plan)
        if not self.plan["namespaces"]:
            kernel.become_subreaper()
        signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
        self.init_pid = os.fork()
        if self.init_pid == 0:
            for fd in (out_r, outcome_r, status_r, life_w, _ALIVE_FD, _OUTCOME_FD):
                os.close(fd)
            init = Init(kernel, self.plan, out_w, outcome_w, status_w, life_r, _NETWORK_FD)
            os._exit(init.run())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED)
        for fd in (out_w, outcome_w, status_w, life_r):
            os.close(fd)
        if self.plan["has_network_fd"]:
            os.close(_NETWORK_FD)
        self._tell(_read_all(outcome_r).decode(errors="replace"))
        return self._watch(out_r, status_r)

    def _tell(self, cause: str) -> None:
        """Tells the engine that the program runs, or why it does not."""
        self.record.update(started_at=time.time(), reason=cause or None)
        try:
            os.write(_OUTCOME_FD, (cause or "started").encode())
        except BrokenPipeError:
            return  # That engine is gone; the next one reads the records.
        os.close(_OUTCOME_FD)

    def _watch(self, out_r: int, status_r: int) -> int:
        """Moves output to the log and keeps time until init has gone."""
        poll = select.poll()
        os.set_blocking(out_r, False)
        for fd in (out_r, status_r, self.wakeup_r):
            poll.register(fd, select.POLLIN)
        limit_s = self.plan["max_runtime_s"]
        limit_at = None if limit_s is None else time.monotonic() + limit_s
        while True:
            ready = {fd for fd, _ in poll.poll(_timeout_ms(limit_at, self.kill_at))}
            if out_r in ready and not self.log.pump(out_r):
                poll.unregister(out_r)
            if self.wakeup_r in ready and signal.SIGTERM in os.read(self.wakeup_r, 512):
                self._begin_stop()
            if os.fstat(_ALIVE_FD).st_nlink == 0:
                self._begin_stop()  # its folder was removed: no engine can ever ask it to
            if limit_at is not None and time.monotonic() >= limit_at:
                limit_at = None
                self.record["max_runtime_exceeded"] = True
                self._begin_stop()
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                self._kill()
            if status_r in ready:
                return self._reap(out_r, status_r)

    def _begin_stop(self) -> None:
        """SIGTERM to the program; the grace starts with the first request."""
        if self.kill_at is None and self.init_pid is not None:
            os.kill(self.init_pid, signal.SIGTERM)
            self.kill_at = time.monotonic() + self.plan["stop_grace_s"]

    def _kill(self) -> None:
        """Ends the whole tree; the second time, init with it."""
        if self.init_pid is not None:
            os.kill(self.init_pid, signal.SIGKILL if self.has_killed else KILL_TREE)
        self.has_killed = True
        self.kill_at = time.monotonic() + _INIT_PATIENCE_S

    def _reap(self, out_r: int, status_r: int) -> int:
        """Waits for init, makes sure that nothing is left, and empties the pipe."""
        data = os.read(status_r, 8)
        init_pid, self.init_pid = self.init_pid or -1, None
        _, init_status = os.waitpid(init_pid, 0)
        processes.kill_descendants()
        self.log.drain(out_r)
        surroundings.unlock_layers(self.plan)
        return int.from_bytes(data, "little") if data else init_status

    def _settle(self, status: int, oom_kills: int) -> None:
        """Fills in the exit record from the program's wait status."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            self.record.update(exit_code=128 + number, signal=number)
            killed_by_others = number == signal.SIGKILL and self.kill_at is None
            self.record["out_of_memory"] = killed_by_others and processes.oom_kills() > oom_kills
        else:
            self.record["exit_code"] = os.WEXITSTATUS(status)
        if self.log.lost_bytes and self.record["reason"] is None:
            lost = f"{self.log.lost_bytes} bytes of its log are lost: {self.log.error}"
            self.record["reason"] = lost

    def _fail(self, error: OSError) -> None:
        """The supervisor itself could not do its work; nothing of the instance stays."""
        cause = f"the instance's supervisor failed: {error}"
        self.record.update(exit_code=126, reason=cause)
        if self.init_pid is not None:
            os.kill(self.init_pid, signal.SIGKILL)
        processes.kill_descendants()
        if self.record["started_at"] is None:
            self._tell(cause)


def _take_sigterm() -> int:
    """SIGTERM, held back since before this process began, now wakes a pipe; others are ignored."""
    wakeup_r, wakeup_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup_w)
    signal.signal(signal.SIGTERM, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return wakeup_r


def _timeout_ms(*due: float | None) -> int:
    """Milliseconds until the next of some monotonic times, or until the next look."""
    now = time.monotonic()
    wait_s = min([_LOOK_S, *(at - now for at in due if at is not None)])
    return max(0, int(wait_s * 1000) + 1)


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _copy(source: str, target: str) -> None:
    """For hosts that allow no mounts."""
    import shutil

    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
