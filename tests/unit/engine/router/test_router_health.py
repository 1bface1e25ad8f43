"""When an instance counts as healthy."""

import asyncio
import time

import pytest

from intermodal_engine.router.router import (
    Backend,
    Health,
    NoHealthyInstanceError,
    Rhythm,
    Router,
)
from tests.helpers.http_instance import PATIENCE_S, HttpInstance
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
    stage.router.direct("digits", 1, {"main": 1.0})
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
