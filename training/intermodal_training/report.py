"""Says why a job failed: in the log, and in the failure file, whose first 1024 characters count.

The user's own exception comes first, then where it was raised, then exit code and command.
"""

import contextlib
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePath

from intermodal_contract.training_files import FAILURE_LIMIT, TrainingPaths
from intermodal_training.supervise import Outcome

_TRACEBACK = re.compile(r"^[ |+]*(?:Exception Group )?Traceback \(most recent call last\):\s*$")
_EXCEPTION = re.compile(
    r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|Group)\b(?::|$| \()"
)
_RANK_PREFIX = re.compile(r"^\[rank\d+\]: ?")
"""What torch puts before each line of a rank's traceback."""
_GOODBYE = re.compile(r"^(?:\[rank\d+\]:)?(?:\[[WEIF]\d{4} |-{20,}$)")
"""What torch's logger and Open MPI's boxes begin with."""
_RUNNER = re.compile(r'^\s+File "(?:<frozen runpy>|.*/runpy\.py)", line ')
_EXCEPTION_LIMIT = 500
_COMMAND_LIMIT = 200
_SERVICE_ROOM = 40
"""For what the service writes around the text: `AlgorithmError: `, `, exit code: 1`."""
_LAST_LINES = 12
_SHELL_SIGNAL_BASE = 128

_MAX_MESSAGE_LINES = 15


def say(text: str) -> None:
    """Writes a line to the log (stderr), as `train`."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"train: {text}\n")
        sys.stderr.flush()


def forget_earlier_reports(paths: TrainingPaths) -> None:
    """Removes what an earlier run in the same folder reported."""
    for path in (paths.failure_file, paths.success_file):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def write_success(paths: TrainingPaths) -> None:
    """Writes the (empty) success file."""
    with contextlib.suppress(OSError):
        paths.output.mkdir(parents=True, exist_ok=True)
        paths.success_file.touch()


def write_failure(paths: TrainingPaths, text: str) -> None:
    """Writes the failure file, unless the script wrote one itself: it knows better."""
    path = paths.failure_file
    try:
        # The script may have made anything of it; opening a pipe would wait for a reader for ever.
        if path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_size)):
            return
        paths.output.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        say(f"`{path}` cannot be written: {error.strerror}")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run of the user's code ended, for whoever started the job.

    Attributes:
        exit_code: of the user's code; `train` ends with it.
        failure: text for the failure file; empty where the exit code is 0.
        is_told: whether the log says why already: nothing of the user's was killed.
    """

    exit_code: int
    failure: str = ""
    is_told: bool = True


def ending_of(outcome: Outcome, command: Sequence[str], of: str | None = None) -> Ending:
    """The ending of a run of one program. Arguments as for `describe`."""
    if outcome.exit_code == 0:
        return Ending(0)
    return Ending(outcome.exit_code, describe(outcome, command, of), is_told=not outcome.signal)


def describe(outcome: Outcome, command: Sequence[str], of: str | None = None) -> str:
    """The text of the failure file, at most 1024 characters.

    Args:
        outcome: how the program ended.
        command: what ran.
        of: which of the job's processes it was, for example `rank 1 on algo-2`; None: the only one.
    """
    shown = shlex.join([PurePath(command[0]).name, *command[1:]])
    whose = f" of {of}" if of else ""
    end = f"{_ending(outcome)}{whose}, command `{_short(shown, _COMMAND_LIMIT)}`"
    # A killed program could not say why it ended; what it said before comes after.
    if outcome.signal or outcome.out_of_memory:
        head = _killed(outcome)
        body = _last_lines(outcome.error_tail)
    # An uncaught exception ends Python with 1; with another code, one in the log was handled.
    elif outcome.exit_code == 1 and (raised := find_exception(outcome.error_tail)):
        head, body = _short(raised.message, _EXCEPTION_LIMIT), raised.frames
    else:
        head, body = "", _last_lines(outcome.error_tail)
        if not body:
            head = "the script said nothing on stderr"
    room = FAILURE_LIMIT - _SERVICE_ROOM - len(end) - len(head) - 2
    return "\n".join(part for part in (head, _end_of(body, room), end) if part)


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception that a Python program ended with.

    Attributes:
        message: its type and message.
        frames: its frames as Python prints them, the innermost last.
    """

    message: str
    frames: list[str]


def find_exception(error_tail: str) -> Raised | None:
    """Finds the exception that ended a Python program, in its stderr.

    Returns:
        The last one, or None if stderr does not end with one.
    """
    lines = [_RANK_PREFIX.sub("", line.rstrip()) for line in error_tail.splitlines()]
    start = next((i for i in reversed(range(len(lines))) if _TRACEBACK.match(lines[i])), None)
    if start is None:
        return _syntax_error(lines)
    first = start + 1
    while first < len(lines) and (lines[first].startswith((" ", "\t")) or not lines[first]):
        first += 1
    message = list(takewhile(_is_of_python, lines[first : first + _MAX_MESSAGE_LINES]))
    if not message:
        return None
    frames = [line for line in lines[start + 1 : first] if line and set(line.strip()) - set("^~")]
    return Raised("\n".join(message).rstrip(), _of_script(frames))


def _of_script(frames: list[str]) -> list[str]:
    """Without the frames of a runner (`python -m`, mpi4py's) around the script."""
    runner = [i for i, line in enumerate(frames) if _RUNNER.match(line)]
    return frames[runner[-1] + 1 :] if runner else frames


def _is_of_python(line: str) -> bool:
    """Whether a line may belong to a message: libraries say goodbye after the traceback."""
    return _GOODBYE.match(line) is None


def _syntax_error(lines: list[str]) -> Raised | None:
    """A script that cannot even be compiled ends with an exception, but without a traceback."""
    for index in reversed(range(len(lines))):
        if _EXCEPTION.match(lines[index]):
            first = index
            while first > 0 and lines[first - 1].startswith("  "):
                first -= 1
            if first == index:
                return None
            return Raised("\n".join(lines[index:]).rstrip(), lines[first:index])
    return None


def _ending(outcome: Outcome) -> str:
    if outcome.stopped_by:
        name = signal.Signals(outcome.stopped_by).name
        return f"exit code {outcome.exit_code} after `train` passed on {name}"
    if outcome.signal is None and _is_signal(outcome.exit_code - _SHELL_SIGNAL_BASE):
        # A shell ends so when what it ran was killed.
        name = _signal_name(outcome.exit_code - _SHELL_SIGNAL_BASE)
        memory = ", most likely because memory ran out" if name == "SIGKILL" else ""
        return f"exit code {outcome.exit_code} (128 + {name}{memory})"
    return f"exit code {outcome.exit_code}"


def _killed(outcome: Outcome) -> str:
    name = _signal_name(outcome.signal) if outcome.signal else f"exit code {outcome.exit_code}"
    if outcome.out_of_memory:
        return (
            f"out of memory: the kernel killed a process of the script ({name})\n"
            "hint: use a smaller batch, fewer data loader workers, or a bigger instance type"
        )
    if outcome.signal == outcome.stopped_by:
        return f"stopped: {name} was passed on to the script, which ended by it"
    if outcome.signal == signal.SIGKILL:
        return (
            "the script was killed by SIGKILL, most likely because memory ran out\n"
            "hint: use a smaller batch, fewer data loader workers, or a bigger instance type"
        )
    native = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT}
    if outcome.signal in native:
        return (
            f"the script crashed with {name}, in native code\n"
            "hint: set PYTHONFAULTHANDLER=1 in the job's environment to see where"
        )
    return f"the script was killed by {name}"


def _is_signal(number: int) -> bool:
    return number in signal.valid_signals()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal, or no signal at all
        return f"signal {number}"


def _last_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_LAST_LINES:]


def _end_of(lines: list[str], room: int) -> str:
    """The last whole lines that fit."""
    kept: list[str] = []
    for line in reversed(lines):
        if len(line) + 1 > room:
            break
        room -= len(line) + 1
        kept.insert(0, line)
    if not kept and lines and room > 20:
        return _short(lines[-1], room)
    return "\n".join(kept)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
