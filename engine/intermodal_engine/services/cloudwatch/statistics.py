"""Values to datapoints: a range of time cut into periods, and one number for each.

Unlike CloudWatch, which keeps fine periods for hours and coarse ones for months, the engine has
every value at every period for ever.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Datapoints = dict[int, list[float]]
"""The values of each period that has any, by the epoch second in which it begins."""

_SHORT_PERIODS_S = (1, 5, 10, 20, 30)
_MINUTE_S = 60
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")

STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "SampleCount": len,
    "Average": lambda values: math.fsum(values) / len(values),
    "Sum": math.fsum,
    "Minimum": min,
    "Maximum": max,
}
"""CloudWatch's plain statistics, by their names on the wire."""


@dataclass(frozen=True, slots=True)
class Periods:
    """A range of time, cut.

    Attributes:
        start_s: epoch second in which the first period begins.
        period_s: length of each.
        count: how many there are.
    """

    start_s: int
    period_s: int
    count: int

    @property
    def end_s(self) -> int:
        """Epoch second in which the last one ends."""
        return self.start_s + self.count * self.period_s


def is_period(period_s: int) -> bool:
    """Whether CloudWatch has periods of this length."""
    return period_s in _SHORT_PERIODS_S or (period_s > 0 and period_s % _MINUTE_S == 0)


def cut(start_s: float, end_s: float, period_s: int) -> Periods:
    """Cuts a range as CloudWatch does: from the minute, or the shorter period, it begins in."""
    step = min(period_s, _MINUTE_S)
    first = math.floor(start_s / step) * step
    return Periods(first, period_s, max(0, math.ceil((end_s - first) / period_s)))


def deal(values: Sequence[tuple[float, float]], periods: Periods) -> Datapoints:
    """Deals `(epoch seconds, value)` pairs, oldest first, out to their periods."""
    dealt: Datapoints = {}
    for at, value in values:
        number = math.floor((at - periods.start_s) / periods.period_s)
        dealt.setdefault(periods.start_s + number * periods.period_s, []).append(value)
    return dealt


def statistic(name: str) -> Callable[[Sequence[float]], float] | None:
    """The function behind a statistic's name, percentiles (`p99`, `p99.9`) included."""
    if name in STATISTICS:
        return STATISTICS[name]
    found = _PERCENTILE.fullmatch(name)
    return None if found is None else _percentile(float(found[1]))


def _percentile(percent: float) -> Callable[[Sequence[float]], float]:
    """The value at a percentile, between two values in proportion."""

    def of(values: Sequence[float]) -> float:
        ordered = sorted(values)
        place = (len(ordered) - 1) * percent / 100
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    return of
