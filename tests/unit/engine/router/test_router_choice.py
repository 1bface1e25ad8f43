"""Which instance gets a request."""

import asyncio
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.router.instance import (
    Direction,
    Watched,
    choose_instance,
    choose_route,
)
from intermodal_engine.router.router import (
    Backend,
    Health,
    Invocation,
    InvocationResult,
    NoHealthyInstanceError,
    Route,
    UnknownEndpointError,
    UnknownVariantError,
)
from tests.helpers.http_instance import Reply, Seen
from tests.helpers.router import Stage, until


def test_requests_are_spread_over_zones_and_instances(stage: Stage) -> None:
    for backend_id, zone in [("i-1", "a"), ("i-2", "a"), ("i-3", "b")]:
        stage.up(backend_id, zone=zone)
    results = [stage.invoke() for _ in range(8)]
    assert Counter(result.zone for result in results) == {"a": 4, "b": 4}
    assert Counter(result.backend_id for result in results) == {"i-1": 2, "i-2": 2, "i-3": 4}


def test_the_instance_with_the_fewest_requests_under_way_gets_the_next(stage: Stage) -> None:
    gate = threading.Event()

    async def wait(seen: Seen) -> Reply:
        while seen.body == b"slow" and not gate.is_set():
            await asyncio.sleep(0.005)
        return Reply()

    stage.up("i-1", wait)
    stage.up("i-2", wait)

    async def begin() -> "asyncio.Task[InvocationResult]":
        return asyncio.ensure_future(
            stage.router.invoke("digits", Invocation("/invocations", {}, b"slow"))
        )

    stage.run(begin())
    until(lambda: stage.router.in_flight("i-1") + stage.router.in_flight("i-2") == 1)
    idle = "i-1" if stage.router.in_flight("i-1") == 0 else "i-2"
    assert {stage.invoke().backend_id for _ in range(5)} == {idle}
    gate.set()
    until(lambda: stage.router.in_flight("i-1") + stage.router.in_flight("i-2") == 0)


def test_variants_share_traffic_by_weight(stage: Stage) -> None:
    stage.up("i-1", variant="a")
    stage.up("i-2", variant="b")
    stage.router.direct("digits", [Route(1, "a", 3.0), Route(1, "b", 1.0)])
    variants = Counter(stage.invoke().variant for _ in range(40))
    assert variants == {"a": 30, "b": 10}


def test_a_target_variant_is_obeyed_whatever_its_weight(stage: Stage) -> None:
    stage.up("i-1", variant="a")
    stage.up("i-2", variant="b")
    stage.router.direct("digits", [Route(1, "a", 1.0), Route(1, "b", 0.0)])
    assert {stage.invoke(target_variant="b").variant for _ in range(3)} == {"b"}
    assert {stage.invoke().variant for _ in range(3)} == {"a"}
    with pytest.raises(UnknownVariantError):
        stage.invoke(target_variant="c")


def test_only_the_directed_generation_gets_traffic(stage: Stage) -> None:
    stage.up("i-1")
    stage.up("i-2", generation=2)
    assert {stage.invoke().backend_id for _ in range(3)} == {"i-1"}
    stage.router.direct("digits", [Route(2, "main", 1.0)])
    assert {stage.invoke().backend_id for _ in range(3)} == {"i-2"}


def test_two_generations_share_the_traffic_while_it_shifts(stage: Stage) -> None:
    stage.up("i-1")
    stage.up("i-2", generation=2)
    stage.router.direct("digits", [Route(1, "main", 0.9), Route(2, "main", 0.1)])
    taken = Counter(stage.invoke(target_variant="main").backend_id for _ in range(20))
    assert taken == {"i-1": 18, "i-2": 2}


def test_a_draining_instance_finishes_and_gets_nothing_new(stage: Stage) -> None:
    gate = threading.Event()

    async def wait(_seen: Seen) -> Reply:
        while not gate.is_set():
            await asyncio.sleep(0.005)
        return Reply(b"finished")

    stage.up("i-1", wait)

    async def begin() -> "asyncio.Task[InvocationResult]":
        return asyncio.ensure_future(
            stage.router.invoke("digits", Invocation("/invocations", {}, b""))
        )

    task = stage.run(begin())
    until(lambda: stage.router.in_flight("i-1") == 1)
    stage.router.drain("i-1")
    with pytest.raises(NoHealthyInstanceError):
        stage.invoke()
    gate.set()

    async def finish() -> InvocationResult:
        result: InvocationResult = await task
        return result

    assert stage.run(finish()).body == b"finished"
    assert stage.router.in_flight("i-1") == 0


def test_an_endpoint_without_direction_is_unknown(stage: Stage) -> None:
    with pytest.raises(UnknownEndpointError):
        stage.invoke(endpoint="nobody")


def test_a_forgotten_endpoint_is_unknown(stage: Stage) -> None:
    stage.up("i-1")
    stage.router.forget("digits")
    with pytest.raises(UnknownEndpointError):
        stage.invoke()
    assert stage.router.health("i-1") is Health.STARTING


def test_after_a_failure_another_zone_goes_first() -> None:
    watched = [
        Watched(Backend(name, "web", "main", 1, zone, "127.0.0.1", 1), health=Health.HEALTHY)
        for name, zone in [("i-1", "a"), ("i-2", "b")]
    ]
    watched[1].in_flight = 5
    assert choose_instance(watched, {"a"}).backend.backend_id == "i-2"
    assert choose_instance(watched, set()).backend.backend_id == "i-1"


def test_a_suspect_goes_last() -> None:
    watched = [
        Watched(Backend(name, "web", "main", 1, "a", "127.0.0.1", 1), health=Health.HEALTHY)
        for name in ("i-1", "i-2")
    ]
    watched[0].suspect()
    watched[1].in_flight = 5
    assert choose_instance(watched, set()).backend.backend_id == "i-2"


@given(
    weights=st.dictionaries(st.text(max_size=3), st.integers(0, 20), min_size=1, max_size=5),
    rounds=st.integers(1, 5),
)
def test_over_a_whole_round_each_variant_gets_exactly_its_weight(
    weights: dict[str, int], rounds: int
) -> None:
    total = sum(weights.values())
    if total == 0:
        return
    routes = tuple(Route(1, name, float(weight)) for name, weight in weights.items())
    direction = Direction(routes)
    chosen = Counter(choose_route(direction, routes).variant for _ in range(total * rounds))
    assert chosen == Counter({n: w * rounds for n, w in weights.items() if w})
