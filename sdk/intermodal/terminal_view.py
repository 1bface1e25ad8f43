"""A training job in a terminal: its log scrolls by, and below it a few rows are drawn in place."""

import os
import re
import shutil
from dataclasses import dataclass, replace
from typing import TextIO

from intermodal.curves import Curve
from intermodal.job_picture import JobPicture, Moment, duration
from intermodal.live import LiveView, LogLine
from intermodal.sparklines import text_line
from intermodal_contract.statuses import TrainingJobStatus

_PLAIN = "\x1b[0m"
_BOLD, _DIM, _GREEN, _RED, _YELLOW, _BLUE = (
    f"\x1b[{code}m" for code in ("1", "2", "32", "31", "33", "34")
)
_COLOURS = {
    TrainingJobStatus.COMPLETED: _GREEN,
    TrainingJobStatus.FAILED: _RED,
    TrainingJobStatus.STOPPED: _YELLOW,
    TrainingJobStatus.STOPPING: _YELLOW,
}
_BAR_WIDTH = 20
_WIDEST = 100
_WIDEST_CURVE = 40
# What a log line may not do to rows that are drawn in place: all but colours.
_MOVES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _Span:
    text: str
    style: str = ""


class TerminalView:
    """Log lines and status changes are printed once and stay; the rows below them follow the job.

    Args:
        out: a terminal.
    """

    has_curves = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines = LiveView(self)
        self._printed: list[str] = []
        self._picture: JobPicture | None = None
        self._rows_drawn = 0

    def say(self, text: str) -> None:
        """Print a line above the rows."""
        self._lines.say(text)
        self._draw()

    def show(self, moment: Moment) -> None:
        """Print what is new above the rows, and draw these anew."""
        self._picture = moment.picture
        lines = [replace(line, text=_harmless(line)) for line in moment.lines]
        has_hosts = moment.picture.instances > 1
        self._lines.happened(moment.transitions, lines, has_hosts=has_hosts)
        self._draw()

    def let_go(self) -> None:
        """The rows stay as they are; others will be drawn below."""
        self._rows_drawn = 0
        self._picture = None

    # What `LiveView` writes to; all of it reaches the terminal together with the rows below.

    def write(self, text: str) -> int:
        """Keep it until the rows are drawn."""
        self._printed.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is in the terminal's way."""

    def isatty(self) -> bool:
        """It ends in one."""
        return True

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        rows = self._rows(min(size.columns - 1, _WIDEST))[: max(1, size.lines - 2)]
        erased = f"\r\x1b[{self._rows_drawn}A\x1b[J" if self._rows_drawn else ""
        drawn = "".join(f"{row}\n" for row in rows)
        self._out.write(f"{erased}{''.join(self._printed)}{drawn}")
        self._out.flush()
        self._printed.clear()
        self._rows_drawn = len(rows)

    def _rows(self, width: int) -> list[str]:
        picture = self._picture
        if picture is None:
            return []
        label = max((len(curve.name) for curve in picture.curves), default=0)
        rows = [
            [_Span(f"── {picture.name} ".ljust(width, "─"), _DIM)],
            _state(picture),
            *(_curve(curve, min(label, width // 3), width) for curve in picture.curves),
        ]
        if not picture.has_ended:
            rows.append([_Span("  Ctrl-C: detach or stop", _DIM)])
        return [_fitted(row, width) for row in rows]


def _state(picture: JobPicture) -> list[_Span]:
    colour = _COLOURS.get(picture.status, _BLUE)
    word = str(picture.status) if picture.has_ended else picture.phase
    row = [_Span("  ● ", colour), _Span(word, _BOLD), _Span(f"  {duration(picture.elapsed_s)}")]
    if picture.epoch is not None:
        of = f"/{picture.epochs}" if picture.epochs else ""
        row.append(_Span(f"  epoch {picture.epoch:g}{of}"))
    if picture.progress is not None:
        done = round(picture.progress * _BAR_WIDTH)
        row += [_Span(f"  {'━' * done}", colour), _Span("─" * (_BAR_WIDTH - done), _DIM)]
    if picture.billable_s is not None:
        row.append(_Span(f"  {duration(picture.billable_s)} billable", _DIM))
    if picture.message:
        row.append(_Span(f"  {_CONTROLS.sub(' ', picture.message)}", _DIM))
    return row


def _curve(curve: Curve, label: int, width: int) -> list[_Span]:
    room = min(_WIDEST_CURVE, max(4, width - label - 44))
    low, high = min(curve.values), max(curve.values)
    return [
        _Span(f"    {curve.name[:label].ljust(label)}  "),
        _Span(f"{curve.last:<10.4g}", _BOLD),
        _Span(f" {text_line(curve.values, room)}", _BLUE),
        _Span(f"  {low:.4g} to {high:.4g}", _DIM),
    ]


def _fitted(row: list[_Span], width: int) -> str:
    """A row that is never longer than the terminal is wide: it could not be erased."""
    is_coloured = not os.environ.get("NO_COLOR")
    parts = []
    for span in row:
        text = (
            span.text if len(span.text) <= width else f"{span.text[: max(0, width - 1)]}…"[:width]
        )
        width -= len(text)
        parts.append(f"{span.style}{text}{_PLAIN}" if is_coloured and span.style else text)
    return "".join(parts)


def _harmless(line: LogLine) -> str:
    """A log line without what moves the cursor; a bar that was drawn over itself as it ended."""
    text = _MOVES.sub("", line.text.rstrip("\r").rpartition("\r")[2])
    return _CONTROLS.sub("", text)
