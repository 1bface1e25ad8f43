"""Whatever happens to a processing job, in any order: it ends once and gives its place back."""

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intermodal_contract.statuses import ProcessingJobStatus, check_transition, is_terminal
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.processing_instances import KIND
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world
from tests.helpers.processing import (
    cluster,
    create,
    describe,
    results,
    s3_output,
    s3_outputs,
    stop,
)

FILES = {"processing/out/a.csv": "1"}
OUTCOMES = st.builds(
    Outcome,
    after_s=st.sampled_from([None, 0.0, 3.0, 30.0]),
    exit_code=st.sampled_from([0, 0, 1]),
    is_lost=st.sampled_from([False, False, True]),
    failure=st.sampled_from([None, None, None, "no process left"]),
    ignores_sigterm=st.booleans(),
    files=st.just(FILES),
)
STEPS = st.lists(st.sampled_from(["settle", "advance", "stop", "restart"]), max_size=8)
LONG_S = 1000.0


@settings(max_examples=20)
@given(
    outcomes=st.tuples(OUTCOMES, OUTCOMES),
    steps=STEPS,
    mode=st.sampled_from(["EndOfJob", "Continuous"]),
)
def test_every_story_ends_as_it_must(
    outcomes: tuple[Outcome, Outcome], steps: list[str], mode: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = new_world(Path(folder), outcomes)
        create(
            world,
            ProcessingResources=cluster(2),
            ProcessingOutputConfig=s3_outputs(s3_output("out", "s3://results/", mode)),
            StoppingCondition={"MaxRuntimeInSeconds": 300},
        )
        for step in [*steps, "settle"]:
            world = take(step, world, outcomes)
        world.advance(LONG_S)
        world.advance(LONG_S)
        job = describe(world)
        assert is_terminal(ProcessingJobStatus(job["ProcessingJobStatus"]))
        assert ("FailureReason" in job) == (job["ProcessingJobStatus"] == "Failed")
        statuses = told(world)
        for before, after in itertools.pairwise(statuses):
            check_transition(before, after)
        if job["ProcessingJobStatus"] == "Completed":
            assert results(world) == {"a.csv": "1"}
        assert nobody_holds_a_place(world)


def new_world(home: Path, outcomes: tuple[Outcome, Outcome]) -> World:
    world = make_world(home, settings=Settings(home=home, driver="fake", max_instances=2))
    world.backends.objects.create_bucket("results")
    return scripted(world, outcomes)


def scripted(world: World, outcomes: tuple[Outcome, Outcome]) -> World:
    world.driver.script("*/job-1/algo-1/*", outcomes[0])
    world.driver.script("*/job-1/algo-2/*", outcomes[1])
    return world


def take(step: str, world: World, outcomes: tuple[Outcome, Outcome]) -> World:
    if step == "restart":
        return scripted(world.restarted(), outcomes)
    if step == "settle":
        world.settle()
    elif step == "advance":
        world.advance(2)
    elif is_terminal(ProcessingJobStatus(describe(world)["ProcessingJobStatus"])):
        with pytest.raises(ServiceError, match="is in status"):
            stop(world)
    else:
        stop(world)
    return world


def told(world: World) -> list[ProcessingJobStatus]:
    """The statuses that the job had, from its events."""
    events = world.backends.records.events(KIND, "job-1")
    return [
        ProcessingJobStatus(event.data["status"])
        for event in events
        if event.type in {"Created", "StatusChanged"}
    ]


def nobody_holds_a_place(world: World) -> bool:
    """A job that needs the whole machine can run now."""
    limit = world.backends.settings.max_instances
    create(world, "whole-machine", ProcessingResources=cluster(limit))
    world.settle()
    return bool(describe(world, "whole-machine")["ProcessingJobStatus"] == "Completed")
