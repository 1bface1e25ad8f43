"""An engine that dies in any phase of a processing job, and the next one."""

from dataclasses import asdict

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.attempt import Attempt
from intermodal_engine.lifecycle.processing_instances import KIND
from intermodal_engine.lifecycle.processing_job import Phase
from tests.helpers.lifecycle import World
from tests.helpers.processing import (
    cluster,
    create,
    describe,
    results,
    s3_input,
    s3_output,
    s3_outputs,
    stop,
)

OUTPUT = s3_outputs(s3_output("out", "s3://results/"))
RUNS = Outcome(after_s=10, files={"processing/out/a.csv": "1"})


def restarted(world: World, outcome: Outcome = RUNS) -> World:
    """The next engine; what is started under it ends as told."""
    after = world.restarted()
    after.driver.script("*", outcome)
    return after


def ran_once_to_its_end(world: World) -> bool:
    return describe(world)["ProcessingJobStatus"] == "Completed" and results(world) == {
        "a.csv": "1"
    }


def test_a_job_that_was_only_accepted_is_run(world: World) -> None:
    create(world, ProcessingOutputConfig=OUTPUT)
    after = restarted(world)
    after.settle()
    after.advance(10)
    assert ran_once_to_its_end(after)


def test_a_half_staged_job_is_staged_anew(world: World) -> None:
    world.backends.objects.put_bytes("data", "raw/x.csv", b"1")
    create(
        world,
        ProcessingOutputConfig=OUTPUT,
        ProcessingInputs=[s3_input("raw", "s3://data/raw")],
    )
    with world.backends.records.edit(KIND, "job-1") as draft:
        draft.state["phase"] = Phase.STAGING
        draft.state["attempts"] = [asdict(Attempt(0, world.clock.now()))]
    half = world.backends.settings.instances_folder / KIND / "job-1/algo-1/ml/processing/out"
    half.mkdir(parents=True)
    (half / "left.csv").write_text("0")
    after = restarted(world)
    after.settle()
    after.advance(10)
    assert ran_once_to_its_end(after)


def test_a_running_job_is_adopted_and_not_started_again(world: World) -> None:
    world.driver.script("*", RUNS)
    create(world, ProcessingOutputConfig=OUTPUT)
    world.settle()
    after = restarted(world)
    after.settle()
    assert describe(after)["ProcessingJobStatus"] == "InProgress"
    after.advance(10)
    assert ran_once_to_its_end(after)
    assert after.driver.started == []


def test_a_job_that_ended_meanwhile_is_settled(world: World) -> None:
    world.driver.script("*", RUNS)
    create(world, ProcessingOutputConfig=OUTPUT)
    world.settle()
    world.clock.advance(60)
    world.driver.turn()
    after = restarted(world)
    after.settle()
    assert ran_once_to_its_end(after)


def test_an_upload_that_was_cut_short_is_made_whole(world: World) -> None:
    world.driver.script("*", RUNS)
    create(world, ProcessingOutputConfig=OUTPUT)
    world.settle()
    world.advance(10)
    with world.backends.records.edit(KIND, "job-1") as draft:
        assert draft.state["phase"] == Phase.UPLOADING
        draft.status = "InProgress"
    world.backends.objects.delete("results", "a.csv")
    after = restarted(world)
    after.settle()
    assert ran_once_to_its_end(after)


def test_a_stop_is_carried_through_by_the_next_engine(world: World) -> None:
    world.driver.script("*", Outcome(after_s=None))
    create(world)
    world.settle()
    stop(world)
    after = restarted(world)
    after.settle()
    assert describe(after)["ProcessingJobStatus"] == "Stopped"


def test_a_failure_is_carried_through_by_the_next_engine(world: World) -> None:
    world.driver.script("*/algo-1/*", Outcome(after_s=None, ignores_sigterm=True))
    world.driver.script("*/algo-2/*", Outcome(failure="no process left"))
    create(world, ProcessingResources=cluster(2))
    world.settle()
    assert describe(world)["ProcessingJobStatus"] == "InProgress"
    after = restarted(world)
    after.settle()
    assert describe(after)["ProcessingJobStatus"] == "InProgress"
    after.advance(120)
    job = describe(after)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "no process left" in job["FailureReason"]


def test_a_running_job_keeps_its_place_and_a_waiting_one_its_turn(world: World) -> None:
    world.driver.script("*", RUNS)
    limit = world.backends.settings.max_instances
    create(world, ProcessingResources=cluster(limit), ProcessingOutputConfig=OUTPUT)
    create(world, "next")
    world.settle()
    after = restarted(world)
    after.settle()
    assert after.driver.started == []
    after.advance(10)
    assert [spec.instance_id.split("/")[1] for spec in after.driver.started] == ["next"]


@pytest.mark.parametrize("seconds", [0, 1, 3, 5, 7, 9, 11])
def test_whenever_the_engine_dies_a_continuous_output_ends_whole(
    world: World, seconds: float
) -> None:
    world.driver.script("*", RUNS)
    outputs = s3_outputs(s3_output("out", "s3://results/", "Continuous"))
    create(world, ProcessingOutputConfig=outputs)
    world.settle()
    folder = world.driver.started[0].ml / "processing/out"
    (folder / "early.csv").write_text("e")
    if seconds:
        world.advance(seconds)
    after = restarted(world)
    after.settle()
    after.advance(12)
    assert describe(after)["ProcessingJobStatus"] == "Completed"
    assert results(after) == {"early.csv": "e", "a.csv": "1"}
