"""Starts the programs that feed pipes, finds them again, and reads why they failed."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.lifecycle.pipes.program.feeding import READY
from intermodal_engine.lifecycle.pipes.program.instance import ENDED_MARK, EXIT_RECORD, PIPES

_PROGRAM = Path(__file__).parent / "program" / "feeder.py"
_ERROR_BYTES = 4096


class Feeders:
    """The feeders of all instances. What is known of them lies in the instances' folders."""

    def ensure(self, instance_folder: Path, log: Path) -> None:
        """Makes sure that each pipe of an instance is fed; call it before the instance is started.

        Harmless where one feeds it already, or where the instance has ended.

        Args:
            instance_folder: the instance's own folder, with the plans that staging left there.
            log: the instance's log.

        Raises:
            StartFailedError: a pipe cannot be fed.
        """
        if any((instance_folder / name).exists() for name in (EXIT_RECORD, ENDED_MARK)):
            return
        for plan in sorted((instance_folder / PIPES).glob("*.json")):
            lock = _lock(plan.with_suffix(".lock"))
            if lock is not None:
                try:
                    _start(plan, log, lock)
                finally:
                    os.close(lock)

    def failure(self, instance_folder: Path) -> str | None:
        """Why a pipe of an instance could not be fed to its end; None if nothing went wrong."""
        for file in sorted((instance_folder / PIPES).glob("*.failure")):
            return file.read_text(encoding="utf-8", errors="replace")
        return None

    def end(self, instance_folder: Path) -> None:
        """Ends the feeders of an instance that has ended, or that is never to be started.

        Those of one that has a supervisor end with it by themselves.
        """
        if (instance_folder / PIPES).is_dir():
            made = instance_folder / PIPES / ENDED_MARK
            made.touch()
            made.rename(instance_folder / ENDED_MARK)


def _lock(path: Path) -> int | None:
    """The lock that a feeder will hold; None while one lives."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _start(plan: Path, log: Path, lock: int) -> None:
    ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
    with os.fdopen(ready_r, "rb") as ready, plan.with_suffix(".err").open("ab") as errors:
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", str(_PROGRAM), plan, log, str(lock), str(ready_w)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=(lock, ready_w),
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            raise StartFailedError(f"the pipe `{plan.stem}` cannot be fed: {error}") from error
        finally:
            os.close(ready_w)
        answer = ready.read()
    if answer != READY:
        said = answer or plan.with_suffix(".err").read_bytes()[-_ERROR_BYTES:].strip()
        raise StartFailedError(
            f"the pipe `{plan.stem}` cannot be fed: {said.decode(errors='replace')}"
        )


def _environment() -> dict[str, str]:
    """Nothing of the engine's, save what the interpreter itself may need."""
    path = os.environ.get("LD_LIBRARY_PATH")
    return {"LC_ALL": "C.UTF-8"} | ({} if path is None else {"LD_LIBRARY_PATH": path})
