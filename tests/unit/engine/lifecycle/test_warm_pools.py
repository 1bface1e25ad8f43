"""Warm pools, on a clock turned by hand."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import MountMode
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.warm_pools import CACHE
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world, training_request

KEPT = {
    "InstanceType": "ml.m5.xlarge",
    "InstanceCount": 1,
    "VolumeSizeInGB": 1,
    "KeepAlivePeriodInSeconds": 600,
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    return world


def run(world: World, name: str, keep_s: int = 600, **changes: Any) -> None:
    resources = {**KEPT, "KeepAlivePeriodInSeconds": keep_s, **changes.pop("resources", {})}
    request = training_request(name, ResourceConfig=resources, **changes)
    world.call("CreateTrainingJob", **request)
    world.settle()


def pool(world: World, name: str) -> dict[str, Any]:
    job = world.call("DescribeTrainingJob", TrainingJobName=name)
    status: dict[str, Any] = job.get("WarmPoolStatus", {})
    return status


def cache(world: World) -> Path:
    """The cache folder of the last started instance, on the host."""
    (mount,) = [one for one in world.driver.started[-1].mounts if one.target == CACHE]
    assert mount.mode is MountMode.READ_WRITE
    return mount.source


def test_a_matching_job_finds_what_the_last_one_left_in_the_cache(world: World) -> None:
    run(world, "first")
    (cache(world) / "data.bin").write_text("kept")
    assert pool(world, "first") == {"Status": "Available"}
    world.advance(100)
    run(world, "second")
    assert (cache(world) / "data.bin").read_text() == "kept"
    assert pool(world, "first") == {
        "Status": "Reused",
        "ReusedByJob": "second",
        "ResourceRetainedBillableTimeInSeconds": 100,
    }
    assert pool(world, "second") == {"Status": "Available"}


def test_a_pool_is_in_use_while_its_job_runs_and_ends_with_its_time(world: World) -> None:
    world.driver.script("*", Outcome(after_s=10))
    run(world, "first")
    assert pool(world, "first") == {"Status": "InUse"}
    world.advance(10)
    folder = cache(world)
    world.advance(599)
    assert pool(world, "first") == {"Status": "Available"}
    world.advance(1)
    assert pool(world, "first")["Status"] == "Terminated"
    assert not folder.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"resources": {"InstanceType": "ml.m5.large"}},
        {"RoleArn": "arn:aws:iam::123456789012:role/other"},
        {"EnableNetworkIsolation": True},
    ],
)
def test_a_job_that_differs_gets_a_cache_of_its_own(world: World, changes: dict[str, Any]) -> None:
    run(world, "first")
    (cache(world) / "data.bin").write_text("kept")
    run(world, "second", **changes)
    assert list(cache(world).iterdir()) == []
    assert pool(world, "first") == {"Status": "Available"}


def test_one_pool_serves_one_job(world: World) -> None:
    world.driver.script("*", Outcome(after_s=10))
    run(world, "first")
    world.advance(10)
    (cache(world) / "data.bin").write_text("kept")
    run(world, "second")
    run(world, "third")
    assert list(cache(world).iterdir()) == []


def test_a_job_that_fails_by_itself_leaves_its_pool_to_the_next_try(world: World) -> None:
    world.driver.script("*", Outcome(exit_code=1))
    run(world, "first")
    assert pool(world, "first") == {"Status": "Available"}
    (cache(world) / "data.bin").write_text("kept")
    run(world, "second")
    assert (cache(world) / "data.bin").read_text() == "kept"


def test_a_job_that_is_stopped_leaves_its_pool_if_it_ever_ran(world: World) -> None:
    world.driver.script("*", Outcome(after_s=10))
    run(world, "first")
    world.call("StopTrainingJob", TrainingJobName="first")
    world.settle()
    assert pool(world, "first") == {"Status": "Available"}
    world.call("CreateTrainingJob", **training_request("second", ResourceConfig=KEPT))
    world.call("StopTrainingJob", TrainingJobName="second")
    world.settle()
    assert pool(world, "second") == {"Status": "Terminated"}
    assert pool(world, "first") == {"Status": "Available"}


@pytest.mark.parametrize("lost", [True, False])
def test_what_the_platform_broke_or_never_started_leaves_no_pool(world: World, lost: bool) -> None:
    if lost:
        world.driver.script("*", Outcome(is_lost=True))
        run(world, "first")
        assert not cache(world).exists()
    else:
        channel = {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://gone/x"}},
        }
        run(world, "first", InputDataConfig=[channel])
    job = world.call("DescribeTrainingJob", TrainingJobName="first")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["WarmPoolStatus"] == {"Status": "Terminated"}


def test_the_script_is_told_where_the_cache_is(world: World) -> None:
    name = "SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"
    run(world, "first")
    assert world.driver.started[-1].environment[name] == CACHE
    run(world, "plain", keep_s=0)
    assert name not in world.driver.started[-1].environment


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 9},
            },
            "cannot be used with EnableManagedSpotTraining",
        ),
        (
            {
                "ResourceConfig": {
                    "InstanceGroups": [
                        {
                            "InstanceGroupName": "one",
                            "InstanceType": "ml.m5.large",
                            "InstanceCount": 1,
                        }
                    ],
                    "VolumeSizeInGB": 1,
                    "KeepAlivePeriodInSeconds": 60,
                }
            },
            "cannot be used with InstanceGroups",
        ),
    ],
)
def test_what_can_have_no_warm_pool_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        world.call(
            "CreateTrainingJob", **training_request("no", **{"ResourceConfig": KEPT, **changes})
        )


def test_a_pool_can_be_ended_early_and_is_listed_by_status(world: World) -> None:
    run(world, "first")
    run(world, "plain", keep_s=0)
    listed = world.call("ListTrainingJobs", WarmPoolStatusEquals="Available")
    assert [one["TrainingJobName"] for one in listed["TrainingJobSummaries"]] == ["first"]
    world.call(
        "UpdateTrainingJob",
        TrainingJobName="first",
        ResourceConfig={"KeepAlivePeriodInSeconds": 0},
    )
    world.settle()
    assert pool(world, "first")["Status"] == "Terminated"
    with pytest.raises(ServiceError, match="no warm pool"):
        world.call(
            "UpdateTrainingJob",
            TrainingJobName="plain",
            ResourceConfig={"KeepAlivePeriodInSeconds": 60},
        )


def test_a_pool_outlives_the_engine_and_still_ends_in_time(world: World) -> None:
    run(world, "first")
    second = world.restarted()
    second.settle()
    second.advance(600)
    assert pool(second, "first")["Status"] == "Terminated"
