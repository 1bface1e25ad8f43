"""Alarms: what they make of values, when they ring, and who is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.lifecycle.alarms import AlarmState, Window, judge
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world

POLICY = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:x:resource/sagemaker/y"
ALARM: dict[str, Any] = {
    "AlarmName": "errors",
    "Namespace": "Shop",
    "MetricName": "Errors",
    "Statistic": "Sum",
    "Period": 10,
    "EvaluationPeriods": 3,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def decide(values: list[float | None], **changes: Any) -> AlarmState | None:
    request = {**ALARM, **changes}
    return judge(request, Window(0, 10, len(values)), values).state


@pytest.mark.parametrize(
    ("values", "changes", "state"),
    [
        ([6, 6, 6], {}, "ALARM"),
        ([6, 5, 6], {}, "OK"),
        ([6, 5, 6], {"DatapointsToAlarm": 2}, "ALARM"),
        ([None, None, None], {}, "INSUFFICIENT_DATA"),
        ([None, 6, 6], {"DatapointsToAlarm": 2}, "ALARM"),
        ([None, 6, 6], {"TreatMissingData": "breaching"}, "ALARM"),
        ([None, None, None], {"TreatMissingData": "breaching"}, "ALARM"),
        ([None, None, None], {"TreatMissingData": "notBreaching"}, "OK"),
        ([None, 6, 6], {"TreatMissingData": "ignore"}, None),
        ([None, None, None], {"TreatMissingData": "ignore"}, None),
        ([6, 6, 6], {"TreatMissingData": "ignore"}, "ALARM"),
        ([4, 4, 4], {"ComparisonOperator": "LessThanThreshold"}, "ALARM"),
        ([5, 5, 5], {"ComparisonOperator": "LessThanOrEqualToThreshold"}, "ALARM"),
        ([5, 5, 5], {"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, "ALARM"),
        ([5, 5, 5], {}, "OK"),
    ],
)
def test_values_make_a_state(
    values: list[float | None], changes: dict[str, Any], state: str | None
) -> None:
    assert decide(values, **changes) == state


@given(values=st.lists(st.floats(0, 10) | st.none(), min_size=1, max_size=6), data=st.data())
def test_an_alarm_rings_if_and_only_if_enough_values_breach(
    values: list[float | None], data: st.DataObject
) -> None:
    needed = data.draw(st.integers(1, len(values)))
    breaching = sum(value is not None and value > 5 for value in values)
    rings = decide(values, DatapointsToAlarm=needed) is AlarmState.ALARM
    assert rings == (breaching >= needed)


def test_the_reason_shows_the_values_and_the_threshold() -> None:
    request = {**ALARM, "DatapointsToAlarm": 1}
    verdict = judge(request, Window(1_700_000_000, 10, 2), [None, 7.0])
    assert verdict.state is AlarmState.ALARM
    assert verdict.value == 7.0
    assert verdict.reason == (
        "Threshold Crossed: 1 out of the last 2 datapoints [unknown (14/11/23 22:13:20), 7.0 "
        "(14/11/23 22:13:30)] was greater than the threshold (5.0)."
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "home")


def put(world: World, **changes: Any) -> None:
    world.call("PutMetricAlarm", "cloudwatch", **{**ALARM, **changes})
    world.settle()


def described(world: World, name: str = "errors") -> dict[str, Any]:
    answer = world.call("DescribeAlarms", "cloudwatch", AlarmNames=[name])
    found: dict[str, Any] = answer["MetricAlarms"][0]
    return found


def happens(world: World, value: float) -> None:
    """Errors in this second."""
    series = SetSeries("Shop", "Errors", {}, "None")
    one = StatisticSet(1, value, value, value)
    world.backends.statistic_sets.add([(series, int(world.clock.now()), one)])


def test_an_alarm_begins_without_data_rings_and_is_quiet_again(world: World) -> None:
    put(world)
    assert described(world)["StateValue"] == "INSUFFICIENT_DATA"
    for _ in range(4):
        happens(world, 6.0)
        world.advance(10)
    assert described(world)["StateValue"] == "ALARM"
    assert "was greater than the threshold (5.0)" in described(world)["StateReason"]
    happens(world, 1.0)
    world.advance(10)
    world.advance(1)
    assert described(world)["StateValue"] == "OK"
    history = world.call("DescribeAlarmHistory", "cloudwatch", AlarmName="errors")
    summaries = [one["HistorySummary"] for one in history["AlarmHistoryItems"]]
    assert summaries[0] == "Alarm updated from ALARM to OK"
    assert any(one.endswith("to ALARM") for one in summaries[1:])


def test_an_alarm_goes_on_in_the_next_engine(world: World) -> None:
    put(world, EvaluationPeriods=1)
    happens(world, 6.0)
    after = world.restarted()
    after.advance(11)
    assert described(after)["StateValue"] == "ALARM"


def test_a_state_is_set_by_hand_until_the_next_look(world: World) -> None:
    put(world, TreatMissingData="notBreaching")
    world.call(
        "SetAlarmState", "cloudwatch", AlarmName="errors", StateValue="ALARM", StateReason="drill"
    )
    assert described(world)["StateReason"] == "drill"
    world.advance(11)
    assert described(world)["StateValue"] == "OK"
    with pytest.raises(ServiceError, match="does not exist"):
        world.call(
            "SetAlarmState", "cloudwatch", AlarmName="none", StateValue="OK", StateReason="x"
        )


def test_alarms_are_found_by_name_prefix_state_metric_and_action(world: World) -> None:
    put(world, AlarmName="a-1", AlarmActions=[POLICY])
    put(world, AlarmName="a-2", TreatMissingData="breaching")
    put(world, AlarmName="b-1", MetricName="Other")

    def names(**wanted: Any) -> list[str]:
        answer = world.call("DescribeAlarms", "cloudwatch", **wanted)
        return [one["AlarmName"] for one in answer["MetricAlarms"]]

    assert names() == ["a-1", "a-2", "b-1"]
    assert names(AlarmNamePrefix="a") == ["a-1", "a-2"]
    assert names(StateValue="ALARM") == ["a-2"]
    assert names(ActionPrefix="arn:aws:autoscaling") == ["a-1"]
    first = world.call("DescribeAlarms", "cloudwatch", MaxRecords=2)
    assert names(NextToken=first["NextToken"]) == ["b-1"]
    of_metric = world.call(
        "DescribeAlarmsForMetric", "cloudwatch", MetricName="Other", Namespace="Shop"
    )
    assert [one["AlarmName"] for one in of_metric["MetricAlarms"]] == ["b-1"]
    world.call("DeleteAlarms", "cloudwatch", AlarmNames=["a-1", "a-2"])
    assert names() == ["b-1"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Period": 7}, "Period is 7"),
        ({"Period": 3600, "EvaluationPeriods": 30}, "must not exceed 86400"),
        ({"DatapointsToAlarm": 4}, "must not exceed EvaluationPeriods"),
        ({"ExtendedStatistic": "p99"}, "Exactly one of Statistic"),
        ({"TreatMissingData": "forget"}, "TreatMissingData must be one of"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, "LessThanLowerThreshold"),
        ({"AlarmActions": ["arn:aws:sns:us-east-1:123456789012:topic"]}, "arn:aws:sns"),
        ({"ThresholdMetricId": "m1"}, "ThresholdMetricId"),
    ],
)
def test_what_cannot_be_is_refused(world: World, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        put(world, **changes)
    assert world.call("DescribeAlarms", "cloudwatch")["MetricAlarms"] == []
