"""Runs the user's script as one rank: `python -m intermodal_training.launchers.rank ENTRY …`.

A launcher starts this in the place of the script, with the script's entry point (`train.py`, or
`-m MODULE`) and arguments. Output and signals pass through; how it ended is written down for
`train`.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from intermodal_training import supervise
from intermodal_training.errors import StoppedBeforeStartError
from intermodal_training.launchers.ranks import FOLDER_VARIABLE, RankFolder, RankReport

_RANK_VARIABLES = ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "DMLC_RANK")
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Runs it; ends with its exit code, or by the signal that ended it."""
    folder = RankFolder(Path(os.environ[FOLDER_VARIABLE]))
    signals = supervise.Signals(is_once=True)
    command = _command(sys.argv[1:])
    try:
        with signals.installed(), folder.among_siblings():
            folder.enter()
            outcome = supervise.run(
                command, Path.cwd(), os.environ, signals, on_start=_die_with_parent()
            )
            folder.leave(_report(command, outcome))
    except StoppedBeforeStartError as error:
        return error.exit_code
    if outcome.signal:
        _end_by(outcome.signal)
    return outcome.exit_code


def _command(arguments: list[str]) -> tuple[str, ...]:
    """What runs: Python where a script or a module is named, after `--` any program."""
    if arguments[0] == "--":
        return tuple(arguments[1:])
    return sys.executable, *arguments


def _report(command: tuple[str, ...], outcome: supervise.Outcome) -> RankReport:
    rank = next((os.environ[name] for name in _RANK_VARIABLES if name in os.environ), "0")
    host = os.environ.get("SM_CURRENT_HOST", "algo-1")
    return RankReport(int(rank), host, command, time.time(), outcome)


def _die_with_parent() -> Callable[[], None]:
    """The script must not outlive this process, which its launcher may kill."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return arrange


def _end_by(number: int) -> None:
    """Ends as the script did, so that its launcher sees the same."""
    if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
        return  # a second core dump helps nobody; the exit code says it
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
