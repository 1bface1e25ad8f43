"""Which calls the router keeps for data capture, and that nobody waits for it."""

from collections.abc import Mapping

import pytest

from intermodal_engine.router.captures import Captured, CaptureRule
from intermodal_engine.router.router import ConnectionLostError, Invocation, Route
from tests.helpers.http_instance import Reply, Seen
from tests.helpers.router import Stage, pieces, until

BOTH = CaptureRule(1.0, has_input=True, has_output=True, bucket="b", prefix="p")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def follow(stage: Stage, rule: CaptureRule = BOTH) -> None:
    stage.router.captures.follow("digits", {1: rule})


def taken(stage: Stage) -> list[Captured]:
    return stage.router.captures.take()


def whole(captured: Captured) -> tuple[bytes, bytes]:
    return b"".join(captured.request), b"".join(captured.answer)


def test_a_call_is_kept_with_its_answer_and_its_headers(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(b"[2]", headers="Content-Type: application/json\r\n")

    stage.up("i-1", answer)
    follow(stage)
    stage.invoke(b"[1]", headers={"Content-Type": "text/csv"})
    (captured,) = taken(stage)
    assert whole(captured) == (b"[1]", b"[2]")
    assert captured.request_headers["Content-Type"] == "text/csv"
    assert captured.answer_headers["content-type"] == "application/json"
    assert captured.backend.variant == "main"


def test_without_a_rule_nothing_is_kept_nor_after_the_endpoint_is_forgotten(stage: Stage) -> None:
    stage.up("i-1")
    stage.invoke()
    stage.router.captures.follow("other", {1: BOTH})
    stage.router.captures.follow("digits", {2: BOTH})
    stage.invoke()
    assert taken(stage) == []
    follow(stage)
    stage.router.forget("digits")
    stage.up("i-2")
    stage.invoke()
    assert taken(stage) == []


@pytest.mark.parametrize(("percent", "kept"), [(100, 40), (50, 20), (30, 12), (1, 0)])
def test_exactly_the_sampled_share_is_kept(stage: Stage, percent: int, kept: int) -> None:
    stage.up("i-1")
    follow(stage, CaptureRule(percent / 100, True, True, "b", "p"))
    for _ in range(40):
        stage.invoke()
    assert len(taken(stage)) == kept


def test_requests_alone_or_answers_alone_are_kept(stage: Stage) -> None:
    stage.up("i-1")
    follow(stage, CaptureRule(1.0, True, False, "b", "p"))
    stage.invoke(b"one")
    follow(stage, CaptureRule(1.0, False, True, "b", "p"))
    stage.invoke(b"two")
    assert [whole(one) for one in taken(stage)] == [(b"one", b""), (b"", b"two")]


def test_streams_are_kept_as_they_flow(stage: Stage) -> None:
    stage.up("i-1")
    follow(stage)
    body = bytes(range(256)) * 4_000
    result = stage.invoke(pieces(body), content_length=len(body))
    assert taken(stage) == []  # the answer was not read to its end yet
    assert stage.read(result) == body
    (captured,) = taken(stage)
    assert whole(captured) == (body, body)


def test_an_answer_that_is_let_go_is_not_kept_and_gives_its_room_back(stage: Stage) -> None:
    stage.up("i-1")
    follow(stage)
    body = b"x" * 1_000_000

    async def begin_and_leave() -> None:
        result = await stage.router.invoke("digits", _invocation(body))
        assert not isinstance(result.body, bytes)
        await anext(result.body)
        await result.body.aclose()  # type: ignore[attr-defined] # such streams have it

    stage.run(begin_and_leave())
    assert taken(stage) == []
    assert stage.router.captures.hold(32 << 20)


def test_an_answer_that_breaks_off_is_not_kept(stage: Stage) -> None:
    async def breaks(_seen: Seen) -> Reply:
        return Reply(raw=CHUNKED + b"3\r\nabc\r\n", close=True)

    stage.up("i-1", breaks)
    follow(stage)
    result = stage.invoke()
    with pytest.raises(ConnectionLostError):
        stage.read(result)
    assert taken(stage) == []
    assert stage.router.captures.hold(32 << 20)


def test_calls_that_fail_are_not_kept(stage: Stage) -> None:
    async def refuses(_seen: Seen) -> Reply:
        return Reply(b"no", status=400)

    stage.up("i-1", refuses)
    follow(stage)
    stage.invoke()
    assert taken(stage) == []


def test_without_room_calls_are_answered_and_counted_as_lost(stage: Stage) -> None:
    stage.up("i-1")
    follow(stage)
    assert stage.router.captures.hold((32 << 20) - 2_000)
    large = b"x" * 1_000_000
    assert stage.invoke(b"small").body == b"small"
    assert stage.read(stage.invoke(pieces(large), content_length=len(large))) == large
    assert stage.read(stage.invoke(large)) == large
    assert [whole(one) for one in taken(stage)] == [(b"small", b"small")]
    assert stage.router.captures.lost == 2


def test_a_shadow_has_captures_of_its_own(stage: Stage) -> None:
    stage.up("i-1")
    stage.up("i-2", variant="shadow")
    stage.router.direct("digits", [Route(1, "main", 1.0), Route(1, "shadow", 1.0, is_shadow=True)])
    found: list[Captured] = []
    follow(stage)
    stage.invoke(b"x")

    def both_came() -> bool:
        found.extend(taken(stage))
        return len(found) == 2

    until(both_came)
    assert {one.backend.variant for one in found} == {"main", "shadow"}


def test_whoever_takes_is_told_once_until_nothing_was_there(stage: Stage) -> None:
    stage.up("i-1")
    follow(stage)
    told: list[int] = []
    stage.router.captures.on_first = lambda: told.append(1)
    for _ in range(3):
        stage.invoke()
    assert len(told) == 1
    assert len(taken(stage)) == 3
    stage.invoke()
    assert len(told) == 1  # who takes will look again
    assert len(taken(stage)) == 1
    assert taken(stage) == []
    stage.invoke()
    assert len(told) == 2


def _invocation(body: bytes, headers: Mapping[str, str] | None = None) -> Invocation:
    return Invocation("/invocations", headers or {}, body)
