"""What stands in for an image is made before jobs and endpoints count their time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.clock import FakeClock
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.router.router import Health
from tests.helpers import processing
from tests.helpers.lifecycle import ROLE, World, make_world, training_request

MAKING_S = 600.0


class EventfulClock(FakeClock):
    """Lets something happen whenever time passes."""

    def __init__(self, event: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.event = event

    def advance(self, seconds: float) -> None:
        """Turns it, and what shall happen meanwhile happens."""
        super().advance(seconds)
        self.event()


class EngineDiesError(BaseException):
    """Nothing in the engine handles it."""


@pytest.fixture
def clock() -> EventfulClock:
    return EventfulClock()


@pytest.fixture
def world(tmp_path: Path, clock: EventfulClock) -> World:
    world = make_world(tmp_path / "home", clock=clock)
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(after_s=10, preparation_s=MAKING_S))
    return world


@dataclass
class Waiting:
    """A world in which what is to be got is got when a test says so."""

    world: World
    works: list[Callable[[], None]]

    def get(self) -> None:
        """Everything that was asked for is got."""
        while self.works:
            self.works.pop(0)()
        self.world.settle()


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    works: list[Callable[[], None]] = []
    world = make_world(tmp_path / "home", spawn=works.append)
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(after_s=10))
    world.driver.script("*/slow*", Outcome(after_s=10, preparation_s=MAKING_S))
    return Waiting(world, works)


def train(world: World, name: str) -> dict[str, Any]:
    world.call("CreateTrainingJob", **training_request(name))
    world.settle()
    world.advance(10)
    job = world.call("DescribeTrainingJob", TrainingJobName=name)
    assert job["TrainingJobStatus"] == "Completed"
    return job


def create_endpoint(world: World, name: str) -> None:
    """One of two instances."""
    world.call(
        "CreateModel",
        ModelName="model",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "img:1"},
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model",
        "InitialInstanceCount": 2,
        "InstanceType": "ml.m5.xlarge",
    }
    world.call("CreateEndpointConfig", EndpointConfigName="one", ProductionVariants=[variant])
    world.call("CreateEndpoint", EndpointName=name, EndpointConfigName="one")


def statuses(job: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in job["SecondaryStatusTransitions"]]


def test_the_first_job_shows_that_its_image_is_fetched_and_does_not_pay_for_it(
    world: World,
) -> None:
    first, second = train(world, "first"), train(world, "second")
    assert statuses(first) == [
        "Starting",
        "Downloading",
        "DownloadingTrainingImage",
        "Training",
        "Uploading",
        "Completed",
    ]
    fetching = first["SecondaryStatusTransitions"][2]
    assert fetching["StatusMessage"] == "Downloading the training image"
    assert (fetching["EndTime"] - fetching["StartTime"]).total_seconds() == MAKING_S
    assert first["TrainingTimeInSeconds"] == 10
    assert "DownloadingTrainingImage" not in statuses(second)


def test_a_job_that_is_stopped_meanwhile_never_trains(world: World, clock: EventfulClock) -> None:
    clock.event = lambda: world.call("StopTrainingJob", TrainingJobName="job-1")
    world.call("CreateTrainingJob", **training_request("job-1"))
    world.settle()
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert statuses(job)[2:] == ["DownloadingTrainingImage", "Stopping", "Stopped"]
    assert world.driver.started == []


def test_a_stop_takes_effect_while_what_stands_in_for_the_image_is_still_made(
    waiting: Waiting,
) -> None:
    world = waiting.world
    world.call("CreateTrainingJob", **training_request("slow-1"))
    processing.create(world, "slow-2")
    world.settle()
    world.call("StopTrainingJob", TrainingJobName="slow-1")
    processing.stop(world, "slow-2")
    world.settle()
    job = world.call("DescribeTrainingJob", TrainingJobName="slow-1")
    assert statuses(job)[2:] == ["DownloadingTrainingImage", "Stopping", "Stopped"]
    assert processing.describe(world, "slow-2")["ProcessingJobStatus"] == "Stopped"
    assert len(waiting.works) == 2
    waiting.get()
    assert world.driver.started == []


def test_a_job_waits_for_its_image_without_keeping_others_from_theirs(waiting: Waiting) -> None:
    world = waiting.world
    world.call("CreateTrainingJob", **training_request("slow"))
    world.settle()
    assert statuses(train(world, "quick"))[-1] == "Completed"
    assert len(waiting.works) == 1
    waiting.get()
    world.advance(10)
    job = world.call("DescribeTrainingJob", TrainingJobName="slow")
    assert job["TrainingJobStatus"] == "Completed"


def test_what_was_restored_is_told_however_long_the_image_took(waiting: Waiting) -> None:
    world = waiting.world
    world.backends.objects.put_bytes("results", "checkpoints/one.pt", b"1")
    checkpoints = {"S3Uri": "s3://results/checkpoints"}
    world.call("CreateTrainingJob", **training_request("slow", CheckpointConfig=checkpoints))
    world.settle()
    waiting.get()
    job = world.call("DescribeTrainingJob", TrainingJobName="slow")
    message = job["SecondaryStatusTransitions"][-1]["StatusMessage"]
    assert message.endswith("Checkpoint files restored: 1.")


def test_a_job_that_waits_too_long_for_its_image_says_so(waiting: Waiting) -> None:
    world = waiting.world
    limits = {"MaxRuntimeInSeconds": 30, "MaxWaitTimeInSeconds": 60}
    spot = {"EnableManagedSpotTraining": True, "StoppingCondition": limits}
    world.call("CreateTrainingJob", **training_request("slow", **spot))
    world.settle()
    world.advance(60)
    job = world.call("DescribeTrainingJob", TrainingJobName="slow")
    assert job["TrainingJobStatus"] == "Stopped"
    assert statuses(job)[2:] == ["DownloadingTrainingImage", "Stopping", "MaxWaitTimeExceeded"]


def test_an_endpoint_can_be_deleted_while_its_image_is_made(waiting: Waiting) -> None:
    world = waiting.world
    create_endpoint(world, "slow")
    world.settle()
    assert world.call("DescribeEndpoint", EndpointName="slow")["EndpointStatus"] == "Creating"
    assert len(waiting.works) == 2
    world.call("DeleteEndpoint", EndpointName="slow")
    world.settle()
    assert world.call("ListEndpoints")["Endpoints"] == []
    waiting.get()
    assert world.driver.started == []


def test_a_job_goes_on_where_the_engine_died_meanwhile(world: World, clock: EventfulClock) -> None:
    def die() -> None:
        raise EngineDiesError

    clock.event = die
    world.call("CreateTrainingJob", **training_request("job-1"))
    with pytest.raises(EngineDiesError):
        world.settle()
    clock.event = lambda: None
    later = world.restarted()
    later.settle()
    job = later.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert statuses(job)[1:] == [
        "Downloading",
        "DownloadingTrainingImage",
        "Training",
        "Uploading",
        "Completed",
    ]


def test_a_processing_job_begins_when_its_image_is_there(world: World) -> None:
    processing.create(world)
    world.settle()
    world.advance(10)
    job = processing.describe(world)
    assert job["ProcessingJobStatus"] == "Completed"
    assert (job["ProcessingStartTime"] - job["CreationTime"]).total_seconds() == MAKING_S
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() == 10


def test_an_endpoint_has_its_whole_time_to_become_healthy_after_its_image_is_there(
    world: World,
) -> None:
    world.driver.script("endpoint/*", Outcome(after_s=None, preparation_s=MAKING_S))
    create_endpoint(world, "ep")
    world.settle()
    world.advance(world.backends.settings.health_timeout_s - 1)
    assert len(world.driver.started) == 2
    for spec in world.driver.started:
        world.router.healths[spec.host] = Health.HEALTHY
        world.backends.endpoints.on_health("ep", spec.host, Health.HEALTHY)
    world.settle()
    assert world.call("DescribeEndpoint", EndpointName="ep")["EndpointStatus"] == "InService"
