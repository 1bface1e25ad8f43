"""The records of a channel: a file with one JSON array of parts a line."""

# The program does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH123
from __future__ import annotations

from array import array

from intermodal_engine.drivers.supervision.records import load_json
from intermodal_engine.lifecycle.pipes.program.order import epoch_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Records:
    """Reads records in the order of an epoch.

    Args:
        path: the file.
        seed: of the shuffle; None for the order of the file.
        host_index: which of the hosts that share the records.
        host_count: how many share them; 1 if each gets all.
    """

    def __init__(self, path: str, seed: int | None, host_index: int, host_count: int) -> None:
        self._path = path
        self._seed = seed
        self._host_index, self._host_count = host_index, host_count
        self._offsets = array("Q")
        offset = 0
        with open(path, "rb") as file:
            for line in file:
                self._offsets.append(offset)
                offset += len(line)

    def epoch(self, number: int) -> Iterator[list[str | list[str | int]]]:
        """The parts of each record that this host gets."""
        order = epoch_order(len(self._offsets), self._seed, number)
        with open(self._path, "rb") as file:
            for position in order[self._host_index :: self._host_count]:
                file.seek(self._offsets[position])
                yield load_json(file.readline())  # type: ignore[misc] # as plan.py wrote it
