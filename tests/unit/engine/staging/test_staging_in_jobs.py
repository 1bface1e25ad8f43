"""Channels of jobs in the lifecycle, on a fake driver: mounts, refusals, and pipes that end."""

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world, training_request

FOLDER = "instances/training-job/job-1/algo-1"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    local = tmp_path / "efs"
    (local / "train").mkdir(parents=True)
    settings = Settings(home=tmp_path / "home", driver="fake", file_systems={"fs-12345678": local})
    world = make_world(settings.home, settings=settings)
    for bucket in ("results", "data"):
        world.backends.objects.create_bucket(bucket)
    world.backends.objects.put_bytes("data", "a", b"content")
    yield world
    Feeders().end(settings.home / FOLDER)


def file_system(name: str) -> dict[str, Any]:
    source = {
        "FileSystemId": name,
        "FileSystemAccessMode": "rw",
        "FileSystemType": "FSxLustre",
        "DirectoryPath": "/train",
    }
    return {"ChannelName": "train", "DataSource": {"FileSystemDataSource": source}}


def pipe() -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://data/a"}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, "InputMode": "Pipe"}


def test_a_file_system_is_mounted_where_the_job_looks_for_it(world: World, tmp_path: Path) -> None:
    world.call(
        "CreateTrainingJob", **training_request(InputDataConfig=[file_system("fs-12345678")])
    )
    world.settle()
    assert world.driver.started[0].mounts == (
        Mount(tmp_path / "efs" / "train", "/opt/ml/input/data/train", MountMode.READ_WRITE),
    )
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "Completed"


def test_a_file_system_that_nothing_stands_for_is_refused(world: World) -> None:
    request = training_request(InputDataConfig=[file_system("fs-87654321")])
    with pytest.raises(ServiceError, match="`--file-system fs-87654321=/local/path`") as refused:
        world.call("CreateTrainingJob", **request)
    assert refused.value.code == "ValidationException"


def test_pipes_are_there_while_a_job_runs_and_end_with_it(world: World, tmp_path: Path) -> None:
    world.driver.script("*", Outcome(after_s=60))
    world.call("CreateTrainingJob", **training_request(InputDataConfig=[pipe()]))
    world.settle()
    folder = tmp_path / "home" / FOLDER
    assert (folder / "ml/input/data/train_0").read_bytes() == b"content"
    world.advance(60)
    with (folder / "pipes/train.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "Completed"


def test_a_pipe_that_broke_fails_the_job_though_its_script_ended_well(
    world: World, tmp_path: Path
) -> None:
    world.driver.script("*", Outcome(after_s=60))
    world.call("CreateTrainingJob", **training_request(InputDataConfig=[pipe()]))
    world.settle()
    failure = tmp_path / "home" / FOLDER / "pipes" / "train.failure"
    failure.write_text("channel `train`: `s3://data/a` was replaced")
    world.advance(60)
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "ClientError: Data download failed:channel `train`: `s3://data/a` was replaced"
    )


def test_an_interrupted_job_streams_from_its_first_epoch_again(
    world: World, tmp_path: Path
) -> None:
    world.driver.script("*", Outcome(after_s=60))
    request = training_request(
        InputDataConfig=[pipe()],
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
    )
    world.call("CreateTrainingJob", **request)
    world.settle()
    data = tmp_path / "home" / FOLDER / "ml/input/data"
    assert (data / "train_0").read_bytes() == b"content"
    world.backends.training_jobs.interrupt("job-1")
    world.settle()
    world.advance(5)
    assert len(world.driver.started) == 2
    assert [(data / f"train_{epoch}").read_bytes() for epoch in range(2)] == [b"content"] * 2
    world.advance(60)
    job = world.call("DescribeTrainingJob", TrainingJobName="job-1")
    assert job["TrainingJobStatus"] == "Completed"
