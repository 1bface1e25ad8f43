"""What the router measures, and what people send, is read through CloudWatch's operations."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.faults import FaultKind
from intermodal_engine.router.instance import Backend
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world

ONE = Backend("i-1", "digits", "main", 1, "us-east-1a", "127.0.0.1", 8080)
OTHER = Backend("i-2", "digits", "main", 1, "us-east-1b", "127.0.0.1", 8081)
NOBODY = Backend("", "digits", "main", 1, "", "", 0)
VARIANT = {"EndpointName": "digits", "VariantName": "main"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "home")


def read(world: World, name: str, namespace: str, **dimensions: str) -> list[dict[str, Any]]:
    now = datetime.fromtimestamp(world.clock.now(), UTC)
    answer = world.call(
        "GetMetricStatistics",
        "cloudwatch",
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=86400,
        Statistics=["Sum", "SampleCount", "Average", "Minimum", "Maximum"],
    )
    found: list[dict[str, Any]] = answer["Datapoints"]
    return found


def endpoint_sum(world: World, name: str, **dimensions: str) -> float | None:
    found = read(world, name, "AWS/SageMaker", **VARIANT, **dimensions)
    return found[0]["Sum"] if found else None


def put(world: World, *data: dict[str, Any], namespace: str = "Mine") -> None:
    world.call("PutMetricData", "cloudwatch", Namespace=namespace, MetricData=list(data))


def test_what_was_measured_while_the_disk_was_full_is_written_when_there_is_room(
    world: World,
) -> None:
    world.backends.faults.begin(FaultKind.DISK_FULL, {}, 5)
    world.router.measurements.count(ONE, 1.0, 2.0, 200)
    world.advance(1)
    world.router.measurements.count(ONE, 1.0, 2.0, 200)
    world.advance(1)
    assert endpoint_sum(world, "Invocations") is None
    world.advance(5)
    assert endpoint_sum(world, "Invocations") == 2


def test_invocations_are_seen_by_variant_by_instance_and_by_zone(world: World) -> None:
    for backend, times in ((ONE, 3), (OTHER, 2)):
        for _ in range(times):
            world.router.measurements.count(backend, 1.0, 2.0, 200)
    world.router.measurements.count(OTHER, 1.0, 2.0, 503)
    world.router.measurements.count_unserved(NOBODY)
    world.advance(1)
    assert endpoint_sum(world, "Invocations") == 7
    assert endpoint_sum(world, "Invocation5XXErrors") == 2
    assert endpoint_sum(world, "Invocations", InstanceId="i-1") == 3
    assert endpoint_sum(world, "Invocations", AvailabilityZone="us-east-1b") == 3
    (latency,) = read(world, "ModelLatency", "AWS/SageMaker", **VARIANT)
    assert (latency["Unit"], latency["SampleCount"]) == ("Microseconds", 6)


def test_what_was_kept_outlives_the_engine(world: World) -> None:
    world.router.measurements.record(ONE, "Invocations", 1.0)
    world.advance(1)
    assert endpoint_sum(world.restarted(), "Invocations") == 1


def test_an_endpoints_metrics_are_listed_and_nobody_is_no_instance(world: World) -> None:
    world.router.measurements.record(ONE, "Invocations", 1.0)
    world.router.measurements.count_unserved(NOBODY)
    world.advance(1)
    wanted = [{"Name": "EndpointName", "Value": "digits"}]
    answer = world.call("ListMetrics", "cloudwatch", MetricName="Invocations", Dimensions=wanted)
    assert sorted(
        "+".join(one["Name"] for one in each["Dimensions"]) for each in answer["Metrics"]
    ) == [
        "AvailabilityZone+EndpointName+VariantName",
        "EndpointName+InstanceId+VariantName",
        "EndpointName+VariantName",
    ]


def test_values_that_people_send_come_one_by_one_by_counts_and_as_sets(world: World) -> None:
    sets = {"SampleCount": 2, "Sum": 5, "Minimum": 1, "Maximum": 4}
    put(world, {"MetricName": "depth", "Value": 3.0, "Unit": "Count"})
    put(world, {"MetricName": "depth", "Values": [1.0, 2.0], "Counts": [2, 1], "Unit": "Count"})
    put(world, {"MetricName": "depth", "StatisticValues": sets, "Unit": "Count"})
    (found,) = read(world, "depth", "Mine")
    del found["Timestamp"], found["ExtendedStatistics"]
    assert found == {
        "Sum": 12, "SampleCount": 6, "Average": 2, "Minimum": 1, "Maximum": 4, "Unit": "Count",
    }  # fmt: skip
    put(world, {"MetricName": "depth", "Value": 1.0, "Unit": "Bytes"})
    assert {one["Unit"]: one["Sum"] for one in read(world, "depth", "Mine")} == {
        "Count": 12,
        "Bytes": 1,
    }


@pytest.mark.parametrize(
    ("datum", "words"),
    [
        ({}, "exactly one of"),
        ({"Value": 1.0, "Values": [1.0]}, "exactly one of"),
        ({"Values": []}, "no number"),
        ({"Value": 1e300}, "no number"),
        ({"Values": [1.0], "Counts": [1.0, 2.0]}, "as many Counts"),
        ({"Value": 1.0, "Timestamp": datetime(2001, 1, 1, tzinfo=UTC)}, "two weeks"),
    ],
)
def test_values_that_cannot_be_are_refused_and_nothing_is_kept(
    world: World, datum: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        put(world, {"MetricName": "good", "Value": 1.0}, {"MetricName": "bad", **datum})
    assert read(world, "good", "Mine") == []


def test_nobody_sends_values_in_the_place_of_aws(world: World) -> None:
    with pytest.raises(ServiceError, match="reserved"):
        put(world, {"MetricName": "Invocations", "Value": 1.0}, namespace="AWS/SageMaker")
