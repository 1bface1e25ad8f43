"""Sees every file that this process makes, changes or removes outside the folder it may use."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.rename": (0, 1),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.utime": (0,),
    "os.setxattr": (0,),
    "shutil.rmtree": (0,),
}
_ALLOWED = ("/dev/null", "/proc/")

_roots: list[str] = []
_found: list[str] = []


@contextmanager
def confined_to(root: Path) -> Iterator[list[str]]:
    """Collects, while it lasts, what is changed elsewhere. Python's own byte code is no matter."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    _roots.append(os.path.realpath(root))
    _found.clear()
    try:
        yield _found
    finally:
        _roots.pop()


_installed: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _roots:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _look(event, path)
    elif event in _CHANGES:
        for index in _CHANGES[event]:
            _look(event, arguments[index])


def _look(event: str, path: object) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a descriptor: the file was opened before
    text = os.fsdecode(path)
    if not text.startswith("/"):
        # Relative to a descriptor of a folder inside; what climbs out of that would have dots.
        if ".." in text.split("/"):
            _found.append(f"{event} {text}")
        return
    parent = os.path.realpath(os.path.dirname(text))  # noqa: PTH120 - of a text, in a hook
    if text.endswith(".pyc") or "__pycache__" in text or text.startswith(_ALLOWED):
        return
    if not f"{parent}/".startswith(f"{_roots[-1]}/") and text != _roots[-1]:
        _found.append(f"{event} {text}")
