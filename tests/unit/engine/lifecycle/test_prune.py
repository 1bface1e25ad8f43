"""Pruning: what ended goes, what is open or stored stays."""

import os
from pathlib import Path

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.prune import prune
from tests.helpers.lifecycle import World, make_world, training_request
from tests.helpers.processing import processing_request

DAY_S = 86_400.0
NEVER = {"MaxRuntimeInSeconds": 777_600}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(log=((0, "done"),), files={"model/w": "1"}))
    world.driver.script("*/open/*", Outcome(after_s=None))
    for name in ("old", "open"):
        world.call("CreateTrainingJob", **training_request(name))
    world.settle()
    return world


def pruned(world: World, *, older_than_s: float = DAY_S, dry_run: bool = False) -> set[str]:
    backends = world.backends
    gone = prune(
        backends.settings,
        backends.records,
        now=world.clock.now(),
        older_than_s=older_than_s,
        dry_run=dry_run,
    )
    return {f"{one.what}:{one.path.name}" for one in gone}


def test_an_ended_jobs_folder_and_logs_go_once_they_are_old(world: World) -> None:
    settings = world.backends.settings
    assert pruned(world) == set()
    world.advance(DAY_S)
    gone = pruned(world)
    assert "instance:old" in gone
    assert len([one for one in gone if one.startswith("log:")]) == 1
    assert [one.name for one in (settings.instances_folder / "training-job").iterdir()] == ["open"]
    assert pruned(world) == set()


def test_processing_jobs_leave_nothing_either_once_they_are_old(world: World) -> None:
    settings = world.backends.settings
    for name in ("old", "open"):
        world.call("CreateProcessingJob", **processing_request(name, StoppingCondition=NEVER))
    world.settle()
    world.advance(DAY_S)
    pruned(world)
    folder = settings.instances_folder / "processing-job"
    assert [one.name for one in folder.iterdir()] == ["open"]
    (stream,) = world.backends.log_streams.streams("/aws/sagemaker/ProcessingJobs")
    assert stream.name.startswith("open/")


def test_records_artifacts_and_open_jobs_stay(world: World) -> None:
    world.advance(DAY_S)
    pruned(world)
    job = world.call("DescribeTrainingJob", TrainingJobName="old")
    assert job["TrainingJobStatus"] == "Completed"
    assert world.backends.objects.head("results", "runs/old/output/model.tar.gz")
    (spec,) = [one for one in world.driver.started if "/open/" in one.instance_id]
    assert spec.ml.is_dir()
    assert spec.log.is_file()


def test_a_dry_run_names_the_same_and_removes_nothing(world: World) -> None:
    world.advance(DAY_S)
    named = pruned(world, dry_run=True)
    assert named == pruned(world)
    assert named


def test_forgotten_models_and_scratch_files_go_when_they_have_settled(world: World) -> None:
    settings = world.backends.settings
    settings.models_folder.mkdir()
    settings.artifacts_folder.mkdir(parents=True, exist_ok=True)
    for path in (settings.models_folder / "unused", settings.artifacts_folder / "left"):
        path.mkdir()
        os.utime(path, (world.clock.now(), world.clock.now()))
    assert pruned(world, older_than_s=0) >= {"instance:old"}
    assert (settings.models_folder / "unused").is_dir()
    world.advance(DAY_S)
    assert pruned(world) == {"model:unused", "scratch:left"}
