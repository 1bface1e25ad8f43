"""CBOR bodies of Smithy's RPC v2 protocol (RFC 8949), which boto3 prefers for CloudWatch."""

import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from intermodal_engine.wire import json_body, timestamps
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import Shape

_DEPTH_LIMIT = 64
_BREAK = object()
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


def load_map(body: bytes) -> dict[str, Any]:
    """The map in a request's body; an empty body is an empty map.

    Raises:
        ServiceError: SerializationException; the body is not CBOR or no map.
    """
    if not body:
        return {}
    try:
        value = _Reader(body).whole()
    except (IndexError, struct.error, ValueError, KeyError, TypeError) as error:
        raise _fault(f"The request body is not valid CBOR: {error}") from None
    if not isinstance(value, dict):
        raise _fault("Expected a CBOR map as the request body")
    return value


def read_members(shape: Shape, value: Mapping[str, Any]) -> dict[str, Any]:
    """A structure's members; unknown ones and nulls are left out.

    Raises:
        ServiceError: SerializationException; a member is of another type.
    """
    return {
        name: read(member, value[name])
        for name, member in shape.members.items()
        if value.get(name) is not None
    }


def read(shape: Shape, value: Any) -> Any:
    """The value that a CBOR value stands for.

    Raises:
        ServiceError: SerializationException; it is of another type.
    """
    if shape.kind == "structure" and isinstance(value, dict):
        return read_members(shape, value)
    if shape.kind == "list" and isinstance(value, list):
        return [None if one is None else read(shape.item, one) for one in value]
    if shape.kind == "map" and isinstance(value, dict):
        return {key: None if one is None else read(shape.value, one) for key, one in value.items()}
    if shape.kind == "blob" and isinstance(value, bytes):
        return value
    if shape.kind == "timestamp" and isinstance(value, datetime):
        return value
    if shape.kind in ("float", "double") and isinstance(value, float):
        return value
    if isinstance(value, bytes | datetime):
        raise _fault(f"A value of another type was found where {shape.kind} was expected")
    return json_body.read(shape, value)


def dump(shape: Shape | None, value: Mapping[str, Any]) -> bytes:
    """A result as CBOR.

    Raises:
        TypeError: it does not fit the model; a fault of the operation.
    """
    return encode(_prepare(shape, value) if shape is not None else {})


def encode(value: Any) -> bytes:
    """A plain value as CBOR; a datetime becomes tag 1."""
    pieces: list[bytes] = []
    _encode(value, pieces)
    return b"".join(pieces)


def _prepare(shape: Shape, value: Any) -> Any:
    if shape.kind == "structure":
        unknown = value.keys() - shape.members.keys()
        if unknown:
            raise TypeError(f"{shape.name} has no member `{min(unknown)}`")
        return {
            name: _prepare(shape.members[name], item)
            for name, item in value.items()
            if item is not None
        }
    if shape.kind == "list":
        return [_prepare(shape.item, one) for one in value]
    if shape.kind == "map":
        return {key: _prepare(shape.value, one) for key, one in value.items() if one is not None}
    if shape.kind == "timestamp":
        return timestamps.to_moment(value)
    if shape.kind in ("float", "double"):
        return float(value)
    if shape.kind == "blob":
        return bytes(value)
    return json_body.write(shape, value)


def _encode(value: Any, pieces: list[bytes]) -> None:
    if value is None or isinstance(value, bool):
        pieces.append({None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value])
    elif isinstance(value, int):
        pieces.append(_head(0, value) if value >= 0 else _head(1, -1 - value))
    elif isinstance(value, float):
        pieces.append(b"\xfb" + struct.pack(">d", value))
    elif isinstance(value, str):
        raw = value.encode()
        pieces += (_head(3, len(raw)), raw)
    elif isinstance(value, bytes):
        pieces += (_head(2, len(value)), value)
    elif isinstance(value, datetime):
        pieces.append(_head(6, 1))
        _encode(timestamps.to_epoch(value), pieces)
    else:
        _encode_container(value, pieces)


def _encode_container(value: Any, pieces: list[bytes]) -> None:
    if isinstance(value, Mapping):
        pieces.append(_head(5, len(value)))
        for key, item in value.items():
            _encode(key, pieces)
            _encode(item, pieces)
    else:
        pieces.append(_head(4, len(value)))
        for item in value:
            _encode(item, pieces)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if argument < 1 << (8 * size):
            return bytes([major << 5 | code]) + argument.to_bytes(size, "big")
    raise TypeError(f"{argument} is too large for CBOR")


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0
        self._depth = 0

    def whole(self) -> Any:
        value = self._value()
        if self._position != len(self._body):
            raise ValueError("there is more after the end")
        return value

    def _value(self) -> Any:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise ValueError("nested too deep")
        try:
            first = self._take(1)[0]
            return self._of_major(first >> 5, first & 31)
        finally:
            self._depth -= 1

    def _of_major(self, major: int, info: int) -> Any:
        if major == 7:
            return self._simple(info)
        if info == 31:
            return self._indefinite(major)
        argument = self._argument(info)
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 2:
            return self._take(argument)
        if major == 3:
            return self._take(argument).decode()
        if major == 4:
            return [self._value() for _ in range(self._bounded(argument))]
        if major == 5:
            return {self._value(): self._value() for _ in range(self._bounded(argument))}
        return self._tagged(argument)

    def _tagged(self, tag: int) -> Any:
        if tag != 1:
            raise ValueError(f"tag {tag}")
        return timestamps.parse_epoch(self._value())

    def _simple(self, info: int) -> Any:
        if info == 31:
            return _BREAK
        if info in _FLOATS:
            return struct.unpack(_FLOATS[info], self._take(1 << (info - 24)))[0]
        return _SIMPLE[info]

    def _indefinite(self, major: int) -> Any:
        parts: list[Any] = []
        while (part := self._value()) is not _BREAK:
            parts.append(part)
        if major == 2:
            return b"".join(parts)
        if major == 3:
            return "".join(parts)
        if major == 4:
            return parts
        if major == 5:
            return dict(zip(parts[::2], parts[1::2], strict=True))
        raise ValueError("an integer or tag without an end")

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        return int.from_bytes(self._take({24: 1, 25: 2, 26: 4, 27: 8}[info]), "big")

    def _bounded(self, count: int) -> int:
        if count > len(self._body) - self._position:
            raise ValueError("it ends too early")
        return count

    def _take(self, size: int) -> bytes:
        taken = self._body[self._position : self._position + size]
        if len(taken) < size:
            raise ValueError("it ends too early")
        self._position += size
        return taken


def _fault(message: str) -> ServiceError:
    return ServiceError("SerializationException", message, status=400)
