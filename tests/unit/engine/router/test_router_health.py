"""When an instance counts as healthy."""

import asyncio
import threading
import time
from concurrent.futures import Future

import pytest

from intermodal_engine.router.router import (
    Backend,
    Health,
    Invocation,
    InvocationResult,
    NoHealthyInstanceError,
    Rhythm,
    Route,
    Router,
)
from tests.helpers.http_instance import PATIENCE_S, HttpInstance, Reply, Seen
from tests.helpers.router import Stage, free_port, until


def test_an_instance_that_is_not_up_yet_is_starting_and_then_healthy(stage: Stage) -> None:
    port = free_port()
    stage.add("i-1", port)
    time.sleep(0.2)
    assert stage.router.health("i-1") is Health.STARTING
    stage.instances.append(HttpInstance(port=port))
    began = time.monotonic()
    stage.wait_for("i-1", Health.HEALTHY)
    assert time.monotonic() - began < 0.5
    until(lambda: stage.news == [("digits", "i-1", Health.HEALTHY)])  # told by another thread


def test_a_ping_that_is_not_200_does_not_make_healthy(stage: Stage) -> None:
    instance = HttpInstance()
    stage.instances.append(instance)
    instance.ping_status = 503
    stage.add("i-1", instance.port)
    time.sleep(0.2)
    assert stage.router.health("i-1") is Health.STARTING
    instance.ping_status = 200
    stage.wait_for("i-1", Health.HEALTHY)


def test_a_killed_instance_is_noticed_by_its_idle_connections_before_a_ping_is_due() -> None:
    stage = Stage(rhythm=Rhythm(steady_s=600))
    try:
        stage.up("i-1").close()
        stage.wait_for("i-1", Health.UNHEALTHY)
    finally:
        stage.close()


def test_an_instance_recovers(stage: Stage) -> None:
    instance = stage.up("i-1")
    instance.ping_status = 500
    stage.wait_for("i-1", Health.UNHEALTHY)
    with pytest.raises(NoHealthyInstanceError):
        stage.invoke()
    instance.ping_status = 200
    stage.wait_for("i-1", Health.HEALTHY)
    assert stage.invoke(b"back").body == b"back"


def test_an_instance_added_before_the_loop_runs_is_pinged_when_it_does() -> None:
    with HttpInstance() as instance:
        router = Router(lambda *_: None)
        router.add(Backend("i-1", "digits", "main", 1, "a", "127.0.0.1", instance.port))

        async def run() -> None:
            router.bind(asyncio.get_running_loop())
            async with asyncio.timeout(PATIENCE_S):
                while router.health("i-1") is not Health.HEALTHY:
                    await asyncio.sleep(0.005)
            router.close()

        asyncio.run(run())


def test_adding_an_instance_again_keeps_its_health(stage: Stage) -> None:
    instance = stage.up("i-1")
    stage.add("i-1", instance.port)
    assert stage.router.health("i-1") is Health.HEALTHY


def test_a_listener_that_fails_is_told_of_later_changes(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.listener_fails = True
    instance = stage.up("i-1")
    instance.ping_status = 500
    until(lambda: [health for *_, health in stage.news] == [Health.HEALTHY, Health.UNHEALTHY])
    assert "the news that `i-1` is healthy" in caplog.text


def test_a_server_that_closes_connections_unannounced_is_healthy_and_not_pinged_all_the_time(
    stage: Stage,
) -> None:
    instance = HttpInstance()
    stage.instances.append(instance)
    instance.closes_silently = True
    stage.add("i-1", instance.port)
    stage.wait_for("i-1", Health.HEALTHY)
    stage.router.direct("digits", [Route(1, "main", 1.0)])
    before = instance.pings
    for _ in range(10):
        assert stage.invoke(b"still").body == b"still"
    time.sleep(0.5)
    assert stage.router.health("i-1") is Health.HEALTHY
    assert instance.pings - before <= 3


def test_a_hung_instance_is_unhealthy_once_its_pings_time_out(stage: Stage) -> None:
    instance = stage.up("i-1")
    instance.pings_answered = False
    stage.wait_for("i-1", Health.UNHEALTHY)


class Works:
    """A handler that answers nothing before it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    async def __call__(self, seen: Seen) -> Reply:
        while not self.gate.is_set():
            await asyncio.sleep(0.005)
        return Reply(seen.body)


def begin(stage: Stage, count: int) -> list[Future[InvocationResult]]:
    """Requests that are under way afterwards."""
    invocation = Invocation("/invocations", {}, b"x")
    return [stage.begin(stage.router.invoke("digits", invocation)) for _ in range(count)]


def test_an_instance_that_freezes_at_work_gets_no_more_while_another_answers(stage: Stage) -> None:
    works = Works()
    frozen, sound = stage.up("i-1", works), stage.up("i-2", works)
    under_way = begin(stage, 2)
    until(lambda: len(frozen.seen) == len(sound.seen) == 1)
    frozen.pings_answered = False
    frozen.pings = 0
    until(lambda: frozen.pings >= 2)  # one of them has timed out
    under_way += begin(stage, 8)
    until(lambda: len(sound.seen) == 9)
    assert len(frozen.seen) == 1
    assert stage.router.health("i-1") is Health.HEALTHY  # it may be a server with one thread
    works.gate.set()
    assert {one.result(PATIENCE_S).body for one in under_way} == {b"x"}


def test_a_frozen_instance_is_given_up_in_the_end_however_many_wait_for_it() -> None:
    stage = Stage(rhythm=Rhythm(starting_s=0.02, steady_s=0.02, timeout_s=0.1, silences=5))
    works = Works()
    try:
        instance = stage.up("i-1", works)
        under_way = begin(stage, 3)
        until(lambda: len(instance.seen) == 3)
        instance.pings_answered = False
        stage.wait_for("i-1", Health.UNHEALTHY)
        assert stage.router.in_flight("i-1") == 3
        works.gate.set()
        assert [one.result(PATIENCE_S).body for one in under_way] == [b"x"] * 3
    finally:
        stage.close()


def test_a_busy_instance_that_answers_no_ping_stays_as_long_as_it_answers_requests() -> None:
    stage = Stage(rhythm=Rhythm(starting_s=0.02, steady_s=0.02, timeout_s=0.1, silences=5))

    async def slow(seen: Seen) -> Reply:
        await asyncio.sleep(0.15)
        return Reply(seen.body)

    try:
        instance = stage.up("i-1", slow)
        instance.pings_answered = False
        deadline = time.monotonic() + 1.5  # twice the time in which it is given up if silent
        under_way = begin(stage, 2)
        while time.monotonic() < deadline:
            assert under_way.pop(0).result(PATIENCE_S).body == b"x"
            under_way += begin(stage, 1)
            assert stage.router.health("i-1") is Health.HEALTHY
        instance.pings_answered = True
        assert under_way.pop().result(PATIENCE_S).body == b"x"
    finally:
        stage.close()
