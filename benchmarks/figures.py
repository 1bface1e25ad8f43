"""A measured figure beside what must hold, and the table and the JSON of all of them."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

RUNS = 5


class NotMeasuredError(Exception):
    """Something that a figure needs is missing or failed; the message says what."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what was measured.
        unit: of the samples and of the limit.
        must: the bound that the figure has to keep; None where none is set.
        at_least: whether the bound is a lower one.
        samples: every run's value; empty if it could not be measured.
        note: what a reader should know: the peer's own figure, or why nothing was measured.
        detail: for the JSON alone.
    """

    what: str
    unit: str
    must: float | None
    samples: list[float] = field(default_factory=list)
    at_least: bool = False
    note: str = ""
    detail: str = ""

    @property
    def median(self) -> float | None:
        """The median of the samples."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def holds(self) -> bool | None:
        """Whether the median keeps the bound; None if there is nothing to compare."""
        if self.median is None or self.must is None:
            return None
        return self.median >= self.must if self.at_least else self.median <= self.must


def seconds_of(action: Callable[[], object]) -> float:
    """Wall-clock seconds that one call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def table(figures: Iterable[Figure]) -> str:
    """The figures as columns of text."""
    rows = [("what", "must", "median", "lowest - highest", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def write(figures: Iterable[Figure], folder: Path) -> Path:
    """Writes the figures, and the machine they were measured on, as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    entries = [
        asdict(figure) | {"median": figure.median, "holds": figure.holds} for figure in figures
    ]
    path.write_text(json.dumps({"machine": machine(), "figures": entries}, indent=2) + "\n")
    return path


def machine() -> dict[str, str | int | None]:
    """The machine, as far as the figures depend on it."""
    cpu_info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [
        line.split(":", 1)[1].strip() for line in cpu_info.splitlines() if "model name" in line
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    bound = "at least" if figure.at_least else "at most"
    must = "" if figure.must is None else f"{bound} {_number(figure.must)} {figure.unit}"
    if figure.median is None:
        return figure.what, must, "not measured", "", figure.note
    spread = f"{_number(min(figure.samples))} - {_number(max(figure.samples))} {figure.unit}"
    verdict = {True: "holds", False: "MISSED", None: ""}[figure.holds]
    return (
        figure.what,
        must,
        f"{_number(figure.median)} {figure.unit}",
        spread if len(figure.samples) > 1 else "one run",
        "  ".join(part for part in (verdict, figure.note) if part),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2f}"
