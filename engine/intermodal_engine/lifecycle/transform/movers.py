"""Starts the programs that move records, finds them again, and reads what they left."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.drivers.supervision import processes
from intermodal_engine.drivers.supervision.records import load_json
from intermodal_engine.lifecycle.transform.plan import Plan

_PROGRAM = Path(__file__).parent / "program" / "mover.py"
_ERROR_BYTES = 2048
_STARTS = 3
_SETTLED = re.compile(r"(\d+)\.(out|failed|published)")


class Movers(Protocol):
    """Who moves the records of instances."""

    def ensure(self, folder: Path, plan: Plan) -> None:
        """Has an instance's share moved, unless somebody does or it is done.

        Args:
            folder: the `moved` folder, with the objects in it.
            plan: how.

        Raises:
            StartFailedError: nobody can do it.
        """

    def end(self, folder: Path) -> None:
        """Has nobody move it any more."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one object.

    Attributes:
        number: the object's.
        kind: `out`, `failed` or `published`.
        path: the file that says so.
    """

    number: int
    kind: str
    path: Path


def settled(folder: Path) -> Iterator[Settled]:
    """What became of the objects of an instance so far, in their order."""
    names = [one.name for one in os.scandir(folder)]
    found = [match for name in names if (match := _SETTLED.fullmatch(name))]
    for match in sorted(found, key=lambda one: int(one[1])):
        yield Settled(int(match[1]), match[2], folder / match[0])


def is_done(folder: Path) -> bool:
    """Whether a mover came to the end of its share."""
    return (folder / "done").exists()


def failure(folder: Path) -> str | None:
    """Why a mover could not go on; None if it could."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "failure").read_text(encoding="utf-8", errors="replace")
    return None


class MoverPrograms:
    """Movers as programs, which outlive the engine."""

    def ensure(self, folder: Path, plan: Plan) -> None:
        """Starts one, unless one lives or has come to its end. See `Movers`."""
        if is_done(folder) or failure(folder) is not None:
            return
        lock = _lock(folder / "lock")
        if lock is None:
            return
        try:
            # It may have ended between the two looks.
            if not is_done(folder) and failure(folder) is None:
                self._start(folder, plan, lock)
        finally:
            os.close(lock)

    def end(self, folder: Path) -> None:
        """Kills the one that lives. What it left is whole or is not there."""
        # A record that is torn is one of before the machine went down.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            record: dict[str, int | str] = load_json((folder / "mover.json").read_bytes())  # type: ignore[assignment] # the mover's own
            pid = int(record["pid"])
            pidfd = os.pidfd_open(pid)
            try:
                is_it = processes.start_ticks(pid) == record["start_ticks"]
                if is_it and record["boot_id"] == processes.boot_id():
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)

    def _start(self, folder: Path, plan: Plan, lock: int) -> None:
        starts = folder / "starts"
        with starts.open("a", encoding="ascii") as file:
            file.write("x")
        errors = folder / "errors"
        if starts.stat().st_size > _STARTS:
            said = errors.read_bytes()[-_ERROR_BYTES:].decode(errors="replace").strip()
            raise StartFailedError(f"the program that moves the data died {_STARTS} times: {said}")
        plan.write(folder)
        with errors.open("ab") as output:
            subprocess.run(
                [sys.executable, "-I", "-S", str(_PROGRAM), str(folder)],
                env={"LC_ALL": "C.UTF-8", **_library_path()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,
                check=True,
            )


def _lock(path: Path) -> int | None:
    """The lock that a mover will hold; None while one lives."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _library_path() -> dict[str, str]:
    """What the interpreter itself may need of the engine's environment."""
    path = os.environ.get("LD_LIBRARY_PATH")
    return {} if path is None else {"LD_LIBRARY_PATH": path}
