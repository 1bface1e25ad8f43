"""The processes of a launcher that run the user's script on one host: who they are, how they ended.

A launcher such as torchrun hides both: it ends with 1 whatever a script ended with, gives a stop
signal 30 s, and tells of a failure in pages of its own. So each script runs under `rank.py`, which
leaves its pid and its report in a folder; `train` passes stop signals to the ranks themselves and
reads the reports.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from intermodal_training import report
from intermodal_training.errors import StoppedBeforeStartError
from intermodal_training.report import Ending
from intermodal_training.supervise import Outcome, to_group

FOLDER_VARIABLE = "INTERMODAL_RANKS"
"""Where the ranks of this host report; set by `train`, read by `rank.py`."""

_STOPPED = "stopped"
_RUNNING = "running"


@dataclass(frozen=True, slots=True)
class RankReport:
    """How one rank ended.

    Attributes:
        rank: over all hosts.
        host: where it ran.
        command: of the script.
        ended_at: epoch seconds.
        outcome: how.
    """

    rank: int
    host: str
    command: tuple[str, ...]
    ended_at: float
    outcome: Outcome

    @property
    def ending(self) -> Ending:
        """In the words of the failure file."""
        return report.ending_of(self.outcome, self.command, f"rank {self.rank} on {self.host}")

    def to_json(self) -> dict[str, Any]:
        """As it travels between processes and hosts."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "RankReport":
        """What `to_json` gave."""
        outcome, command = Outcome(**entry["outcome"]), tuple(entry["command"])
        return cls(**{**entry, "outcome": outcome, "command": command})


class RankFolder:
    """Where the ranks of one host report.

    Args:
        path: a folder of this user's alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def variables(self) -> dict[str, str]:
        """How the ranks find it."""
        return {FOLDER_VARIABLE: str(self.path)}

    def pass_on(self, number: int, launcher: int) -> None:
        """Passes a stop signal to every rank, to the launcher only where none runs yet.

        Args:
            number: of the signal.
            launcher: process group.
        """
        try:
            self.path.joinpath(_STOPPED).write_text(str(int(number)))
        except FileNotFoundError:  # all is over, and the folder gone
            return
        pids = [int(path.suffix[1:]) for path in self.path.glob("rank.*")]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if not pids:
            to_group(number, launcher)

    def reports(self) -> list[RankReport]:
        """Of the ranks that have ended, in the order of their ends."""
        found = [
            RankReport.from_json(json.loads(path.read_bytes()))
            for path in self.path.glob("report.*.json")
        ]
        return sorted(found, key=lambda one: one.ended_at)

    # What a rank itself does.

    def enter(self) -> None:
        """Says that this process is a rank.

        Raises:
            StoppedBeforeStartError: the job was stopped before.
        """
        self.path.joinpath(f"rank.{os.getpid()}").touch()
        if number := self.stopped_by():
            raise StoppedBeforeStartError(number)

    def stopped_by(self) -> int | None:
        """The signal that the service stops the job with, if it does."""
        try:
            return int(self.path.joinpath(_STOPPED).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def leave(self, of: RankReport) -> None:
        """Says how this rank ended."""
        new = self.path / f"new.{os.getpid()}"
        new.write_text(json.dumps(of.to_json()))
        new.rename(self.path / f"report.{of.rank}.json")
        self.path.joinpath(f"rank.{os.getpid()}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def among_siblings(self) -> Iterator[None]:
        """Holds the end of a stopped rank back until all ranks of this host have ended.

        Otherwise the launcher would kill those that still save.
        """
        import fcntl

        with self.path.joinpath(_RUNNING).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield
            if self.stopped_by() is not None:
                fcntl.flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def rank_folder() -> Iterator[RankFolder]:
    """A new one, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ranks-") as path:
        yield RankFolder(Path(path))


def first_failure(reports: Sequence[RankReport]) -> RankReport | None:
    """The rank that failed first; those that were ended because another failed come last."""
    failed = [one for one in reports if one.outcome.exit_code != 0]
    failed.sort(key=lambda one: (one.outcome.stopped_by is not None, one.ended_at))
    return failed[0] if failed else None


def settle(reports: Sequence[RankReport], of_launcher: Ending, *, was_stopped: bool) -> Ending:
    """How a run ended, from its ranks' ends, and only where these say nothing its launcher's.

    Args:
        reports: of the ranks.
        of_launcher: how the launcher itself ended.
        was_stopped: the service stopped the job; then the ranks' own ends decide.
    """
    failure = first_failure(reports)
    if of_launcher.exit_code == 0 or (was_stopped and reports and failure is None):
        return Ending(0)
    return of_launcher if failure is None else failure.ending
