"""Statistic sets are added up, rolled up and dropped, and no sum changes by it."""

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from intermodal_engine.router.instance import Backend
from intermodal_engine.router.measurements import Measurement, Measurements
from intermodal_engine.services.cloudwatch.statistics import statistic
from intermodal_engine.store.database import Database
from intermodal_engine.store.statistic_sets import (
    COARSE_S,
    FINE_S,
    SetSeries,
    StatisticSet,
    StatisticSets,
)

SERIES = SetSeries("AWS/SageMaker", "Invocations", {"EndpointName": "e", "VariantName": "v"})
NOW = 1_800_000_000
ONE = Backend("i-1", "e", "v", 1, "us-east-1a", "127.0.0.1", 8080)
VALUES = st.lists(
    st.tuples(st.integers(NOW - FINE_S - 600, NOW), st.integers(-1000, 1000)), max_size=40
)


def kept(sets: StatisticSets, start: float = 0, end: float = 2 * NOW) -> list[StatisticSet]:
    found = sets.values(SERIES.namespace, SERIES.metric, SERIES.dimensions, start, end)
    return [one for values in found.values() for _, one in values]


def one(value: float) -> StatisticSet:
    return StatisticSet(1, value, value, value)


@settings(max_examples=40)
@given(values=VALUES, ages=st.lists(st.integers(-600, 600), max_size=4))
def test_sums_over_whole_minutes_are_those_of_the_values_however_often_rolled_up(
    values: list[tuple[int, int]], ages: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "engine.sqlite")
        sets = StatisticSets(database)
        # Values that come after their minute was rolled up count with it.
        for number, (at, value) in enumerate(values):
            sets.add([(SERIES, at, one(value))])
            if number < len(ages):
                sets.age(NOW + ages[number])
        sets.age(NOW)
        for minute in {at // 60 * 60 for at, _ in values}:
            expected = [value for at, value in values if minute <= at < minute + 60]
            found = kept(sets, minute, minute + 60)
            assert math.fsum(each.total for each in found) == sum(expected)
            assert sum(each.count for each in found) == len(expected)
            assert min(each.minimum for each in found) == min(expected)
            assert max(each.maximum for each in found) == max(expected)
        database.close()


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    sets = StatisticSets(Database(tmp_path / "engine.sqlite"))
    sets.add([(SERIES, NOW + second, one(1.0)) for second in range(120)])
    assert len(kept(sets)) == 120
    sets.age(NOW + 120 + FINE_S)
    assert [each.count for each in kept(sets)] == [60, 60]
    assert len(sets.series()) == 1
    sets.age(NOW + 180 + COARSE_S)
    assert (kept(sets), sets.series()) == ([], [])


def test_sets_of_a_second_are_added_up_across_calls(tmp_path: Path) -> None:
    sets = StatisticSets(Database(tmp_path / "engine.sqlite"))
    sets.add([(SERIES, NOW, StatisticSet(2, 5.0, 1.0, 4.0)), (SERIES, NOW, one(9.0))])
    sets.add([(SERIES, NOW, one(0.5))])
    assert kept(sets) == [StatisticSet(4, 14.5, 0.5, 9.0)]


@settings(max_examples=40)
@given(values=st.lists(st.floats(2, 1e8), min_size=1, max_size=60), aged=st.booleans())
def test_percentiles_of_counted_values_are_within_a_hundredth(
    values: list[float], aged: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "engine.sqlite")
        sets = StatisticSets(database)
        measurements = Measurements(lambda: NOW)
        for value in values:
            measurements.record(ONE, "ModelLatency", value)
            if len(values) % 2:
                continue
            sets.add([counted(each) for each in measurements.take()])
        sets.add([counted(each) for each in measurements.take()])
        if aged:
            sets.age(NOW + 120 + FINE_S)
        for percent in (0, 50, 90, 100):
            function = statistic(f"p{percent}")
            assert function is not None
            found = function(kept(sets))
            ordered = sorted(values)
            exact = function([one(value) for value in ordered])
            assert found is not None
            assert exact is not None
            assert math.isclose(found, exact, rel_tol=0.011)
        database.close()


def counted(each: Measurement) -> tuple[SetSeries, int, StatisticSet]:
    numbers = (each.count, each.total, each.minimum, each.maximum)
    return SERIES, each.at, StatisticSet(*numbers, each.bins)
