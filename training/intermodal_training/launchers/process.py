"""One plain process a host."""

import os
import stat
import sys
from pathlib import Path

from intermodal_training import supervise
from intermodal_training.errors import EntryPointError
from intermodal_training.hyperparameters import to_arguments
from intermodal_training.job import Job
from intermodal_training.launchers import Run
from intermodal_training.report import Ending, ending_of
from intermodal_training.user_code import EntryKind, EntryPoint


def check(job: Job, entry_point: EntryPoint) -> None:
    """Everything that can be found can be run."""


def launch(run: Run) -> Ending:
    """Runs it to its end."""
    command = plan(run.job, run.entry_point)
    try:
        outcome = supervise.run(command, run.folder, run.environment, run.signals)
    except OSError as error:
        raise EntryPointError(
            f"`{run.entry_point.name}` cannot be started: {error.strerror}",
            hint="does its first line name an interpreter that the image has, without a "
            "carriage return at its end?",
        ) from error
    hosts = run.job.resources.hosts
    whose = f"the script on {run.job.resources.current_host}" if len(hosts) > 1 else None
    return ending_of(outcome, command, whose)


def plan(job: Job, entry_point: EntryPoint) -> tuple[str, ...]:
    """The command that runs the entry point with the hyperparameters as arguments."""
    return (*_program(entry_point), *to_arguments(job.hyperparameters.user))


def _program(entry_point: EntryPoint) -> tuple[str, ...]:
    name = entry_point.name
    if entry_point.kind is EntryKind.SCRIPT:
        return sys.executable, f"./{name}" if name.startswith("-") else name
    if entry_point.kind is EntryKind.MODULE:
        return sys.executable, "-m", name
    path = entry_point.folder / name
    if _starts_by_itself(path):
        return (f"./{name}",)
    return "/bin/sh", f"./{name}"


def _starts_by_itself(path: Path) -> bool:
    """Whether the kernel can start it: a program, or a script that names its interpreter."""
    with path.open("rb") as file:
        magic = file.read(4)
    return os.access(path, os.X_OK) and (magic == b"\x7fELF" or magic.startswith(b"#!"))


def make_executable(entry_point: EntryPoint) -> None:
    """Gives a shell script or program the permission to run, which archives often lose."""
    path = entry_point.folder / entry_point.name
    if entry_point.kind not in {EntryKind.SHELL, EntryKind.EXECUTABLE}:
        return
    mode = path.stat().st_mode
    if not mode & stat.S_IXUSR and os.access(path.parent, os.W_OK):
        path.chmod(mode | 0o111)
