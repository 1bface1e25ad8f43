"""A drill's page: one HTML file with its plot inside, which needs nothing from anywhere."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from intermodal_engine.cli.drills.figures import Span
from intermodal_engine.cli.drills.load import Sample

_WIDTH, _HEIGHT = 900, 320
_LEFT, _BOTTOM, _TOP, _RIGHT = 60, 30, 14, 14
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 940px; margin: 2em auto; padding: 0 1em; }
pre { overflow-x: auto; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: currentColor; } .grid { stroke: currentColor; opacity: .15; }
.span { fill: #d97706; opacity: .15; } .good { fill: #2563eb; opacity: .6; } .bad { fill: #dc2626; }
"""


def page(title: str, lines: Sequence[str], samples: Sequence[Sample], span: Span) -> str:
    """The page as text.

    Args:
        title: its heading.
        lines: what is to be said.
        samples: every call, for the plot.
        span: which part of it is shaded.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
        f"<h1>{escape(title)}</h1>\n<pre>{escape(chr(10).join(lines))}</pre>\n"
        f"{_plot(samples, span)}\n"
        "<p>Each dot is a call: when it began, and how long its client waited for the outcome. Red "
        "ones failed. The shaded part goes from what the drill did until all was whole again.</p>"
        "</body></html>\n"
    )


def _plot(samples: Sequence[Sample], span: Span) -> str:
    end_s = max([span.ended_s, *(one.began_s for one in samples), 0.001])
    times_ms = [max(one.seconds * 1000, 0.1) for one in samples] or [1.0]
    low, high = math.floor(math.log10(min(times_ms))), math.ceil(math.log10(max(times_ms)) + 1e-9)
    high = max(high, low + 1)

    def x(at_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at_s / end_s

    def y(ms: float) -> float:
        share = (math.log10(max(ms, 0.1)) - low) / (high - low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * share

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="latency of each call">',
        f'<rect class="span" x="{x(span.began_s):.1f}" y="{_TOP}" '
        f'width="{max(1.0, x(span.ended_s) - x(span.began_s)):.1f}" '
        f'height="{_HEIGHT - _BOTTOM - _TOP}"/>',
    ]
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
        )
        parts.append(
            f'<text x="{_LEFT - 6}" y="{at + 4}" text-anchor="end">{10.0**power:g} ms</text>'
        )
    parts += [
        f'<text x="{x(second):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{second:g} s</text>'
        for second in _ticks(end_s)
    ]
    for one in samples:
        kind = "bad" if one.error else "good"
        what = escape(one.error or "answered", quote=True)
        parts.append(
            f'<circle class="{kind}" cx="{x(one.began_s):.1f}" cy="{y(one.seconds * 1000):.1f}" '
            f'r="2.5"><title>{what}, {one.seconds * 1000:.1f} ms</title></circle>'
        )
    return "".join([*parts, "</svg>"])


def _ticks(end_s: float) -> Iterator[float]:
    step = next((one for one in (0.5, 1, 2, 5, 10, 30, 60, 300) if end_s / one <= 12), 600)
    at = 0.0
    while at <= end_s:
        yield at
        at += step
