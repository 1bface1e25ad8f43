"""The oracle is the real client: it reads our streams of events as what was put in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from botocore.exceptions import EventStreamError
from botocore.parsers import create_parser

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpResponse
from intermodal_engine.wire.route import named
from intermodal_engine.wire.serialize import serialize
from tests.helpers.wire_clients import service_model

Event = dict[str, Any]


class Wire:
    """What botocore wants of a response whose body is still arriving."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def stream(self) -> Iterator[bytes]:
        yield from self._pieces

    def close(self) -> None:
        self._pieces = []


async def flow(events: list[Event | ServiceError]) -> AsyncIterator[Event]:
    for event in events:
        if isinstance(event, ServiceError):
            raise event
        yield event


def read_by_client(service: str, operation: str, response: HttpResponse) -> dict[str, Any]:
    async def collect() -> list[bytes]:
        assert not isinstance(response.body, bytes)
        return [piece async for piece in response.body]  # type: ignore[union-attr]  # no file

    model = service_model(service).operation_model(operation)
    raw = {
        "status_code": response.status,
        "headers": {name.lower(): value for name, value in response.headers},
        "body": Wire(asyncio.run(collect())),
        "context": {"operation_name": operation},
    }
    parser = create_parser(service_model(service).metadata["protocol"])
    parsed: dict[str, Any] = parser.parse(raw, model.output_shape)
    return parsed


@pytest.mark.parametrize(
    ("service", "operation", "member", "events"),
    [
        (
            "sagemaker-runtime",
            "InvokeEndpointWithResponseStream",
            "Body",
            [{"PayloadPart": {"Bytes": b"one\x00"}}, {"PayloadPart": {"Bytes": b""}}],
        ),
        (
            "s3",
            "SelectObjectContent",
            "Payload",
            [
                {"Records": {"Payload": b"a,b\n"}},
                {"Stats": {"Details": {"BytesScanned": 3}}},
                {"Cont": {}},
                {"End": {}},
            ],
        ),
        (
            "logs",
            "StartLiveTail",
            "responseStream",
            [
                {"sessionStart": {"requestId": "r", "logGroupIdentifiers": ["a", "b"]}},
                {"sessionUpdate": {"sessionResults": [{"message": "é", "timestamp": 5}]}},
            ],
        ),
        (
            "lambda",
            "InvokeWithResponseStream",
            "EventStream",
            [{"PayloadChunk": {"Payload": b"x"}}, {"InvokeComplete": {"LogResult": "ok"}}],
        ),
    ],
)
def test_events_arrive_as_they_were_sent(
    service: str, operation: str, member: str, events: list[Event | ServiceError]
) -> None:
    route = named(service, operation)
    assert route.streams_output
    response = serialize(route, {member: flow(events)}, "r")
    assert dict(response.headers)["Content-Type"] == "application/vnd.amazon.eventstream"
    parsed = read_by_client(service, operation, response)
    assert list(parsed[member]) == events


@pytest.mark.parametrize(
    ("service", "operation", "member", "code"),
    [
        (
            "sagemaker-runtime",
            "InvokeEndpointWithResponseStream",
            "Body",
            "ModelStreamError",
        ),
        ("s3", "SelectObjectContent", "Payload", "InternalError"),
    ],
)
def test_an_error_in_the_middle_of_a_stream_reaches_the_client(
    service: str, operation: str, member: str, code: str
) -> None:
    events: list[Event | ServiceError] = [ServiceError(code, "it broke off")]
    response = serialize(named(service, operation), {member: flow(events)}, "r")
    with pytest.raises(EventStreamError, match="it broke off") as caught:
        list(read_by_client(service, operation, response)[member])
    assert caught.value.response["Error"]["Code"] == code


def test_an_event_that_the_model_does_not_know_is_a_fault_of_the_operation() -> None:
    route = named("sagemaker-runtime", "InvokeEndpointWithResponseStream")
    response = serialize(route, {"Body": flow([{"Piece": {}}])}, "r")
    with pytest.raises(TypeError):
        read_by_client("sagemaker-runtime", "InvokeEndpointWithResponseStream", response)
