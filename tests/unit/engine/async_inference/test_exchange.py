"""One asynchronous request at an instance: what ends it, and what has it wait on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.async_inference import exchange
from intermodal_engine.lifecycle.async_inference.accepted import accepted
from intermodal_engine.lifecycle.async_inference.exchange import (
    InstanceLostError,
    NotNowError,
    perform,
)
from intermodal_engine.lifecycle.async_inference.outcome import Outcome
from intermodal_engine.router.invocation import Invocation, InvocationResult
from intermodal_engine.router.router import (
    AnswerTimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidAnswerError,
    NoHealthyInstanceError,
    OverloadedError,
    Router,
)
from intermodal_engine.store.async_requests import AsyncRequest
from intermodal_engine.store.objects import ObjectStore
from tests.helpers.lifecycle import make_world


class OneAnswerRouter(Router):
    """Gives an answer, or raises it."""

    def __init__(self, answer: bytes | AsyncIterator[bytes] | Exception, status: int = 200) -> None:
        super().__init__(lambda *_: None)
        self.answer = answer
        self.status = status
        self.asked: Invocation | None = None
        self.body = b""

    async def invoke(self, target: str, invocation: Invocation) -> InvocationResult:
        assert target == "ep"
        self.asked = invocation
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(invocation.body, bytes):
            self.body = invocation.body
        else:
            self.body = b"".join([chunk async for chunk in invocation.body])
        headers = {"content-type": "text/csv"}
        return InvocationResult(self.status, headers, self.answer, "v", "i-1", "us-east-1a")


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    store = make_world(tmp_path / "home").backends.objects
    store.create_bucket("data")
    store.put_bytes("data", "in", b"question", content_type="text/plain")
    return store


def request(body: bytes | None = None, **parameters: Any) -> AsyncRequest:
    given = {} if body is not None else {"InputLocation": "s3://data/in"}
    config = {"OutputConfig": {"S3OutputPath": "s3://data/out"}}
    return accepted(
        config,
        {"EndpointName": "ep", "Filename": "answer", **given, **parameters},
        body,
        endpoint_since=1.0,
        variant="v",
        region="us-east-1",
        now=1.0,
    )


def ask(router: Router, objects: ObjectStore, one: AsyncRequest | None = None) -> Outcome:
    return asyncio.run(perform(one or request(), router, objects))


def test_an_answer_is_stored_with_its_type(objects: ObjectStore) -> None:
    router = OneAnswerRouter(b"answer")
    assert ask(router, objects) == Outcome("", "text/csv", b"answer")
    info, file = objects.open("data", "out/answer")
    with file:
        assert (file.read(), info.content_type) == (b"answer", "text/csv")
    assert router.asked is not None
    assert router.body == b"question"
    assert router.asked.is_asynchronous
    assert router.asked.timeout_s == 900


@pytest.mark.parametrize(
    ("parameters", "expected"), [({}, "text/plain"), ({"ContentType": "a/b"}, "a/b")]
)
def test_the_type_of_the_object_is_told_where_the_request_names_none(
    objects: ObjectStore, parameters: dict[str, Any], expected: str
) -> None:
    router = OneAnswerRouter(b"answer")
    ask(router, objects, request(**parameters))
    assert router.asked is not None
    assert router.asked.headers["Content-Type"] == expected


def test_a_long_input_and_a_long_answer_flow(objects: ObjectStore) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(1 << 20)

    size = (2 << 20) + 1
    objects.put_bytes("data", "in", bytes(size))
    router = OneAnswerRouter(parts())
    assert ask(router, objects) == Outcome("", "text/csv", None)
    assert router.asked is not None
    assert router.asked.content_length == len(router.body) == size
    assert objects.head("data", "out/answer").size_bytes == 3 << 20


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (request(InputLocation="s3://data/missing"), "Failed to download input from s3://data/mis"),
        (request(InputLocation="s3://nobodys/in"), "Failed to download input from s3://nobodys"),
    ],
)
def test_an_input_that_is_not_there_ends_it(
    objects: ObjectStore, one: AsyncRequest, words: str
) -> None:
    assert words in ask(OneAnswerRouter(b"answer"), objects, one).failure


def test_an_input_that_is_too_large_ends_it(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "BODY_LIMIT_BYTES", 3)
    assert "has 8 bytes" in ask(OneAnswerRouter(b"answer"), objects).failure


def test_an_output_that_cannot_be_stored_ends_it(objects: ObjectStore) -> None:
    one = request()
    moved = accepted(
        {"OutputConfig": {"S3OutputPath": "s3://nobodys"}},
        one.parameters,
        None,
        endpoint_since=1.0,
        variant="v",
        region="us-east-1",
        now=1.0,
    )
    assert "Failed to upload the output" in ask(OneAnswerRouter(b"x"), objects, moved).failure


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (503, "server")])
def test_what_the_model_refuses_is_a_failure_in_its_words(
    objects: ObjectStore, status: int, side: str
) -> None:
    outcome = ask(OneAnswerRouter(b"too many columns", status), objects)
    said = f'Received {side} error ({status}) from model with message "too many columns"'
    assert outcome.failure == f"ClientError: {said}"
    assert outcome.answer == b"too many columns"
    assert objects.find("data", "out/answer") is None


def test_an_answer_that_takes_too_long_or_is_none_is_a_failure(objects: ObjectStore) -> None:
    one = request(InvocationTimeoutSeconds=7)
    outcome = ask(OneAnswerRouter(AnswerTimeoutError("silent")), objects, one)
    assert "did not answer within 7 s (InvocationTimeoutSeconds)" in outcome.failure
    assert "no HTTP" in ask(OneAnswerRouter(InvalidAnswerError("no HTTP")), objects).failure


def test_an_answer_that_breaks_off_leaves_nothing_and_counts_as_a_lost_instance(
    objects: ObjectStore,
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionLostError("gone")

    with pytest.raises(InstanceLostError, match="gone"):
        ask(OneAnswerRouter(parts()), objects)
    assert objects.find("data", "out/answer") is None


@pytest.mark.parametrize(
    "error", [NoHealthyInstanceError("ep"), OverloadedError("busy"), ConnectFailedError("no")]
)
def test_what_nobody_has_worked_on_waits_on(objects: ObjectStore, error: Exception) -> None:
    with pytest.raises(NotNowError) as caught:
        ask(OneAnswerRouter(error), objects)
    assert not isinstance(caught.value, InstanceLostError)


def test_a_body_that_came_with_the_request_is_sent(objects: ObjectStore) -> None:
    router = OneAnswerRouter(b"answer")
    assert ask(router, objects, request(b"inline")).has_succeeded
    assert router.body == b"inline"
