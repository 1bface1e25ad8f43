"""Requests to instances and their answers, whole and streamed."""

import asyncio
import time
from typing import Any

import pytest

from intermodal_engine.router.router import (
    AnswerTimeoutError,
    ConnectionLostError,
    InvalidAnswerError,
)
from tests.helpers.http_instance import PATIENCE_S, Reply, Seen
from tests.helpers.router import Stage, pieces

LONG = bytes(range(256)) * 8_000  # 2 MB: streamed, not handed on whole
LATE = (512 << 10) + 100  # its last bytes are those at which a connection pauses


def test_an_invocation_is_passed_on_and_answered(stage: Stage) -> None:
    async def answer(seen: Seen) -> Reply:
        return Reply(seen.body * 2, 201, "X-Amzn-SageMaker-Custom-Attributes: seen\r\n")

    instance = stage.up("i-1", answer)
    result = stage.invoke(b"abc", headers={"Content-Type": "text/csv"})
    assert (result.status, result.body, result.variant, result.zone) == (
        201,
        b"abcabc",
        "main",
        "a",
    )
    assert result.headers["x-amzn-sagemaker-custom-attributes"] == "seen"
    assert instance.seen[0].path == "/invocations"
    assert instance.seen[0].headers["content-type"] == "text/csv"


def test_connections_are_kept(stage: Stage) -> None:
    instance = stage.up("i-1")
    for _ in range(20):
        stage.invoke()
    assert instance.connections == 1


def test_a_long_body_is_streamed_both_ways(stage: Stage) -> None:
    stage.up("i-1")
    result = stage.invoke(pieces(LONG), content_length=len(LONG))
    assert not isinstance(result.body, bytes)
    assert stage.router.in_flight("i-1") == 1
    assert stage.read(result) == LONG
    assert stage.router.in_flight("i-1") == 0


def test_a_stream_of_unknown_length_is_sent_with_its_length(stage: Stage) -> None:
    instance = stage.up("i-1")
    assert stage.invoke(pieces(b"abc", 1)).body == b"abc"
    assert instance.seen[0].headers["content-length"] == "3"


def test_a_connection_whose_answer_was_taken_late_carries_the_next_one(stage: Stage) -> None:
    async def answer(seen: Seen) -> Reply:
        return Reply(bytes(LATE) if seen.body == b"much" else b"little")

    instance = stage.up("i-1", answer)
    result = stage.invoke(b"much")
    time.sleep(0.2)  # all of it has come, and nobody has taken any
    assert len(stage.read(result)) == LATE
    assert stage.invoke(b"x").body == b"little"
    assert instance.connections == 1


def test_a_slow_reader_makes_the_instance_wait(stage: Stage) -> None:
    async def much(_seen: Seen) -> Reply:
        return Reply(bytes(64 << 20))

    stage.up("i-1", much)
    result = stage.invoke()
    time.sleep(0.3)
    stream: Any = result.body
    held = stream._connection._incoming.unread_bytes
    assert 0 < held < 4 << 20
    assert len(stage.read(result)) == 64 << 20


def test_a_chunked_answer_and_one_that_ends_with_the_connection_are_whole(stage: Stage) -> None:
    ok = b"HTTP/1.1 200 OK\r\n"
    replies = [
        Reply(raw=ok + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        Reply(raw=b"HTTP/1.0 200 OK\r\n\r\nabcde", close=True),
        Reply(
            raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"
        ),
    ]

    async def answer(_seen: Seen) -> Reply:
        return replies.pop(0)

    stage.up("i-1", answer)
    for _ in range(3):
        assert stage.read(stage.invoke()) == b"abcde"


def test_an_answer_that_breaks_off_is_an_error(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(
            raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(400_000), close=True
        )

    stage.up("i-1", answer)
    result = stage.invoke()
    with pytest.raises(ConnectionLostError):
        stage.read(result)
    assert stage.router.in_flight("i-1") == 0


def test_a_stream_that_nobody_reads_is_let_go(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(LONG)

    stage.up("i-1", answer)
    stream: Any = stage.invoke().body
    assert stage.router.in_flight("i-1") == 1
    stage.run(stream.aclose())
    assert stage.router.in_flight("i-1") == 0


def test_what_is_not_http_is_an_error(stage: Stage) -> None:
    async def answer(_seen: Seen) -> Reply:
        return Reply(raw=b"hello\r\n\r\n", close=True)

    stage.up("i-1", answer)
    with pytest.raises(InvalidAnswerError):
        stage.invoke()


def test_an_instance_that_does_not_answer_in_time_is_given_up() -> None:
    stage = Stage(timeout_s=0.2)

    async def never(_seen: Seen) -> Reply:
        await asyncio.sleep(PATIENCE_S)
        return Reply()

    try:
        stage.up("i-1", never)
        with pytest.raises(AnswerTimeoutError):
            stage.invoke()
        assert stage.router.in_flight("i-1") == 0
    finally:
        stage.close()
