"""Why an instance ended badly, in words that its owner can act on."""

import errno
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.errors import IntermodalError
from intermodal_contract.training_files import TrainingPaths, read_failure
from intermodal_engine.drivers.base import (
    CannotExecuteError,
    InstanceState,
    InstanceStatus,
    PlanRefusedError,
    StartFailedError,
)
from intermodal_engine.lifecycle.staging import DataMissingError
from intermodal_engine.store.log_streams import last_lines

REASON_LIMIT = 1024
"""Characters of a FailureReason, from the service's model."""


class MachineRestartedError(IntermodalError):
    """The machine went down while a job's instances ran.

    They are gone, and nobody can tell which of their files are whole.
    """

    def __init__(self) -> None:
        super().__init__("the machine was restarted while the job ran")


FAILURES = (DataMissingError, IntermodalError, PlanRefusedError, StartFailedError, OSError)
"""What ends a job or a deployment as Failed, in the words of `describe_error`; anything else is a
defect of the engine, and tried again."""

_SHOWN_NAME = 80

_TERMINAL_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor, clearing (CSI)
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links (OSC)
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Ending:
    """An instance that has ended.

    Attributes:
        host: its host name.
        status: how the driver saw it end.
        paths: its `/opt/ml`.
        log: the file with its output.
    """

    host: str
    status: InstanceStatus
    paths: TrainingPaths
    log: Path


def describe_ending(ending: Ending) -> str:
    """The FailureReason of a job because of this instance, as the service words it.

    The text of `/opt/ml/output/failure` if the program wrote one, else what the driver knows and
    the program's last words.
    """
    status = ending.status
    if status.state is InstanceState.LOST:
        reason = status.reason or "its supervisor is gone"
        return f"InternalServerError: instance `{ending.host}` was lost: {reason}"
    if status.out_of_memory:
        return (
            f"ClientError: out of memory: the kernel killed `{ending.host}` (exit code "
            f"{status.exit_code}). Please use an instance type with more memory, or reduce the "
            "size of job data processed on an instance."
        )
    written = read_failure(ending.paths)
    code = f"exit code: {status.exit_code}"
    if written:
        return f"AlgorithmError: {shorten(written, REASON_LIMIT - 60)}, {code}"
    text = f"{describe_exit(ending.host, status)}; {last_words(ending.log)}"
    return f"AlgorithmError: {shorten(text, REASON_LIMIT - 60)}, {code}"


def describe_error(error: Exception) -> str:
    """The FailureReason for an error that stopped the engine from going on with a job."""
    return printable(_describe_error(error))


def _describe_error(error: Exception) -> str:
    if isinstance(error, DataMissingError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"ClientError: no space is left on the file system of `{error.filename}`. Free some "
            "space, for example with `intermodal prune`, or give the engine a home on a larger disk"
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = Path(str(error.filename)).name
        return f"ClientError: a name is too long for a file: `{shorten(name, _SHOWN_NAME)}`"
    if isinstance(error, MachineRestartedError):
        return f"InternalServerError: {error.message}"
    if isinstance(error, IntermodalError):
        return f"ClientError: {error.message}" + (f" ({error.hint})" if error.hint else "")
    if isinstance(error, PlanRefusedError):
        return f"ClientError: {error}"
    if isinstance(error, CannotExecuteError):
        return f"AlgorithmError: CannotStartContainerError: {error}"
    return f"InternalServerError: {error}"


def describe_exit(host: str, status: InstanceStatus) -> str:
    """How a program ended that said nothing about it itself."""
    if status.reason:
        return status.reason
    if status.signal:
        return f"`{host}` was killed by signal {status.signal} ({_signal_name(status.signal)})"
    return f"`{host}` ended with exit code {status.exit_code}"


def last_words(log: Path) -> str:
    """The end of an instance's output, in one line."""
    said = " / ".join(last_lines(log, 3))
    return f"last output: {said}" if said else "it wrote no output"


def shorten(text: str, limit: int = REASON_LIMIT) -> str:
    """At most `limit` characters, and none that a terminal obeys; what was cut shows as `…`."""
    text = printable(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    r"""Text as a terminal shows it, without what it would do besides.

    Colours and the like go, a carriage return ends a line, other control characters show as
    `\x07`, bytes that were no text as `\udcff`; newlines and tabs stay.
    """
    lines = _TERMINAL_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], lines)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
