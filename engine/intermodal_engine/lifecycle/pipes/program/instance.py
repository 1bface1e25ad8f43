"""The instance that a feeder feeds, as its folder tells of it."""

# The program does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH110, PTH123
from __future__ import annotations

import os
import signal

from intermodal_engine.drivers.supervision import processes
from intermodal_engine.drivers.supervision.records import load_json
from intermodal_engine.lifecycle.pipes.program.watch import IN_DELETE, IN_MOVED_TO, Watch

PIPES = "pipes"
"""Folder of all that concerns pipes in the instance's own."""

EXIT_RECORD = "exit.json"
ENDED_MARK = "pipes-ended"
"""What the engine leaves in the instance's folder where no supervisor can say that it ended."""

_TELLING = (PIPES, EXIT_RECORD, ENDED_MARK)


class InstanceEndedError(Exception):
    """Nobody is left to feed."""


class WatchedInstance:
    """Knows when the instance has started, and when it has ended.

    Args:
        folder: the instance's.
        watch: told what to look at.
    """

    def __init__(self, folder: str, watch: Watch) -> None:
        self._folder = folder
        self._watch = watch
        self._supervisor: int | None = None
        # Not IN_DELETE_SELF: it does not come while anybody has a folder below this one open.
        self._number = watch.watch_file(folder, IN_MOVED_TO | IN_DELETE)
        self._look()

    @property
    def has_started(self) -> bool:
        """Whether its supervisor is known."""
        return self._supervisor is not None

    def take(self, events: list[tuple[int, int]], ended: list[int]) -> None:
        """Considers what has happened.

        Raises:
            InstanceEndedError: it has ended, or its folder is gone.
        """
        if self._supervisor in ended:
            raise InstanceEndedError
        if any(number == self._number for number, _ in events):
            self._look()

    def stop(self) -> None:
        """Asks its supervisor to end it: nothing more will come."""
        if self._supervisor is not None:
            signal.pidfd_send_signal(self._supervisor, signal.SIGTERM)

    def _look(self) -> None:
        there = {name for name in _TELLING if os.path.exists(f"{self._folder}/{name}")}
        if there != {PIPES}:
            raise InstanceEndedError
        if self._supervisor is None:
            self._supervisor = self._open_supervisor()
            if self._supervisor is not None:
                self._watch.watch_process(self._supervisor)

    def _open_supervisor(self) -> int | None:
        try:
            with open(f"{self._folder}/supervisor.json", "rb") as file:
                record: dict[str, int | str] = load_json(file.read())  # type: ignore[assignment] # the supervisor's own
        except FileNotFoundError:
            return None
        pid = int(record["pid"])
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise InstanceEndedError from None
        is_it = processes.start_ticks(pid) == record["start_ticks"]
        if not is_it or record["boot_id"] != processes.boot_id():
            raise InstanceEndedError
        return pidfd
