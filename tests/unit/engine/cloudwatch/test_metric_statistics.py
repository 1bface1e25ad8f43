"""Values become datapoints: ranges of time, periods, statistics."""

import math
import statistics as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.services.cloudwatch.statistics import cut, deal, is_period, single, statistic
from intermodal_engine.store.statistic_sets import StatisticSet

MOMENTS = st.floats(0, 4e9, allow_nan=False)
PERIODS = st.sampled_from([1, 5, 10, 20, 30, 60, 120, 300, 3600])


@given(start=MOMENTS, length=st.floats(0.001, 1e6), period_s=PERIODS)
def test_periods_cover_the_whole_range_from_the_minute_it_begins_in(
    start: float, length: float, period_s: int
) -> None:
    periods = cut(start, start + length, period_s)
    assert periods.start_s <= start < periods.start_s + 60
    assert periods.start_s % min(period_s, 60) == 0
    assert periods.end_s - period_s < start + length <= periods.end_s


@given(
    values=st.lists(st.tuples(st.floats(0, 5000), st.floats(-1e6, 1e6)), max_size=50),
    period_s=PERIODS,
)
def test_every_value_is_in_the_one_period_that_holds_its_time(
    values: list[tuple[float, float]], period_s: int
) -> None:
    values.sort()
    dealt = deal([(at, single(value)) for at, value in values], cut(0, 5001, period_s))
    every = [one.total for own in dealt.values() for one in own]
    assert every == [value for _, value in values]
    for begin, own in dealt.items():
        expected = [value for at, value in values if begin <= at < begin + period_s]
        assert [one.total for one in own] == expected


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_plain_statistics_are_what_their_names_say(values: list[float]) -> None:
    found = {
        name: function([single(value) for value in values])
        for name in ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
        if (function := statistic(name)) is not None
    }
    assert found["SampleCount"] == len(values)
    assert found["Sum"] == math.fsum(values)
    assert found["Average"] == pytest.approx(reference.fmean(values))
    assert (found["Minimum"], found["Maximum"]) == (min(values), max(values))


@pytest.mark.parametrize(
    ("name", "value"), [("p0", 1.0), ("p50", 3.0), ("p90", 4.6), ("p99.5", 4.98), ("p100", 5.0)]
)
def test_a_percentile_lies_between_values_in_proportion(name: str, value: float) -> None:
    function = statistic(name)
    assert function is not None
    sets = [single(one) for one in (5.0, 1.0, 4.0, 2.0, 3.0)]
    assert function(sets) == pytest.approx(value)


def test_a_percentile_of_sets_is_known_only_where_each_is_of_one_value() -> None:
    function = statistic("p75")
    assert function is not None
    assert function([StatisticSet(3, 3.0, 1.0, 1.0), StatisticSet(2, 10.0, 5.0, 5.0)]) == 5.0
    assert function([StatisticSet(2, 6.0, 1.0, 5.0), single(1.0)]) is None


@pytest.mark.parametrize("name", ["average", "p", "p101", "p99.", "tm99", "IQM", "p-1", ""])
def test_what_is_no_statistic_is_none(name: str) -> None:
    assert statistic(name) is None


def test_periods_are_those_of_cloudwatch() -> None:
    assert [one for one in range(-60, 200) if is_period(one)] == [1, 5, 10, 20, 30, 60, 120, 180]
