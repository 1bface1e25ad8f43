"""Endpoints whose callers do not wait: who may ask them, and how much their instances work on."""

import pytest

from intermodal_engine.router.router import AsynchronousError, Health, Route
from tests.helpers.router import Stage, until


@pytest.fixture
def two(stage: Stage) -> Stage:
    """Two instances that each work on three such requests."""
    stage.up("i-1", zone="a")
    stage.up("i-2", zone="b")
    stage.router.direct("digits", [Route(1, "main", 1.0, each=3)])
    return stage


def test_only_those_who_do_not_wait_are_answered(two: Stage) -> None:
    with pytest.raises(AsynchronousError):
        two.invoke(b"now")
    assert two.invoke(b"later", is_asynchronous=True).body == b"later"


def test_the_capacity_is_that_of_the_instances_that_get_requests(two: Stage) -> None:
    assert two.router.asynchronous_targets() == ["digits"]
    assert two.router.asynchronous_capacity("digits") == 6
    two.router.drain("i-1")
    assert two.router.asynchronous_capacity("digits") == 3
    assert two.router.ready_instances("digits") == 1


def test_an_endpoint_that_answers_its_callers_has_none(stage: Stage) -> None:
    stage.up("i-1")
    assert stage.router.asynchronous_targets() == []
    assert stage.router.asynchronous_capacity("digits") == 0
    assert stage.router.asynchronous_capacity("nobody") == 0


def test_an_instance_that_is_healthy_or_has_ended_a_request_is_news(stage: Stage) -> None:
    told: list[str] = []
    stage.router.watch_room(told.append)
    stage.up("i-1")
    stage.wait_for("i-1", Health.HEALTHY)
    until(lambda: told == ["digits"])
    stage.invoke()
    until(lambda: told == ["digits", "digits"])
