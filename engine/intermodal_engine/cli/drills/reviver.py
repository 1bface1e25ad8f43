"""Kills an engine and starts it again with the options, the variables and the folder that it had.

Run as a program with the engine's home and its process. It depends on nobody: whoever started it
may end meanwhile.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from intermodal_engine.home import wait_until_free

_PATIENCE_S = 20.0
_HIDDEN = ("--ready-descriptor", "--listener-descriptor")


def restart_arguments(argv: Sequence[str]) -> list[str]:
    """How an engine with this command line is started again; it returns when the engine answers."""
    kept = []
    skips = False
    for word in argv:
        if skips:
            skips = False
        elif word in _HIDDEN:
            skips = True
        elif word != "--detach" and word.partition("=")[0] not in _HIDDEN:
            kept.append(word)
    return [*kept, "--detach"]


def revive(home: Path, pid: int) -> None:
    """Does it; does not return."""
    process = Path(f"/proc/{pid}")
    argv = _words(process / "cmdline")
    environment = dict(word.partition("=")[::2] for word in _words(process / "environ"))
    folder = (process / "cwd").readlink()
    program = (process / "exe").readlink() if not Path(argv[0]).is_absolute() else argv[0]
    os.kill(pid, signal.SIGKILL)
    wait_until_free(home, _PATIENCE_S)
    os.chdir(folder)
    arguments = restart_arguments([str(program), *argv[1:]])
    os.execve(arguments[0], arguments, {**environment, "INTERMODAL_HOME": str(home)})  # noqa: S606


def _words(file: Path) -> list[str]:
    return [os.fsdecode(word) for word in file.read_bytes().split(b"\0") if word]


if __name__ == "__main__":
    revive(Path(sys.argv[1]), int(sys.argv[2]))
