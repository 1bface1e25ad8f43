"""The machine goes down while a job is open: what was only half on the disk is never used."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from intermodal_contract.statuses import SecondaryStatus, TrainingJobStatus
from intermodal_engine.drivers.base import Instance
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle import attempt
from intermodal_engine.lifecycle.attempt import Attempt, attempts_of, keep_attempt
from intermodal_engine.lifecycle.training_instances import KIND
from intermodal_engine.lifecycle.training_status import move
from tests.helpers import processing
from tests.helpers.lifecycle import World, make_world, training_request

REASON = "InternalServerError: the machine was restarted while the job ran"
RUNS = Outcome(after_s=10, files={"model/weights.txt": "whole"})


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.driver.script("*", RUNS)
    for bucket in ("results", "data"):
        world.backends.objects.create_bucket(bucket)
    return world


def rebooted(world: World, monkeypatch: pytest.MonkeyPatch, boot: str = "another boot") -> World:
    """The first engine after the machine has come up again; nothing runs any more."""
    monkeypatch.setattr(attempt, "boot_id", lambda: boot)
    for spec in world.driver.started:
        world.driver.kill(Instance(spec.instance_id, spec.folder, {}))
    after = world.restarted()
    after.driver.script("*", RUNS)
    after.settle()
    return after


def create(world: World, **changes: Any) -> None:
    given = {name: value for name, value in changes.items() if value is not None}
    world.call("CreateTrainingJob", **training_request(**given))
    world.settle()


def describe(world: World) -> dict[str, Any]:
    return world.call("DescribeTrainingJob", TrainingJobName="job-1")


def models(world: World) -> list[str]:
    return [info.key for info in world.backends.objects.iterate("results")]


def test_a_job_that_trained_fails_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world)
    after = rebooted(world, monkeypatch)
    assert describe(after)["FailureReason"] == REASON
    assert models(after) == []


def test_a_model_that_nobody_knows_to_be_whole_is_not_uploaded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program had ended well, and its exit is on record; its files may not be."""
    create(world)
    world.clock.advance(10)
    world.driver.turn()
    after = rebooted(world, monkeypatch)
    assert describe(after)["FailureReason"] == REASON
    assert models(after) == []


def test_a_job_that_may_be_repeated_is_repeated_from_the_beginning(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world, RetryStrategy={"MaximumRetryAttempts": 1})
    after = rebooted(world, monkeypatch)
    assert describe(after)["SecondaryStatus"] == "Training"
    assert len(after.driver.started) == 1
    after.advance(10)
    job = describe(after)
    assert job["TrainingJobStatus"] == "Completed"
    assert "Restarting" in [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert models(after) == ["runs/job-1/output/model.tar.gz"]


def test_a_repeated_job_goes_on_from_the_checkpoint_in_s3_not_from_a_torn_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = world.backends.objects
    objects.put_bytes("data", "ck/last", b"good")
    create(
        world,
        RetryStrategy={"MaximumRetryAttempts": 1},
        CheckpointConfig={"S3Uri": "s3://data/ck"},
    )
    (world.driver.started[0].ml / "checkpoints/last").write_bytes(b"")
    monkeypatch.setattr(attempt, "boot_id", lambda: "another boot")
    after = world.restarted()  # its instances have yet to be found dead
    after.driver.script("*", RUNS)
    after.settle()
    assert objects.head("data", "ck/last").path.read_bytes() == b"good"
    assert (after.driver.started[0].ml / "checkpoints/last").read_bytes() == b"good"


def test_the_time_for_which_the_machine_was_off_is_no_training_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world, RetryStrategy={"MaximumRetryAttempts": 1})
    (spec,) = world.driver.started
    os.utime(spec.log, (world.clock.now() + 5, world.clock.now() + 5))
    world.clock.advance(36_000)
    after = rebooted(world, monkeypatch)
    assert after.driver.started[0].max_runtime_s == 3600 - 5


@pytest.mark.parametrize("is_stopping", [False, True])
def test_what_a_job_kept_for_the_next_goes_with_the_machine(
    world: World, monkeypatch: pytest.MonkeyPatch, is_stopping: bool
) -> None:
    kept = {
        "ResourceConfig": {**training_request()["ResourceConfig"], "KeepAlivePeriodInSeconds": 600}
    }
    create(world, **kept)
    cache = world.backends.settings.instances_folder / "warm-pool/job-1"
    if is_stopping:
        world.call("StopTrainingJob", TrainingJobName="job-1")
    else:
        world.advance(10)
        assert describe(world)["WarmPoolStatus"]["Status"] == "Available"
    assert cache.is_dir()
    after = rebooted(world, monkeypatch)
    assert describe(after)["WarmPoolStatus"]["Status"] == "Terminated"
    assert not cache.is_dir()


def test_only_as_often_as_the_request_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    create(world, RetryStrategy={"MaximumRetryAttempts": 1})
    after = rebooted(world, monkeypatch)
    third = rebooted(after, monkeypatch, "a third boot")
    assert describe(third)["FailureReason"] == REASON


@pytest.mark.parametrize("retries", [0, 1])
def test_a_job_that_was_to_stop_has_stopped_and_has_no_model(
    world: World, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    world.driver.script("*", Outcome(after_s=None, ignores_sigterm=True))
    create(world, RetryStrategy={"MaximumRetryAttempts": retries} if retries else None)
    world.call("StopTrainingJob", TrainingJobName="job-1")
    world.settle()
    after = rebooted(world, monkeypatch)
    assert describe(after)["TrainingJobStatus"] == "Stopped"
    assert models(after) == []


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_job_whose_model_was_being_uploaded_begins_again_or_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, retries: int, is_stopping: bool
) -> None:
    create(world, RetryStrategy={"MaximumRetryAttempts": retries} if retries else None)
    with world.backends.records.edit(KIND, "job-1") as draft:
        (ran,) = attempts_of(draft.state)
        ran.ended_at = world.clock.now()
        keep_attempt(draft, ran)
        draft.state["outcome"] = SecondaryStatus.COMPLETED
        if is_stopping:
            draft.status = TrainingJobStatus.STOPPING
        move(draft, SecondaryStatus.UPLOADING, world.clock.now())
    after = rebooted(world, monkeypatch)
    after.advance(10)
    job = describe(after)
    if retries and not is_stopping:
        assert job["TrainingJobStatus"] == "Completed"
        assert len(after.driver.started) == 1
    else:
        assert job["FailureReason"] == REASON
        assert models(after) == []


@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_processing_job_that_ran_fails_or_has_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch, is_stopping: bool
) -> None:
    world.driver.script("*", Outcome(after_s=None, ignores_sigterm=True))
    processing.create(world)
    world.settle()
    if is_stopping:
        processing.stop(world)
        world.settle()
    job = processing.describe(rebooted(world, monkeypatch))
    assert job["ProcessingJobStatus"] == ("Stopped" if is_stopping else "Failed")
    assert job.get("FailureReason") == (None if is_stopping else REASON)


def test_a_job_that_had_yet_to_start_gets_its_data_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.backends.objects.put_bytes("data", "train/x.csv", b"1")
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    world.call("CreateTrainingJob", **training_request(InputDataConfig=[channel]))
    staged = Attempt(0, world.clock.now(), mounts={"algo-1": []}, boot_id="the first boot")
    with world.backends.records.edit(KIND, "job-1") as draft:
        draft.state["attempts"] = [asdict(staged)]
        move(draft, SecondaryStatus.DOWNLOADING, world.clock.now())
    after = rebooted(world, monkeypatch)
    after.advance(10)
    assert describe(after)["TrainingJobStatus"] == "Completed"
    (spec,) = after.driver.started
    assert "/opt/ml/input/data/train" in [mount.target for mount in spec.mounts]
