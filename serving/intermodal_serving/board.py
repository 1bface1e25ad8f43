"""What the processes of one container tell each other: a table in memory that all of them share.

Each worker writes the row of its own; everybody reads all rows, so any worker can speak for all.
All cells are 64-bit floats, written whole, so that no reader sees half of one.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import accumulate
from time import monotonic

STATUSES = (
    101, 200, 201, 202, 204, 400, 403, 404, 405, 406, 408, 409, 413, 414, 415, 424, 426, 429, 431,
    500, 501, 503, 504, 507,
)  # fmt: skip
"""HTTP statuses that are counted each; the rest is counted together."""

PHASES = ("queue", "decode", "predict", "encode", "total")
SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the time histograms' buckets."""

BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Upper bounds of the batch sizes' histogram, in requests."""

_CELL_BYTES = 8


class WorkerState(IntEnum):
    """What a worker is doing."""

    NONE = 0
    LOADING = 1
    READY = 2
    DRAINING = 3
    FAILED = 4


class _Layout:
    """Where in a row what lies; lengths in cells."""

    PID, STATE, BUSY_SINCE, LOADS, EVICTIONS, GPU_BYTES, MODEL_BYTES, LOADING_BYTES = range(8)
    FIXED = 8
    HISTOGRAM = len(SECONDS) + 2  # one bucket a bound, one for the rest, the sum
    BATCH_HISTOGRAM = len(BATCHES) + 2
    LENGTHS = (FIXED, len(STATUSES) + 1, *[HISTOGRAM] * len(PHASES), BATCH_HISTOGRAM)
    OFFSETS = (0, *accumulate(LENGTHS))
    ROW = OFFSETS[-1]


class Board:
    """The table.

    Args:
        rows: as many workers as there may be at once.
        wanted: as many as shall be ready.
    """

    def __init__(self, rows: int, wanted: int) -> None:
        self.rows = rows
        self.wanted = wanted
        self._cells = memoryview(mmap.mmap(-1, rows * _Layout.ROW * _CELL_BYTES)).cast("d")

    def row(self, number: int) -> "Row":
        """One worker's row."""
        return Row(self._cells[number * _Layout.ROW : (number + 1) * _Layout.ROW])

    def __iter__(self) -> Iterator["Row"]:
        return (self.row(number) for number in range(self.rows))

    @property
    def is_ready(self) -> bool:
        """Whether as many workers are ready as shall be."""
        return sum(row.state is WorkerState.READY for row in self) >= self.wanted

    def is_stuck(self, timeout_s: float) -> bool:
        """Whether a worker that shall answer is busy with one thing for longer than that."""
        return any(row.state is WorkerState.READY and row.busy_s > timeout_s for row in self)


class Row:
    """One worker's cells."""

    def __init__(self, cells: "memoryview[float]") -> None:
        self._cells = cells
        parts = [cells[o : o + n] for o, n in zip(_Layout.OFFSETS, _Layout.LENGTHS, strict=False)]
        self._fixed, self._statuses = parts[0], parts[1]
        self.phases = {
            name: Histogram(part, SECONDS) for name, part in zip(PHASES, parts[2:], strict=False)
        }
        self.batches = Histogram(parts[-1], BATCHES)

    @property
    def pid(self) -> int:
        """The worker's process id; 0 where there is none."""
        return int(self._fixed[_Layout.PID])

    @pid.setter
    def pid(self, value: int) -> None:
        self._fixed[_Layout.PID] = value

    @property
    def state(self) -> WorkerState:
        """What the worker is doing."""
        return WorkerState(int(self._fixed[_Layout.STATE]))

    @state.setter
    def state(self, value: WorkerState) -> None:
        self._fixed[_Layout.STATE] = value

    def begin(self) -> None:
        """The model has something to do from now on."""
        self._fixed[_Layout.BUSY_SINCE] = monotonic()

    def extend(self, more_s: float) -> None:
        """What the model is busy with may take so much longer before it counts as hanging."""
        self._fixed[_Layout.BUSY_SINCE] = monotonic() + more_s

    def end(self) -> None:
        """The model is idle."""
        self._fixed[_Layout.BUSY_SINCE] = 0.0

    @property
    def busy_s(self) -> float:
        """For how long the model has been busy with one thing, in seconds."""
        since = self._fixed[_Layout.BUSY_SINCE]
        return monotonic() - since if since else 0.0

    def clear(self) -> None:
        """The worker is gone; what it counted stays."""
        self.pid, self.state = 0, WorkerState.NONE
        self.end()
        self.gpu_bytes = self.model_bytes = self.loading_bytes = 0.0

    def count_status(self, status: int) -> None:
        """One more answer of that status."""
        self._statuses[_STATUS_CELLS.get(status, len(STATUSES))] += 1

    @property
    def statuses(self) -> Sequence[float]:
        """Answers by status, in the order of `STATUSES`, then all others."""
        return self._statuses.tolist()

    def count_load(self) -> None:
        """One more model loaded."""
        self._fixed[_Layout.LOADS] += 1

    def count_eviction(self) -> None:
        """One more model thrown out."""
        self._fixed[_Layout.EVICTIONS] += 1

    @property
    def loads(self) -> float:
        """Models loaded."""
        return float(self._fixed[_Layout.LOADS])

    @property
    def evictions(self) -> float:
        """Models thrown out."""
        return float(self._fixed[_Layout.EVICTIONS])

    @property
    def gpu_bytes(self) -> float:
        """GPU memory that the worker's models hold."""
        return float(self._fixed[_Layout.GPU_BYTES])

    @gpu_bytes.setter
    def gpu_bytes(self, value: float) -> None:
        self._fixed[_Layout.GPU_BYTES] = value

    @property
    def model_bytes(self) -> float:
        """The size of the files of the models that the worker holds, where it serves many."""
        return float(self._fixed[_Layout.MODEL_BYTES])

    @model_bytes.setter
    def model_bytes(self, value: float) -> None:
        self._fixed[_Layout.MODEL_BYTES] = value

    @property
    def loading_bytes(self) -> float:
        """Memory that the worker is about to take for a model."""
        return float(self._fixed[_Layout.LOADING_BYTES])

    @loading_bytes.setter
    def loading_bytes(self, value: float) -> None:
        self._fixed[_Layout.LOADING_BYTES] = value


_STATUS_CELLS = {status: place for place, status in enumerate(STATUSES)}


class Histogram:
    """Counts by bucket, and the sum of what was observed.

    Args:
        cells: one a bound, one for what is above all of them, one for the sum.
        bounds: upper bounds, rising.
    """

    __slots__ = ("_bounds", "_cells")

    def __init__(self, cells: "memoryview[float]", bounds: Sequence[float]) -> None:
        self._cells = cells
        self._bounds = bounds

    def observe(self, value: float) -> None:
        """One more observation."""
        self._cells[bisect_left(self._bounds, value)] += 1
        self._cells[-1] += value

    @property
    def cells(self) -> Sequence[float]:
        """Counts by bucket, and last the sum."""
        return self._cells.tolist()
