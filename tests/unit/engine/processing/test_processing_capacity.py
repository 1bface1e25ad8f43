"""Processing jobs on a machine that holds only so much: who runs, who waits."""

from pathlib import Path

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.processing_request import ProcessingRequest
from intermodal_engine.settings import Settings
from tests.helpers.lifecycle import World, make_world, training_request
from tests.helpers.processing import cluster, create, describe, stop


def test_training_and_processing_jobs_wait_in_one_line(world: World) -> None:
    world.driver.script("*", Outcome(after_s=10))
    for number in range(world.backends.settings.max_instances):
        world.call("CreateTrainingJob", **training_request(f"train-{number}"))
    create(world)
    world.settle()
    assert len(world.driver.started) == world.backends.settings.max_instances
    assert "ProcessingStartTime" not in describe(world)
    world.advance(10)
    world.advance(10)
    assert describe(world)["ProcessingJobStatus"] == "Completed"


def test_a_waiting_job_can_be_stopped_and_nobody_waits_behind_it(world: World) -> None:
    world.driver.script("*", Outcome(after_s=10))
    limit = world.backends.settings.max_instances
    create(world, "first", ProcessingResources=cluster(1))
    create(world, "large", ProcessingResources=cluster(limit))
    create(world, "small")
    world.settle()
    assert [spec.instance_id.split("/")[1] for spec in world.driver.started] == ["first"]
    stop(world, "large")
    world.settle()
    assert describe(world, "large")["ProcessingJobStatus"] == "Stopped"
    assert [spec.instance_id.split("/")[1] for spec in world.driver.started] == ["first", "small"]


def test_gpus_are_asked_for_as_the_instance_type_has_them(world: World) -> None:
    create(world, "gpu", ProcessingResources=cluster(2, "ml.p3.8xlarge"))
    create(world, "unheard-of", ProcessingResources=cluster(1, "ml.m8i-flex.large"))
    records = world.backends.records
    wanted = [
        ProcessingRequest(records.get("processing-job", name)).gpus_wanted
        for name in ("gpu", "unheard-of")
    ]
    assert wanted == [8, 0]


def test_jobs_on_a_machine_for_one_instance_take_turns_in_order(tmp_path: Path) -> None:
    world = make_world(
        tmp_path / "home", settings=Settings(home=tmp_path / "home", max_instances=1)
    )
    world.driver.script("*", Outcome(after_s=10))
    for number in range(3):
        create(world, f"job-{number}")
    world.settle()
    for number in range(3):
        assert describe(world, f"job-{number}")["ProcessingJobStatus"] == "InProgress"
        assert len(world.driver.started) == number + 1
        world.advance(10)
        assert describe(world, f"job-{number}")["ProcessingJobStatus"] == "Completed"
