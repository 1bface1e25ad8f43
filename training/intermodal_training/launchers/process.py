"""One plain process a host."""

import os
import stat
import sys
from pathlib import Path

from intermodal_training.hyperparameters import to_arguments
from intermodal_training.job import Job
from intermodal_training.user_code import EntryKind, EntryPoint


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
