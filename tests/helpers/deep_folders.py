"""Folders within folders, deeper than Python recurses and than a path can say at once."""

import os
from pathlib import Path

DEPTH = 2500


def make_deep(folder: Path, depth: int = DEPTH) -> None:
    """Makes `d/d/d/...` below a folder, with a file in the last one."""
    here = os.open(folder, os.O_PATH)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_PATH, dir_fd=here), here
        os.close(above)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
