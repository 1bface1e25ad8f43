"""Strategies, sessions, room for a bounded number of requests, copies, and what is measured."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from intermodal_engine.router.instance import Strategy
from intermodal_engine.router.router import (
    ComponentRequiredError,
    Limits,
    NoCapacityError,
    NoHealthyInstanceError,
    OverloadedError,
    Route,
    UnknownEndpointError,
    UnknownSessionError,
)
from intermodal_engine.router.sessions import LIFETIME_S, Sessions
from intermodal_engine.store.database import Database
from intermodal_engine.store.session_rows import SessionRows
from tests.helpers.http_instance import Reply, Seen
from tests.helpers.router import Stage, pieces, until


class Gate:
    """An instance that answers once it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.asked = 0

    async def __call__(self, _seen: Seen) -> Reply:
        self.asked += 1
        while not self.opened.is_set():
            await asyncio.sleep(0.005)
        return Reply(b"done")


def test_at_random_every_instance_gets_some_whatever_is_under_way(stage: Stage) -> None:
    stage.up("i-1")
    stage.up("i-2", zone="b")
    stage.router.direct("digits", [Route(1, "main", 1.0, Strategy.RANDOM)])
    taken = Counter(stage.invoke().backend_id for _ in range(100))
    assert set(taken) == {"i-1", "i-2"}
    assert min(taken.values()) >= 20
    # Turn about would be exactly even, as it is with the fewest requests under way.
    runs = [stage.invoke().backend_id for _ in range(40)]
    assert any(one == other for one, other in pairwise(runs))


# Sessions


def opens(name: str, expires: str = "") -> "Gate":
    async def answer(seen: Seen) -> Reply:
        asked = seen.headers.get("x-amzn-sagemaker-session-id")
        if asked == "NEW_SESSION":
            head = f"X-Amzn-SageMaker-New-Session-Id: {name}{expires}\r\n"
            return Reply(b"opened", headers=head)
        if seen.body == b"close":
            return Reply(b"closed", headers=f"X-Amzn-SageMaker-Closed-Session-Id: {asked}\r\n")
        return Reply(f"{name} holds {asked}".encode())

    return answer  # type: ignore[return-value] # a handler is any such function


def ask(stage: Stage, session_id: str, body: bytes = b"x") -> bytes:
    headers = {"X-Amzn-SageMaker-Session-Id": session_id}
    result = stage.invoke(body, headers=headers, session_id=session_id)
    assert isinstance(result.body, bytes)
    return result.body


def test_a_session_stays_with_the_instance_that_opened_it(stage: Stage) -> None:
    stage.up("i-1", opens("one"))
    stage.up("i-2", opens("two"), zone="b")
    assert [ask(stage, "NEW_SESSION") for _ in range(2)] == [b"opened", b"opened"]
    for _ in range(5):
        assert ask(stage, "one") == b"one holds one"
        assert ask(stage, "two") == b"two holds two"
    assert ask(stage, "one", b"close") == b"closed"
    with pytest.raises(UnknownSessionError):
        ask(stage, "one")
    assert ask(stage, "two") == b"two holds two"


def test_a_session_is_gone_with_its_instance(stage: Stage) -> None:
    stage.up("i-1", opens("one"))
    ask(stage, "NEW_SESSION")
    stage.up("i-2", opens("two"), zone="b")
    stage.router.drain("i-1")
    with pytest.raises(UnknownSessionError):
        ask(stage, "one")
    with pytest.raises(UnknownSessionError):
        ask(stage, "never")


def told(sessions: Sessions, backend_id: str, **headers: str) -> None:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    asyncio.run(sessions.take("ep", backend_id, names))


def test_a_session_outlives_the_engine_until_it_is_closed_or_expires(tmp_path: Path) -> None:
    now = [1_000_000.0]
    rows = SessionRows(Database(tmp_path / "rows"), lambda: now[0])
    sessions = Sessions(lambda: now[0], rows)
    for name, backend_id in (("a", "i-1"), ("b", "i-2"), ("c", "i-1")):
        told(sessions, backend_id, x_amzn_sagemaker_new_session_id=name)
    told(sessions, "i-1", x_amzn_sagemaker_closed_session_id="a")
    after = Sessions(lambda: now[0], rows)
    assert [after.find("ep", name) for name in "abc"] == [None, "i-2", "i-1"]
    now[0] += LIFETIME_S
    assert rows.all() == {}


def test_a_session_that_cannot_be_kept_is_one_as_long_as_the_engine_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(tmp_path / "rows")
    sessions = Sessions(time.time, SessionRows(database, time.time))
    with database.transaction() as connection:
        connection.execute("DROP TABLE endpoint_sessions")
    told(sessions, "i-1", x_amzn_sagemaker_new_session_id="a")
    assert sessions.find("ep", "a") == "i-1"
    assert "unknown after a restart" in caplog.text


def test_a_session_expires_when_its_container_said_so() -> None:
    now = [1_000_000.0]
    sessions = Sessions(lambda: now[0])
    told(sessions, "i-1", x_amzn_sagemaker_new_session_id="a; Expires=1970-01-12T13:46:50Z")
    told(sessions, "i-1", x_amzn_sagemaker_new_session_id="b; Expires=soon")
    assert sessions.find("ep", "a") == "i-1"
    now[0] += 11
    assert sessions.find("ep", "a") is None
    assert sessions.find("ep", "b") == "i-1"
    assert sessions.find("other", "b") is None
    now[0] += LIFETIME_S
    assert sessions.find("ep", "b") is None


# Room


@pytest.fixture
def small() -> Iterator[Stage]:
    stage = Stage(limits=Limits(in_flight=1, waiting=2, patience_s=0.5))
    yield stage
    stage.close()


def test_requests_wait_for_room_and_too_many_are_turned_away_at_once(small: Stage) -> None:
    gate = Gate()
    small.up("i-1", gate)
    threads = [threading.Thread(target=small.invoke) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(small.router._waiting._queues.get("digits", ())) == 2)
    with pytest.raises(OverloadedError, match="2 requests wait already"):
        small.invoke()
    assert gate.asked == 1
    gate.opened.set()
    for thread in threads:
        thread.join(10)
    assert gate.asked == 3
    assert small.router._waiting._queues == {}


def test_who_waited_for_too_long_is_told(small: Stage) -> None:
    gate = Gate()
    small.up("i-1", gate)
    first = threading.Thread(target=small.invoke)
    first.start()
    until(lambda: gate.asked == 1)
    with pytest.raises(OverloadedError, match=r"for 0\.5 s all instances are busy"):
        small.invoke()
    gate.opened.set()
    first.join(10)
    assert small.invoke().body == b"done"


# Shadows


def shadowed(stage: Stage, share: float) -> list[bytes]:
    """Copies that the shadow gets."""
    copies: list[bytes] = []

    async def note(seen: Seen) -> Reply:
        copies.append(seen.body)
        return Reply(b"shadow", status=500)

    stage.up("i-1")
    stage.up("i-2", note, variant="shadow", zone="b")
    stage.router.direct(
        "digits", [Route(1, "main", 1.0), Route(1, "shadow", share, is_shadow=True)]
    )
    return copies


def test_a_shadow_gets_its_share_of_copies_and_answers_nobody(stage: Stage) -> None:
    copies = shadowed(stage, 0.25)
    answers = [stage.invoke(str(number).encode()) for number in range(20)]
    assert {one.variant for one in answers} == {"main"}
    assert [one.body for one in answers] == [str(number).encode() for number in range(20)]
    until(lambda: len(copies) == 5)
    until(lambda: stage.router.in_flight("i-2") == 0)
    measured = {one.backend.variant for one in stage.router.measurements.take()}
    assert measured == {"main", "shadow"}


def test_a_shadow_that_is_gone_and_bodies_that_are_streams_disturb_nobody(stage: Stage) -> None:
    copies = shadowed(stage, 1.0)
    body = b"x" * 300_000
    result = stage.invoke(pieces(body), content_length=len(body))
    assert stage.read(result) == body
    stage.instances[1].close()
    assert [stage.invoke().body for _ in range(5)] == [b"x"] * 5
    assert copies == []


# Measurements


def test_each_invocation_is_measured_with_what_its_instance_answered(stage: Stage) -> None:
    async def answer(seen: Seen) -> Reply:
        await asyncio.sleep(0.02)
        return Reply(b"", status=int(seen.body))

    stage.up("i-1", answer)
    for status in (200, 200, 400, 503):
        stage.invoke(str(status).encode())
    sums: dict[str, float] = {}
    least: dict[str, float] = {}
    for one in stage.router.measurements.take():
        assert (one.backend.backend_id, one.backend.zone) == ("i-1", "a")
        sums[one.metric] = sums.get(one.metric, 0.0) + one.total
        least[one.metric] = min(least.get(one.metric, one.minimum), one.minimum)
    assert sums["Invocations"] == 4
    assert (sums["Invocation4XXErrors"], sums["Invocation5XXErrors"]) == (1, 1)
    assert sums["InvocationModelErrors"] == 2
    assert least["ModelLatency"] >= 20_000
    assert 0 <= least["OverheadLatency"] < 20_000


def test_a_request_that_no_instance_gets_counts_as_an_error(stage: Stage) -> None:
    stage.up("i-1")
    stage.router.drain("i-1")
    with pytest.raises(NoHealthyInstanceError):
        stage.invoke()
    measured = {one.metric: one.total for one in stage.router.measurements.take()}
    assert measured == {"Invocations": 1, "Invocation4XXErrors": 0, "Invocation5XXErrors": 1}


# Targets


def test_a_component_has_traffic_of_its_own_and_the_bare_endpoint_none(stage: Stage) -> None:
    stage.up("i-1", component="one")
    stage.up("i-2", component="two")
    stage.router.direct("digits", [], ComponentRequiredError)
    stage.router.direct("digits/one", [Route(1, "main", 1.0)])
    stage.router.direct("digits/two", [Route(1, "main", 1.0)], NoCapacityError)
    assert stage.invoke(endpoint="digits/one").backend_id == "i-1"
    with pytest.raises(ComponentRequiredError):
        stage.invoke()
    with pytest.raises(NoCapacityError):
        stage.invoke(endpoint="digits/two")
    with pytest.raises(UnknownEndpointError):
        stage.invoke(endpoint="digits/three")
    counted = {
        one.metric: one.total
        for one in stage.router.measurements.take()
        if one.backend.component == "two"
    }
    assert counted == {"NoCapacityInvocationFailures": 1.0}
