"""Interruptions at a rate: random, and the same again for the same job."""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.spot_interruptions import EVENT
from intermodal_engine.settings import Settings
from tests.helpers.lifecycle import World, make_world, training_request

SPOT: dict[str, Any] = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 80_000, "MaxWaitTimeInSeconds": 86_000},
}


def make(home: Path, **changes: Any) -> World:
    settings = Settings(
        home=home, driver="fake", spot_interruptions_per_hour=600.0, spot_capacity_wait_s=1.0
    )
    world = make_world(home, settings=replace(settings, **changes))
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(after_s=None))
    return world


def create(world: World, name: str, **changes: Any) -> None:
    world.call("CreateTrainingJob", **training_request(name, **changes))
    world.settle()


def interruptions(world: World, name: str = "spot") -> list[float]:
    """When a job was interrupted, in seconds since it was created."""
    record = world.backends.records.get("training-job", name)
    events = world.backends.records.events("training-job", name)
    assert all(one.data == {"cause": "rate"} for one in events if one.type == EVENT)
    return [one.at - record.created_at for one in events if one.type == EVENT]


def advance(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.advance(1)


def test_spot_jobs_are_interrupted_and_go_on_others_are_left_alone(tmp_path: Path) -> None:
    world = make(tmp_path)
    create(world, "spot", **SPOT)
    create(world, "on-demand")
    advance(world, 60)
    assert len(interruptions(world)) >= 2
    assert interruptions(world, "on-demand") == []
    job = world.call("DescribeTrainingJob", TrainingJobName="spot")
    assert job["TrainingJobStatus"] == "InProgress"


def test_the_same_job_is_interrupted_at_the_same_times_another_at_others(tmp_path: Path) -> None:
    first, second, third = (make(tmp_path / name) for name in "abc")
    create(first, "spot", **SPOT)
    create(second, "spot", **SPOT)
    create(third, "other", **SPOT)
    for world in (first, second, third):
        advance(world, 40)
    assert interruptions(first) == interruptions(second) != []
    assert interruptions(third, "other") != interruptions(first)


def test_an_engine_that_is_restarted_interrupts_when_the_last_one_would_have(
    tmp_path: Path,
) -> None:
    left, other = make(tmp_path / "a"), make(tmp_path / "b")
    create(left, "spot", **SPOT)
    create(other, "spot", **SPOT)
    due = 0
    while not interruptions(left):
        advance(left, 1)
        due += 1
    advance(other, due - 1)
    assert interruptions(other) == []
    again = other.restarted()
    advance(again, 1)
    assert interruptions(again) == interruptions(left)


def test_the_rate_is_an_average(tmp_path: Path) -> None:
    world = make(tmp_path, max_instances=100)
    names = [f"job-{number}" for number in range(20)]
    for name in names:
        create(world, name, **SPOT)
    waits = dict.fromkeys(names, 30.0)
    advance(world, 30)
    for name in names:
        waits[name] = min([*interruptions(world, name)[:1], 30.0])
    assert statistics.mean(waits.values()) == pytest.approx(6.0, rel=0.4)
    assert statistics.stdev(waits.values()) > 3


def test_without_a_rate_nobody_is_interrupted(tmp_path: Path) -> None:
    world = make(tmp_path, spot_interruptions_per_hour=0.0)
    create(world, "spot", **SPOT)
    world.advance(50_000)
    assert interruptions(world) == []
