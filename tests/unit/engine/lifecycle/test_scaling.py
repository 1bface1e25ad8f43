"""Scaling: what policies want, and what becomes of an endpoint whose alarms ring."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.lifecycle.scaling_policy import Bounds, stepped, tracked
from intermodal_engine.router.router import Health
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import (
    FOREVER,
    create_config,
    describe,
    endpoint_world,
    in_service,
    make_healthy,
)
from tests.helpers.lifecycle import World

HERE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/ep/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
DIMENSIONS = {"EndpointName": "ep", "VariantName": "AllTraffic"}
BOUNDS = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda two: Bounds(*sorted(two)))


@given(
    current=st.integers(1, 20),
    value=st.floats(0, 1e6),
    target=st.floats(0.1, 1e4),
    bounds=BOUNDS,
)
def test_tracking_stays_within_its_bounds_and_follows_the_value(
    current: int, value: float, target: float, bounds: Bounds
) -> None:
    wanted = tracked(current, value, target, bounds)
    assert bounds.least <= wanted <= bounds.most
    if value > target:
        assert wanted >= bounds.clamp(current)
    assert tracked(current, target, target, bounds) == bounds.clamp(current)
    assert wanted >= min(bounds.most, max(bounds.least, current // 2))


STEPS = [
    {"MetricIntervalUpperBound": -10.0, "ScalingAdjustment": -2},
    {"MetricIntervalLowerBound": -10.0, "MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1},
    {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 20.0, "ScalingAdjustment": 1},
    {"MetricIntervalLowerBound": 20.0, "ScalingAdjustment": 3},
]


@pytest.mark.parametrize(
    ("delta", "change"), [(-11, -2), (-10, -2), (-1, -1), (0, 1), (19.9, 1), (20, 3), (500, 3)]
)
def test_each_interval_has_its_step(delta: float, change: int) -> None:
    config = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": STEPS}
    assert stepped(10, delta, config, Bounds(1, 20)) == 10 + change


@pytest.mark.parametrize(
    ("kind", "adjustment", "more", "wanted"),
    [
        ("ExactCapacity", 7, {}, 7),
        ("PercentChangeInCapacity", 50, {}, 6),
        ("PercentChangeInCapacity", 10, {}, 5),
        ("PercentChangeInCapacity", 10, {"MinAdjustmentMagnitude": 3}, 7),
        ("PercentChangeInCapacity", -50, {}, 2),
        ("ChangeInCapacity", 100, {}, 10),
        ("ChangeInCapacity", -100, {}, 1),
    ],
)
def test_adjustments_are_of_three_kinds(
    kind: str, adjustment: int, more: dict[str, Any], wanted: int
) -> None:
    steps = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": adjustment}]
    config = {"AdjustmentType": kind, "StepAdjustments": steps, **more}
    assert stepped(4, 1.0, config, Bounds(1, 10)) == wanted


# An endpoint


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    in_service(world)
    return world


def scaling(world: World, operation: str, **parameters: Any) -> dict[str, Any]:
    answer = world.call(operation, "application-autoscaling", **{**HERE, **parameters})
    world.settle()
    return answer


def register(world: World, least: int = 1, most: int = 8, **more: Any) -> None:
    scaling(world, "RegisterScalableTarget", MinCapacity=least, MaxCapacity=most, **more)


def track(world: World, target: float = 60.0, **more: Any) -> dict[str, Any]:
    config = {
        "TargetValue": target,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
        "ScaleOutCooldown": 60,
        "ScaleInCooldown": 120,
        **more,
    }
    return scaling(
        world,
        "PutScalingPolicy",
        PolicyName="track",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=config,
    )


def asked(world: World, per_minute: float, minutes: int) -> None:
    """So many invocations an instance each minute."""
    series = SetSeries("AWS/SageMaker", "InvocationsPerInstance", DIMENSIONS, "None")
    for _ in range(minutes):
        one = StatisticSet(1, per_minute, per_minute, per_minute)
        world.backends.statistic_sets.add([(series, int(world.clock.now()), one)])
        for _ in range(6):
            world.advance(10)
        make_healthy(world)
        world.advance(1)
        make_healthy(world)


def count(world: World) -> int:
    found: int = describe(world)["ProductionVariants"][0]["DesiredInstanceCount"]
    return found


def activities(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scaling(world, "DescribeScalingActivities")["ScalingActivities"]
    return found


def test_traffic_above_the_target_scales_out_in_proportion_and_an_activity_tells(
    world: World,
) -> None:
    register(world)
    alarms = track(world)["Alarms"]
    prefix = "TargetTracking-endpoint/ep/variant/AllTraffic-Alarm"
    kinds = [one["AlarmName"].removeprefix(prefix).split("-")[0] for one in alarms]
    assert kinds == ["High", "Low"]
    asked(world, 60.0, 5)
    assert count(world) == 2
    while count(world) == 2:
        asked(world, 150.0, 1)
    assert count(world) == 5
    assert describe(world)["EndpointStatus"] == "InService"
    world.advance(1)
    (activity, *_) = activities(world)
    assert activity["StatusCode"] == "Successful", activity
    assert activity["Description"] == "Setting desired instance count to 5."
    assert "AlarmHigh" in activity["Cause"]
    assert "triggered policy track" in activity["Cause"]


def test_little_traffic_scales_in_slowly_and_never_below_the_least(world: World) -> None:
    register(world, most=8)
    track(world)
    asked(world, 200.0, 4)
    most = count(world)
    assert most >= 6
    asked(world, 1.0, 13)
    assert count(world) == most
    asked(world, 1.0, 20)
    assert count(world) == 1
    downs = [one for one in activities(world) if "AlarmLow" in one["Cause"]]
    assert len(downs) >= 2


def test_scaling_in_can_be_switched_off(world: World) -> None:
    register(world)
    track(world, DisableScaleIn=True)
    asked(world, 1.0, 20)
    assert count(world) == 2


def test_a_suspended_target_is_left_alone(world: World) -> None:
    register(world, SuspendedState={"DynamicScalingOutSuspended": True})
    track(world)
    asked(world, 500.0, 6)
    assert count(world) == 2


def test_a_capacity_that_is_out_of_its_bounds_is_changed_at_once(world: World) -> None:
    register(world, least=4)
    make_healthy(world)
    assert count(world) == 4
    world.advance(0.1)  # activities are told apart by when they began
    register(world, least=1, most=3)
    world.advance(2)
    make_healthy(world)
    world.advance(2)
    assert count(world) == 3
    world.advance(1)
    last, first = activities(world)
    assert (last["StatusCode"], first["StatusCode"]) == ("Successful", "Overridden")


def test_new_instances_that_never_get_healthy_fail_the_activity(world: World) -> None:
    register(world, least=4)
    world.advance(61)
    world.advance(1)
    world.advance(1)
    assert activities(world)[-1]["StatusCode"] == "Failed"
    assert "the earlier number is kept" in activities(world)[-1]["StatusMessage"]


def test_steps_follow_an_alarm_of_ones_own(world: World) -> None:
    register(world)
    policy = scaling(
        world,
        "PutScalingPolicy",
        PolicyName="steps",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [
                {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 50.0,
                 "ScalingAdjustment": 1},
                {"MetricIntervalLowerBound": 50.0, "ScalingAdjustment": 3},
            ],
            "Cooldown": 600,
        },
    )  # fmt: skip
    world.call(
        "PutMetricAlarm",
        "cloudwatch",
        AlarmName="mine",
        Namespace="AWS/SageMaker",
        MetricName="InvocationsPerInstance",
        Dimensions=[{"Name": name, "Value": value} for name, value in DIMENSIONS.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=100.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[policy["PolicyARN"]],
    )
    asked(world, 170.0, 2)
    assert count(world) == 5
    asked(world, 500.0, 3)
    assert count(world) == 5  # the cooldown


def test_another_engine_goes_on_scaling(world: World) -> None:
    register(world)
    track(world)
    asked(world, 150.0, 2)
    after = world.restarted()
    after.driver.script("*", FOREVER)
    after.router.healths.update(world.router.healths)
    asked(after, 150.0, 3)
    assert count(after) >= 5


def test_what_is_registered_is_described_and_goes_with_its_alarms(world: World) -> None:
    register(world)
    track(world)
    (target,) = world.call(
        "DescribeScalableTargets",
        "application-autoscaling",
        ServiceNamespace="sagemaker",
        ResourceIds=[HERE["ResourceId"]],
    )["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 8)
    (policy,) = scaling(world, "DescribeScalingPolicies")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60.0
    assert len(world.call("DescribeAlarms", "cloudwatch")["MetricAlarms"]) == 2
    track(world, target=70.0)
    assert len(world.call("DescribeAlarms", "cloudwatch")["MetricAlarms"]) == 2
    scaling(world, "DeregisterScalableTarget")
    assert scaling(world, "DescribeScalingPolicies")["ScalingPolicies"] == []
    assert world.call("DescribeAlarms", "cloudwatch")["MetricAlarms"] == []
    with pytest.raises(ServiceError, match="No scalable target found"):
        scaling(world, "DeregisterScalableTarget")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ServiceNamespace": "ecs"}, "`ServiceNamespace` `ecs`"),
        ({"ResourceId": "endpoint/none/variant/AllTraffic"}, "Could not find endpoint none"),
        ({"ResourceId": "endpoint/ep/variant/none"}, "has no production variant none"),
        ({"ResourceId": "something"}, "not of the form"),
        ({"MinCapacity": 5, "MaxCapacity": 2}, "must not be greater than MaxCapacity"),
        ({"MinCapacity": 0}, "cannot be less than 1"),
    ],
)
def test_what_cannot_be_scaled_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        scaling(world, "RegisterScalableTarget", **{"MinCapacity": 1, "MaxCapacity": 4, **changes})


def test_a_policy_without_a_target_is_refused(world: World) -> None:
    with pytest.raises(ServiceError, match="No scalable target found"):
        track(world)


def test_a_variant_that_is_being_updated_is_scaled_afterwards(world: World) -> None:
    create_config(world, "other", count=2)
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="other")
    world.settle()
    register(world, least=3)
    assert count(world) == 2
    make_healthy(world)
    world.advance(2)
    make_healthy(world)
    world.advance(2)
    assert count(world) == 3
    assert all(world.router.health(one) is not Health.UNHEALTHY for one in world.router.healths)
