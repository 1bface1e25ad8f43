"""What the board counts, in Prometheus' text format, summed over all workers.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from intermodal_serving.board import BATCHES, PHASES, SECONDS, STATUSES, Board, WorkerState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "intermodal_serving"


def exposition(board: Board) -> str:
    """The whole text."""
    return "\n".join([*_lines(board), ""])


def _lines(board: Board) -> Iterator[str]:
    ready = sum(row.state is WorkerState.READY for row in board)
    yield from _single("workers_wanted", "gauge", "Workers that shall be ready.", board.wanted)
    yield from _single("workers_ready", "gauge", "Workers that are ready.", ready)
    yield from _header("responses_total", "counter", "Answers by HTTP status.")
    statuses = _sum(row.statuses for row in board)
    for status, count in zip([*map(str, STATUSES), "other"], statuses, strict=True):
        if count:
            yield f'{_PREFIX}_responses_total{{status="{status}"}} {count:g}'
    name = "invocation_seconds"
    yield from _header(name, "histogram", "Time of answered invocations by phase.")
    for phase in PHASES:
        cells = _sum(row.phases[phase].cells for row in board)
        yield from _histogram(name, f'phase="{phase}",', SECONDS, cells)
    yield from _header("batch_requests", "histogram", "Requests that the model got at once.")
    batches = _sum(row.batches.cells for row in board)
    yield from _histogram("batch_requests", "", BATCHES, batches)
    loads, evictions = sum(row.loads for row in board), sum(row.evictions for row in board)
    yield from _single("model_loads_total", "counter", "Models loaded.", loads)
    yield from _single("model_evictions_total", "counter", "Models thrown out.", evictions)
    model_bytes = sum(row.model_bytes for row in board)
    yield from _single(
        "model_bytes", "gauge", "Size of the files of models held, of many.", model_bytes
    )
    gpu_bytes = sum(row.gpu_bytes for row in board)
    yield from _single("gpu_memory_bytes", "gauge", "GPU memory that models hold.", gpu_bytes)


def _header(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {text}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"


def _single(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    yield from _header(name, kind, text)
    yield f"{_PREFIX}_{name} {value:g}"


def _histogram(
    name: str, labels: str, bounds: Sequence[float], cells: Sequence[float]
) -> Iterator[str]:
    counts = [*accumulate(cells[:-1])]
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        yield f'{_PREFIX}_{name}_bucket{{{labels}le="{bound}"}} {count:.0f}'
    plain = f"{{{labels.rstrip(',')}}}" if labels else ""
    yield f"{_PREFIX}_{name}_sum{plain} {cells[-1]:.9g}"
    yield f"{_PREFIX}_{name}_count{plain} {counts[-1]:.0f}"


def _sum(rows: Iterable[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)]
