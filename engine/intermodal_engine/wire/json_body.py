"""JSON bodies, read and written as a shape says."""

import json
from collections.abc import Mapping
from typing import Any

from intermodal_engine.wire import timestamps
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import Shape
from intermodal_engine.wire.scalars import (
    JAVA_NAMES,
    read_blob,
    read_float,
    write_blob,
    write_float,
)

_INTEGER_BITS = {"integer": 31, "long": 63}


def load_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body; an empty body is an empty object.

    Raises:
        ServiceError: SerializationException, as AWS answers broken JSON.
    """
    if not body:
        return {}
    try:
        value = json.loads(body)
        if not body.isascii() or b"\\u" in body:
            # Half of a surrogate pair is no character: no database and no file name takes it.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _fault(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise _fault("Expected a JSON object as the request body")
    return value


def read_members(shape: Shape, value: Mapping[str, Any]) -> dict[str, Any]:
    """A structure's members that travel in the body; unknown ones and nulls are left out."""
    shapes, names = shape.body_members, shape.body_names
    return {
        names[key]: read(shapes[key], item)
        for key, item in value.items()
        if item is not None and key in shapes
    }


def read(shape: Shape, value: Any) -> Any:
    """The value that a JSON value stands for.

    Raises:
        ServiceError: SerializationException; the JSON is of another type.
    """
    kind = shape.kind
    if kind == "string":
        if isinstance(value, str):
            return value
    elif kind == "structure":
        if shape.is_document:
            return value
        if isinstance(value, dict):
            return read_members(shape, value)
    elif kind == "list":
        if isinstance(value, list):
            item = shape.item
            return [None if one is None else read(item, one) for one in value]
    elif kind == "map":
        if isinstance(value, dict):
            item = shape.value
            return {key: None if one is None else read(item, one) for key, one in value.items()}
    else:
        return _read_scalar(shape, value)
    raise _mismatch(shape, value)


def _read_scalar(shape: Shape, value: Any) -> Any:
    kind = shape.kind
    if kind == "boolean":
        if isinstance(value, bool):
            return value
    elif kind in _INTEGER_BITS:
        if _is_number(value) and int(value) == value and _fits(int(value), _INTEGER_BITS[kind]):
            return int(value)
    elif kind in ("float", "double"):
        return _read_float(shape, value)
    elif kind == "timestamp":
        return _read_timestamp(shape, value)
    elif isinstance(value, str):
        try:
            return read_blob(value)
        except ValueError:
            raise _fault("Invalid base64 encoding in a blob") from None
    raise _mismatch(shape, value)


def _read_float(shape: Shape, value: Any) -> float:
    try:
        if _is_number(value):
            return float(value)
    except OverflowError:
        raise _mismatch(shape, value) from None
    if value in ("NaN", "Infinity", "-Infinity"):
        return read_float(value)
    raise _mismatch(shape, value)


def _read_timestamp(shape: Shape, value: Any) -> Any:
    form = shape.traits.get("timestampFormat", timestamps.EPOCH)
    try:
        if _is_number(value):
            return timestamps.parse_epoch(value)
        if isinstance(value, str) and form != timestamps.EPOCH:
            return timestamps.parse(value, form)
    except ValueError:
        pass
    raise _mismatch(shape, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


def _fits(value: int, bits: int) -> bool:
    return -(1 << bits) <= value < 1 << bits


def _mismatch(shape: Shape, value: Any) -> ServiceError:
    if shape.kind in ("structure", "map", "list"):
        wanted = "list" if shape.kind == "list" else "map or structure"
        return _fault(f"Expected {wanted}, found {_token(value)}")
    if isinstance(value, dict):
        return _fault("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return _fault("Start of list found where not expected")
    return _fault(f"{_token(value)} can not be converted to {JAVA_NAMES[shape.kind]}")


def _token(value: Any) -> str:
    if value is True:
        return "TRUE_VALUE"
    if value is False:
        return "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    if isinstance(value, int):
        return "NUMBER_VALUE"
    if isinstance(value, float):
        return "DECIMAL_VALUE"
    return "START_OBJECT" if isinstance(value, dict) else "START_ARRAY"


def _fault(message: str) -> ServiceError:
    return ServiceError("SerializationException", message, status=400)


def write_members(shape: Shape, value: Mapping[str, Any]) -> dict[str, Any]:
    """A structure as a JSON object, without what is None or travels outside the body.

    Raises:
        TypeError: the value does not fit the model; a fault of the operation.
    """
    members = shape.members
    written: dict[str, Any] = {}
    for name, item in value.items():
        member = members.get(name)
        if member is None:
            raise TypeError(f"{shape.name} has no member `{name}`")
        if item is not None and member.location is None:
            written[member.wire_name or name] = write(member, item)
    return written


def write(shape: Shape, value: Any) -> Any:
    """A value as JSON.

    Raises:
        TypeError: it does not fit the model; a fault of the operation.
    """
    kind = shape.kind
    if kind == "string":
        if not isinstance(value, str):
            raise TypeError(f"{shape.name} must be a string, not {value!r}")
        return value
    if kind == "structure":
        return value if shape.is_document else write_members(shape, value)
    if kind == "list":
        item = shape.item
        return [None if one is None else write(item, one) for one in value]
    if kind == "map":
        item = shape.value
        return {key: write(item, one) for key, one in value.items() if one is not None}
    return _write_scalar(shape, value)


def _write_scalar(shape: Shape, value: Any) -> Any:
    kind = shape.kind
    if kind == "boolean":
        return bool(value)
    if kind in _INTEGER_BITS:
        return int(value)
    if kind in ("float", "double"):
        return write_float(value)
    if kind == "blob":
        return write_blob(value)
    form = shape.traits.get("timestampFormat", timestamps.EPOCH)
    if form.lower() == timestamps.EPOCH.lower():
        return timestamps.to_epoch(value)
    return timestamps.write(value, form)


def dump(value: Any) -> bytes:
    """The bytes of a JSON value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
