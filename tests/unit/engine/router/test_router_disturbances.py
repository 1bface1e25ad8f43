"""Requests that a drill holds up, or answers in the place of their instance."""

import time

import pytest

from intermodal_engine.router.disturbances import Disturbance, Disturbances
from intermodal_engine.router.errors import AnswerTimeoutError
from intermodal_engine.router.router import Backend
from tests.helpers.router import Stage

FOREVER = float("inf")


def test_an_error_answers_and_the_instance_sees_nothing(stage: Stage) -> None:
    instance = stage.up("i-1")
    stage.router.disturbances.set([Disturbance("digits", FOREVER, status=503)])
    assert stage.invoke().status == 503
    assert instance.seen == []
    assert stage.router.in_flight("i-1") == 0
    measured = {one.metric: one.total for one in stage.router.measurements.take()}
    assert (measured["Invocations"], measured["Invocation5XXErrors"]) == (1, 1)
    stage.router.disturbances.set([])
    assert stage.invoke().status == 200


def test_a_delay_counts_as_the_models_latency(stage: Stage) -> None:
    stage.up("i-1")
    stage.router.disturbances.set([Disturbance("digits", FOREVER, delay_s=0.2)])
    began = time.monotonic()
    assert stage.invoke().status == 200
    assert time.monotonic() - began >= 0.2
    measured = {one.metric: one.total for one in stage.router.measurements.take()}
    assert measured["ModelLatency"] >= 200_000


@pytest.mark.parametrize(
    "other",
    [
        Disturbance("letters", FOREVER, status=500),
        Disturbance("digits", FOREVER, variant="other", status=500),
        Disturbance("digits", 0.0, status=500),
        Disturbance("digits", FOREVER, fraction=0.0, status=500),
    ],
    ids=["of-another-endpoint", "of-another-variant", "over", "of-none"],
)
def test_what_is_meant_for_others_passes_a_request_by(stage: Stage, other: Disturbance) -> None:
    stage.up("i-1")
    stage.router.disturbances.set([other])
    assert stage.invoke().status == 200


def test_who_is_held_up_longer_than_an_answer_may_take_is_timed_out() -> None:
    stage = Stage(timeout_s=0.2)
    try:
        stage.up("i-1")
        stage.router.disturbances.set([Disturbance("digits", FOREVER, delay_s=5)])
        with pytest.raises(AnswerTimeoutError):
            stage.invoke()
        assert stage.router.in_flight("i-1") == 0
    finally:
        stage.close()


def test_a_share_is_drawn_for_each_request() -> None:
    import asyncio

    draws = iter([0.1, 0.9, 0.1])
    disturbances = Disturbances(lambda: 0.0, lambda: next(draws))
    disturbances.set([Disturbance("e", 1.0, fraction=0.5, status=500)])
    backend = Backend("i", "e", "v", 1, "a", "h", 1)
    met = [asyncio.run(disturbances.meet(backend, 1.0)) for _ in range(3)]
    assert [one is not None for one in met] == [True, False, True]
