"""Starts a supervisor and hands it its descriptors."""

import fcntl
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.drivers.supervision import plan as protocol

_SUPERVISOR = Path(__file__).parent / "supervision" / "supervisor.py"
_FIRST_FREE_FD = 16
"""Descriptors are moved up here before they are handed over, so that none overwrites another."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a supervisor is handed; this process's copies are closed.

    Attributes:
        plan: plan.json, locked.
        alive: the lock that it holds for life.
        network: its network namespace, if it is to enter one.
    """

    plan: int
    alive: int
    network: int | None = None


@dataclass(frozen=True, slots=True)
class Spawned:
    """A supervisor that was just started.

    Attributes:
        pidfd: of the supervisor, a child of this process.
        outcome: what it said of the start: `started`, a cause, or nothing if it died.
    """

    pidfd: int
    outcome: str


def spawn_supervisor(folder: Path, descriptors: Descriptors, marker: str) -> Spawned:
    """Starts a supervisor in a session of its own and waits until the program runs or cannot.

    Raises:
        OSError: no process could be made.
    """
    outcome_r, outcome_w = os.pipe2(os.O_CLOEXEC)
    errors = os.open(
        folder / "supervisor.err", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    )
    given = {0: os.open(os.devnull, os.O_RDWR), 1: errors, 2: os.dup(errors)}
    given |= {
        protocol.PLAN_FD: descriptors.plan,
        protocol.ALIVE_FD: descriptors.alive,
        protocol.OUTCOME_FD: outcome_w,
    }
    if descriptors.network is not None:
        given[protocol.NETWORK_FD] = descriptors.network
    try:
        pid = _spawn(folder, given, marker)
    except OSError:
        os.close(outcome_r)
        raise
    pidfd = os.pidfd_open(pid)
    with os.fdopen(outcome_r, "rb") as outcome:
        return Spawned(pidfd, outcome.read().decode(errors="replace"))


def _spawn(folder: Path, given: dict[int, int], marker: str) -> int:
    """SIGTERM is held back until the supervisor can take it for what it means: stop."""
    moved = {}
    for target, fd in given.items():
        moved[target] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
        os.close(fd)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(_SUPERVISOR), str(folder / "plan.json")],
            {"LC_ALL": "C.UTF-8", "INTERMODAL_INSTANCE": marker, **_loader_path()},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in moved.items()],
            setsid=True,
            setsigmask=[signal.SIGTERM],
        )
    finally:
        for fd in moved.values():
            os.close(fd)


def _loader_path() -> dict[str, str]:
    """The interpreter itself may need it."""
    path = os.environ.get("LD_LIBRARY_PATH")
    return {} if path is None else {"LD_LIBRARY_PATH": path}
