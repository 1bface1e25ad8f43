"""Folders: made durable, and those of jobs, which may lie deeper than Python recurses."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

FOLDERS_DEEP = 256
"""Folders within folders that are looked into, as archives have them (`contract.artifact`)."""

_LONGEST_FOLDER = 4096 - 257
"""Bytes of a folder's path to which the kernel still takes any name within it."""


def below(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Everything below a folder, in the order of the alphabet; links are not followed.

    What is removed meanwhile is passed over.

    Yields:
        A path, and whether it is a folder that lies too deep to be looked into.
    """
    open_folders = [iter(_entries(str(folder)))]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        is_too_deep = is_folder and (
            len(open_folders) >= FOLDERS_DEEP or len(os.fsencode(entry.path)) > _LONGEST_FOLDER
        )
        yield Path(entry.path), is_too_deep
        if is_folder and not is_too_deep:
            open_folders.append(iter(_entries(entry.path)))


def sync(folder: Path) -> None:
    """Makes a folder's entries durable; one that is gone meanwhile needs none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_below(folder: Path) -> None:
    """Makes a folder and everything in it durable, so that it may get a name that says so."""
    for path, _ in below(folder):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            sync(path)
        elif stat.S_ISREG(status.st_mode):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync(folder)


def remove(folder: Path) -> None:
    """Removes a folder with everything in it; what cannot be removed stays."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["rm", "-rf", "--", str(folder)], stderr=subprocess.DEVNULL, check=False)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
