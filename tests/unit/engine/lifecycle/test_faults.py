"""Faults that drills ask for: what they do, that they end in time, whoever dies meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.fault_effects import Throttle
from intermodal_engine.lifecycle.faults import Fault, FaultKind
from intermodal_engine.lifecycle.fleet import members_of
from intermodal_engine.services.internal import find_task
from intermodal_engine.store.objects.errors import StorageFullError
from intermodal_engine.store.space import is_disk_full
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import (
    FOREVER,
    create_config,
    describe,
    endpoint_world,
    in_service,
    make_healthy,
)
from tests.helpers.lifecycle import World, make_world, training_request

ZONE = {"zone": "us-east-1a"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    in_service(world)
    return world


def zones_of(world: World) -> list[str]:
    record = world.backends.records.get("endpoint", "ep")
    return sorted(one.zone[-1] for one in members_of(record.state))


def ask(world: World, task: str, **parameters: Any) -> dict[str, Any]:
    return find_task(task)(world.backends, parameters)


def test_a_fault_ends_when_its_time_is_over(world: World) -> None:
    faults = world.backends.faults
    faults.begin(FaultKind.ZONE, ZONE, 60)
    world.settle()
    assert [one.kind for one in faults.present()] == [FaultKind.ZONE]
    world.advance(59)
    assert len(faults.present()) == 1
    world.advance(2)
    assert faults.present() == []
    assert world.backends.records.all("fault") == []


def test_a_fault_goes_on_under_the_next_engine_and_ends_there(world: World) -> None:
    world.backends.faults.begin(FaultKind.DISK_FULL, {}, 60)
    world.clock.advance(30)
    again = world.restarted()
    with pytest.raises(StorageFullError):
        again.backends.objects.put_bytes("models", "late", b"x")
    again.advance(31)
    again.backends.objects.put_bytes("models", "late", b"x")
    assert again.backends.records.all("fault") == []


def test_a_fault_whose_end_came_while_no_engine_ran_has_no_effect(world: World) -> None:
    world.backends.faults.begin(FaultKind.DISK_FULL, {}, 60)
    world.clock.advance(61)
    again = world.restarted()
    again.backends.objects.put_bytes("models", "late", b"x")


def test_a_full_disk_can_be_ended_early_and_nothing_is_lost(world: World) -> None:
    store, faults = world.backends.objects, world.backends.faults
    store.put_bytes("models", "precious", b"first")
    fault = faults.begin(FaultKind.DISK_FULL, {}, 60)
    with pytest.raises(StorageFullError):
        store.put_bytes("models", "precious", b"second")
    with pytest.raises(Exception, match="full") as caught:
        world.call("CreateTrainingJob", **training_request("unwritten"))
    assert is_disk_full(caught.value)
    assert world.backends.records.find("training-job", "unwritten") is None
    faults.end(fault.name)
    faults.end(fault.name)
    info, file = store.open("models", "precious")
    with file:
        assert file.read() == b"first"
    assert info.size_bytes == 5
    world.call("CreateTrainingJob", **training_request("written"))


def test_a_job_that_is_to_start_on_a_full_disk_runs_when_there_is_room(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    world.call("CreateTrainingJob", **training_request())
    world.backends.faults.begin(FaultKind.DISK_FULL, {}, 2)
    world.settle()
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "InProgress"
    for _ in range(4):
        world.advance(2)
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "Completed"


def test_instances_of_a_zone_go_and_come_up_elsewhere(world: World) -> None:
    assert zones_of(world) == ["a", "b"]
    world.backends.faults.begin(FaultKind.ZONE, ZONE, 60)
    world.settle()
    assert zones_of(world) == ["b", "c"]
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"
    world.advance(61)
    assert zones_of(world) == ["b", "c"]


def test_without_any_zone_instances_wait_until_one_is_back(world: World) -> None:
    for letter in "abc":
        world.backends.faults.begin(FaultKind.ZONE, {"zone": f"us-east-1{letter}"}, 60)
    world.settle()
    assert zones_of(world) == []
    world.advance(61)
    make_healthy(world)
    assert zones_of(world) == ["a", "b"]


def test_a_lost_zone_is_no_crash_loop(world: World) -> None:
    for _ in range(4):
        fault = world.backends.faults.begin(FaultKind.ZONE, {"zone": "us-east-1b"}, 60)
        world.settle()
        make_healthy(world)
        world.backends.faults.end(fault.name)
        other = world.backends.faults.begin(FaultKind.ZONE, {"zone": "us-east-1c"}, 60)
        world.settle()
        make_healthy(world)
        world.backends.faults.end(other.name)
    assert "FailureReason" not in describe(world)


def test_an_instance_that_is_killed_is_replaced(world: World) -> None:
    killed = ask(world, "drills/instance", endpoint="ep")
    world.settle()
    world.advance(2)
    make_healthy(world)
    found = ask(world, "drills/endpoint", endpoint="ep")
    assert found["is_whole"]
    assert killed["instance"] not in [one["instance"] for one in found["members"]]
    assert found["instances"] == [{"type": "ml.m5.xlarge", "count": 2}]


@pytest.mark.parametrize(
    ("task", "parameters", "said"),
    [
        ("drills/endpoint", {"endpoint": "x"}, "there is no endpoint `x`"),
        ("drills/endpoint", {"endpoint": "ep", "component": "c"}, "no inference component `c`"),
        ("drills/instance", {"endpoint": "ep", "instance": "i-1"}, "no instance `i-1` that runs"),
        ("drills/zone", {"zone": "x"}, "there is no zone `x`"),
        ("drills/zone", {"zone": "us-east-1c"}, "no instance of an endpoint runs in the zone"),
        ("drills/job", {"job": "x"}, "there is no training job `x`"),
        ("drills/begin", {"kind": "flood", "seconds": 1}, "no fault of the kind `flood`"),
        ("drills/begin", {"kind": "disk-full", "seconds": 3601}, "`seconds` must be a number"),
        ("drills/begin", {"kind": "disk-full", "seconds": True}, "`seconds` must be a number"),
        (
            "drills/begin",
            {"kind": "errors", "seconds": 1, "endpoint": "ep", "fraction": 1, "status": 200},
            "`200` is no HTTP status of an error",
        ),
        (
            "drills/begin",
            {"kind": "latency", "seconds": 1, "endpoint": "ep", "fraction": 2, "delay_s": 1},
            "`fraction` must be a number from 0 to 1",
        ),
        (
            "drills/begin",
            {"kind": "throttle", "seconds": 1, "service": "ec3", "fraction": 1},
            "there is no service `ec3`",
        ),
    ],
)
def test_what_cannot_be_is_said(
    world: World, task: str, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        ask(world, task, **parameters)
    assert said in str(caught.value)
    assert world.backends.faults.present() == []


def test_a_good_model_is_taken_back_though_the_drill_and_the_engine_have_died(
    world: World,
) -> None:
    create_config(world, "drill-1")
    ask(world, "drills/begin", kind="deployment", seconds=5, endpoint="ep", config="drill-1")
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="drill-1")
    world.call("DeleteEndpointConfig", EndpointConfigName="drill-1")
    world.settle()
    world.advance(6)
    assert describe(world)["EndpointStatus"] == "Updating"
    again = world.restarted()
    again.router.healths |= world.router.healths
    again.driver.script("*", FOREVER)
    again.settle()
    for _ in range(4):
        make_healthy(again)
        again.advance(1)
    assert describe(again)["EndpointConfigName"] == "config-1"
    assert describe(again)["EndpointStatus"] == "InService"
    assert again.backends.records.all("fault") == []


def test_a_bad_models_drill_is_over_when_it_has_gone_back(world: World) -> None:
    create_config(world, "drill-1")
    world.driver.script("*", Outcome(exit_code=1))
    begun = ask(
        world, "drills/begin", kind="deployment", seconds=60, endpoint="ep", config="drill-1"
    )
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName="drill-1")
    ask(world, "drills/end", fault=begun["fault"])
    for _ in range(4):
        world.advance(1)
    assert describe(world)["EndpointConfigName"] == "config-1"
    assert world.backends.records.all("fault") == []


def test_while_a_disk_is_full_no_other_fault_begins(world: World) -> None:
    begun = ask(world, "drills/begin", kind="disk-full", seconds=5)
    with pytest.raises(ServiceError, match="keeps the disk full"):
        ask(world, "drills/begin", kind="zone", seconds=5, zone="us-east-1a")
    ask(world, "drills/end", fault=begun["fault"])
    ask(world, "drills/begin", kind="zone", seconds=5, zone="us-east-1a")
    assert [one.kind for one in world.backends.faults.present()] == [FaultKind.ZONE]


def test_callers_are_throttled_by_service_and_share_until_it_is_over(world: World) -> None:
    draws = iter([0.2, 0.6, 0.2])
    throttle = Throttle(world.clock.now, lambda: next(draws))
    until = world.clock.now() + 10
    throttle.set([Fault("t", FaultKind.THROTTLE, until, {"service": "s3", "fraction": 0.5})])
    assert [throttle.hits("s3"), throttle.hits("s3")] == [True, False]
    assert not throttle.hits("sagemaker")
    world.clock.advance(11)
    assert not throttle.hits("s3")
