"""A training job in a notebook: one display, drawn anew as things change, all of it escaped."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from intermodal.curves import Curve
from intermodal.job_picture import JobPicture, Moment, duration
from intermodal.live import LogLine
from intermodal.sparklines import svg_line, text_line
from intermodal_contract.statuses import TrainingJobStatus

DRAWN_EVERY_S = 0.2
TAIL_LINES = 12
KEPT_LINES = 2000
_HOST_COLOURS = ("#2a7de1", "#b0459c", "#2e8b57", "#1794a5", "#b8860b")
_STATUS_COLOURS = {
    TrainingJobStatus.COMPLETED: "#2e8b57",
    TrainingJobStatus.FAILED: "#c62f2f",
    TrainingJobStatus.STOPPED: "#b8860b",
    TrainingJobStatus.STOPPING: "#b8860b",
}
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])|[\x00-\x08\x0b-\x1f\x7f]"
)
# In reverse, so that it is scrolled to its end.
_BOX = (
    "display:flex;flex-direction:column-reverse;overflow:auto;margin:2px 0 6px;padding:6px 8px;"
    "border:1px solid rgba(128,128,128,.35);border-radius:4px"
)
_LINES = "margin:0;white-space:pre-wrap;line-height:1.35;font-size:12px"


class NotebookView:
    """Draws into one display, a few times a second at most, and always at the end.

    Args:
        display: IPython's `display`.
        clock: seconds that only grow.
    """

    has_curves = True

    def __init__(
        self,
        display: Callable[..., Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._display = display or _ipython_display()
        self._clock = clock
        self._handle: Any = None
        self._picture: JobPicture | None = None
        self._notes: deque[str] = deque(maxlen=20)
        self._hosts: dict[str, deque[str]] = {}
        self._counts: dict[str, int] = {}
        self._drawn_at_s: float | None = None

    def say(self, text: str) -> None:
        """Show a note below the state."""
        self._notes.append(text)
        self._draw()

    def show(self, moment: Moment) -> None:
        """Take in what is new; drawn now or with one of the next moments."""
        self._picture = moment.picture
        self._keep(moment.lines)
        last = self._drawn_at_s
        if moment.picture.has_ended or last is None or self._clock() - last >= DRAWN_EVERY_S:
            self._draw()

    def let_go(self) -> None:
        """Draw what was held back; a display is in nobody's way."""
        self._draw()

    def _keep(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            kept = self._hosts.setdefault(line.host, deque(maxlen=KEPT_LINES))
            kept.append(_ESCAPES.sub("", line.text.rstrip("\r").rpartition("\r")[2]))
            self._counts[line.host] = self._counts.get(line.host, 0) + 1

    def _draw(self) -> None:
        data = {"text/html": self._html(), "text/plain": self._text()}
        if self._handle is None:
            self._handle = self._display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
        self._drawn_at_s = self._clock()

    def _html(self) -> str:
        picture = self._picture
        parts = [] if picture is None else [_state(picture), _curves(picture.curves)]
        parts += [f'<div style="opacity:.8">{escape(note)}</div>' for note in self._notes]
        parts += [self._log(host, index) for index, host in enumerate(sorted(self._hosts))]
        return f'<div style="font-family:monospace;font-size:13px">{"".join(parts)}</div>'

    def _log(self, host: str, index: int) -> str:
        """The tail while the job runs, every line that is kept once it has ended."""
        has_ended = self._picture is not None and self._picture.has_ended
        kept = self._hosts[host]
        shown = list(kept) if has_ended else list(kept)[-TAIL_LINES:]
        missing = self._counts[host] - len(shown)
        height = "max-height:17em;" if has_ended else ""
        colour = _HOST_COLOURS[index % len(_HOST_COLOURS)]
        hidden = f"; {missing} above, all of them with logs()" if missing else ""
        return (
            f'<div><b style="color:{colour}">{escape(host)}</b> '
            f'<span style="opacity:.65">{self._counts[host]} lines{hidden}</span></div>'
            f'<div style="{height}{_BOX};border-left:3px solid {colour}">'
            f'<pre style="{_LINES}">{escape(chr(10).join(shown))}</pre></div>'
        )

    def _text(self) -> str:
        picture = self._picture
        if picture is None:
            return "\n".join(self._notes)
        curves = [
            f"  {curve.name} {curve.last:.4g} {text_line(curve.values, 20)}"
            for curve in picture.curves
        ]
        return "\n".join([_words(picture), *curves, *self._notes])


def _words(picture: JobPicture) -> str:
    word = str(picture.status) if picture.has_ended else picture.phase
    return f"Training job {picture.name}: {word} after {duration(picture.elapsed_s)}"


def _state(picture: JobPicture) -> str:
    colour = _STATUS_COLOURS.get(picture.status, "#2a7de1")
    word = str(picture.status) if picture.has_ended else picture.phase
    facts = [duration(picture.elapsed_s)]
    if picture.epoch is not None:
        facts.append(f"epoch {picture.epoch:g}" + (f"/{picture.epochs}" if picture.epochs else ""))
    if picture.billable_s is not None:
        facts.append(f"{duration(picture.billable_s)} billable")
    told = "".join(f" · {escape(fact)}" for fact in facts)
    return (
        f'<div><span style="color:{colour}">●</span> <b>{escape(word)}</b>{told}'
        f' <span style="opacity:.65">{escape(picture.name)}</span></div>'
        f"{_bar(picture.progress, colour)}"
        f'<div style="opacity:.8">{escape(picture.message)}</div>'
    )


def _bar(progress: float | None, colour: str) -> str:
    if progress is None:
        return ""
    return (
        '<div style="width:320px;height:6px;margin:4px 0;border-radius:3px;'
        'background:rgba(128,128,128,.25)">'
        f'<div style="width:{100 * progress:.0f}%;height:6px;border-radius:3px;'
        f'background:{colour}"></div></div>'
    )


def _curves(curves: Iterable[Curve]) -> str:
    rows = "".join(
        f'<tr style="background:none"><td style="text-align:left">{escape(curve.name)}</td>'
        f'<td style="text-align:right"><b>{curve.last:.4g}</b></td>'
        f"<td>{svg_line(curve.values, 220, 34)}</td>"
        f'<td style="text-align:left;opacity:.65">{min(curve.values):.4g} to '
        f"{max(curve.values):.4g}</td></tr>"
        for curve in curves
    )
    return f'<table style="margin:4px 0;border:none">{rows}</table>' if rows else ""


def _ipython_display() -> Callable[..., Any]:
    from importlib import import_module

    shown: Callable[..., Any] = import_module("IPython.display").display
    return shown
