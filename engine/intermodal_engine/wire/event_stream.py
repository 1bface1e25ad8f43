"""Streams of events as response bodies (`application/vnd.amazon.eventstream`).

A message is: total length, length of the headers, CRC-32 of those two; the headers; the payload;
CRC-32 of all before it. Numbers are big-endian; each header is a name, a type (7, a string) and a
value.
"""

import struct
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from intermodal_engine.wire import json_body, xml_body
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import Shape

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_STRING = 7
_FRAME_BYTES = 16

Event = Mapping[str, Any]


async def encode(
    shape: Shape, events: AsyncIterator[Event], protocol: str, first: bytes | None = None
) -> AsyncIterator[bytes]:
    """The bytes of a stream of events.

    Args:
        shape: the model's union of events.
        events: each a mapping of one event's name to its members.
        protocol: how members that are not the payload are written.
        first: JSON's answer to the request itself, sent before any event.

    Raises:
        TypeError: an event does not fit the model; a fault of the operation.
    """
    if first is not None:
        headers = {
            ":message-type": "event",
            ":event-type": "initial-response",
            ":content-type": "application/json",
        }
        yield message(headers, first)
    try:
        async for event in events:
            yield encode_event(shape, event, protocol)
    except ServiceError as error:
        yield encode_error(shape, error, protocol)


def encode_event(shape: Shape, event: Event, protocol: str) -> bytes:
    """One event as a message.

    Raises:
        TypeError: it does not fit the model; a fault of the operation.
    """
    ((name, value),) = event.items()
    member = shape.members.get(name)
    if member is None:
        raise TypeError(f"{shape.name} has no event `{name}`")
    headers = {":message-type": "event", ":event-type": name}
    content_type, payload = _payload(member, value, protocol)
    if content_type:
        headers[":content-type"] = content_type
    return message(headers, payload)


def encode_error(shape: Shape, error: ServiceError, protocol: str) -> bytes:
    """What ends a stream that failed after it had begun."""
    if protocol == "rest-xml":
        headers = {
            ":message-type": "error",
            ":error-code": error.code,
            ":error-message": error.message,
        }
        return message(headers, b"")
    headers = {
        ":message-type": "exception",
        ":exception-type": error.code,
        ":content-type": "application/json",
    }
    modelled = shape.members.get(error.code)
    name = modelled.message_name if modelled else "message"
    return message(headers, json_body.dump({**error.fields, name: error.message}))


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    block = b"".join(_headers(headers))
    total = _FRAME_BYTES + len(block) + len(payload)
    prelude = struct.pack(">II", total, len(block))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return start + struct.pack(">I", zlib.crc32(start))


def _headers(headers: Mapping[str, str]) -> Iterator[bytes]:
    for name, value in headers.items():
        raw_name, raw = name.encode(), value.encode()
        yield struct.pack(">B", len(raw_name)) + raw_name
        yield struct.pack(">BH", _STRING, len(raw)) + raw


def _payload(shape: Shape, value: Mapping[str, Any], protocol: str) -> tuple[str, bytes]:
    """A payload member that is a blob or a text goes as it is, all else as the protocol writes."""
    for name, member in shape.members.items():
        if member.traits.get("eventpayload") and member.kind in ("blob", "string"):
            content = value.get(name) or b""
            if member.kind == "blob":
                return "application/octet-stream", bytes(content)
            return "text/plain", str(content).encode()
    if not shape.members:
        return "", b""
    if protocol == "rest-xml":
        payload = next(
            (name for name, member in shape.members.items() if member.traits.get("eventpayload")),
            None,
        )
        inner, value = (shape.members[payload], value[payload]) if payload else (shape, value)
        text = f"<{inner.name}>{xml_body.write_members(inner, value)}</{inner.name}>"
        return "text/xml", text.encode()
    content_type = "application/json" if protocol != "json" else "application/x-amz-json-1.1"
    return content_type, json_body.dump(json_body.write_members(shape, value))
