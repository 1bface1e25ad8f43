"""Values to datapoints: a range of time cut into periods, and one number for each.

What jobs print is kept value by value; all else as statistic sets. Their percentiles are known to
within a hundredth where the values were counted in bins, as the router's latencies are; else only
where each set stands for one value, as with CloudWatch.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from intermodal_engine.router.measurements import middle_of
from intermodal_engine.store.statistic_sets import StatisticSet

Statistic = Callable[[Sequence[StatisticSet]], float | None]
"""A number for some values; None where sets do not tell it."""

Datapoints = dict[int, list[StatisticSet]]
"""The values of each period that has any, by the epoch second in which it begins."""

_SHORT_PERIODS_S = (1, 5, 10, 20, 30)
_MINUTE_S = 60
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")

STATISTICS: Mapping[str, Statistic] = {
    "SampleCount": lambda sets: _count(sets),
    "Average": lambda sets: _sum(sets) / _count(sets),
    "Sum": lambda sets: _sum(sets),
    "Minimum": lambda sets: min(one.minimum for one in sets),
    "Maximum": lambda sets: max(one.maximum for one in sets),
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


def single(value: float) -> StatisticSet:
    """The set of one value."""
    return StatisticSet(1, value, value, value)


def deal(values: Sequence[tuple[float, StatisticSet]], periods: Periods) -> Datapoints:
    """Deals `(epoch seconds, set)` pairs, oldest first, out to their periods."""
    dealt: Datapoints = {}
    for at, value in values:
        number = math.floor((at - periods.start_s) / periods.period_s)
        dealt.setdefault(periods.start_s + number * periods.period_s, []).append(value)
    return dealt


def statistic(name: str) -> Statistic | None:
    """The function behind a statistic's name, percentiles (`p99`, `p99.9`) included."""
    if name in STATISTICS:
        return STATISTICS[name]
    found = _PERCENTILE.fullmatch(name)
    return None if found is None else _percentile(float(found[1]))


def _count(sets: Sequence[StatisticSet]) -> float:
    return math.fsum(one.count for one in sets)


def _sum(sets: Sequence[StatisticSet]) -> float:
    return math.fsum(one.total for one in sets)


def _percentile(percent: float) -> Statistic:
    """The value at a percentile, between two values in proportion."""

    def of(sets: Sequence[StatisticSet]) -> float | None:
        if not all(_is_spread_out(one) for one in sets):
            return None
        ordered = sorted(value for one in sets for value in _spread_out(one))
        place = max(0.0, _count(sets) - 1) * percent / 100
        below = _at(ordered, math.floor(place))
        above = _at(ordered, math.floor(place) + 1)
        return below + (above - below) * (place - math.floor(place))

    return of


def _is_spread_out(one: StatisticSet) -> bool:
    """Whether it is known how its values are distributed."""
    return one.minimum == one.maximum or sum((one.bins or {}).values()) == one.count


def _spread_out(one: StatisticSet) -> Iterator[tuple[float, float]]:
    """Values, and how often each comes; of bins what lies in their middle."""
    if one.minimum == one.maximum:
        yield one.minimum, one.count
        return
    for number, count in (one.bins or {}).items():
        yield min(one.maximum, max(one.minimum, middle_of(number))), count


def _at(ordered: Sequence[tuple[float, float]], place: int) -> float:
    """The value at a place, counted from 0, of values that come so many times each."""
    for value, count in ordered:
        if place < count:
            return value
        place -= int(count)
    return ordered[-1][0]
