"""Small curves out of text or SVG, with no library that plots."""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_PADDING_PX = 3


def text_line(values: Sequence[float], width: int) -> str:
    """One row of bars, at most `width` of them; the lowest value has the lowest bar."""
    shown = _thinned(values, width)
    low, high = _range(shown)
    top = len(_BARS) - 1
    return "".join(_BARS[round((value - low) / (high - low) * top)] for value in shown)


def svg_line(values: Sequence[float], width_px: int, height_px: int) -> str:
    """An `<svg>` with a line, and a dot where it ends."""
    shown = _thinned(values, width_px)
    low, high = _range(shown)
    step = (width_px - 2 * _PADDING_PX) / max(1, len(shown) - 1)
    room = height_px - 2 * _PADDING_PX
    points = [
        (_PADDING_PX + step * index, _PADDING_PX + room * (high - value) / (high - low))
        for index, value in enumerate(shown)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    end_x, end_y = points[-1]
    return (
        f'<svg width="{width_px}" height="{height_px}" viewBox="0 0 {width_px} {height_px}">'
        f'<polyline points="{line}" fill="none" stroke="#2a7de1" stroke-width="1.5"/>'
        f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="2.5" fill="#2a7de1"/></svg>'
    )


def _thinned(values: Sequence[float], count: int) -> list[float]:
    """At most so many of them, evenly, the last one always."""
    if len(values) <= count:
        return list(values)
    return [values[(len(values) - 1) * index // (count - 1)] for index in range(count)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest, apart even where all values are one."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)
