"""Folders that jobs made, which may lie within each other deeper than Python recurses."""

import os
import shutil
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
