"""Single values as text: in paths, queries, headers, forms and XML."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from intermodal_engine.wire import timestamps
from intermodal_engine.wire.models import Shape

JAVA_NAMES = {
    "string": "a String",
    "integer": "an Integer",
    "long": "a Long",
    "float": "a Float",
    "double": "a Double",
    "boolean": "a Boolean",
    "timestamp": "milliseconds since epoch",
    "blob": "a ByteBuffer",
}
"""What AWS calls the kinds in its messages."""

_SPECIAL_FLOATS = {"NaN", "Infinity", "-Infinity"}


def read_text(shape: Shape, text: str, timestamp_form: str) -> Any:
    """The value that a text stands for.

    Raises:
        ValueError: it does not fit the shape.
    """
    if shape.kind == "string":
        return text
    if shape.kind == "timestamp":
        return timestamps.parse(text, shape.traits.get("timestampFormat", timestamp_form))
    return _READERS[shape.kind](text)


def write_text(shape: Shape, value: Any, timestamp_form: str) -> str:
    """The text that stands for a value; a moment may be given as the text that it shall be."""
    if shape.kind == "timestamp" and not isinstance(value, str):
        return timestamps.write(value, shape.traits.get("timestampFormat", timestamp_form))
    if shape.kind == "boolean":
        return "true" if value else "false"
    if shape.kind == "blob":
        return write_blob(value)
    if shape.kind in ("float", "double"):
        special = write_float(value)
        return special if isinstance(special, str) else repr(special)
    if shape.kind in ("integer", "long"):
        return str(int(value))
    if not isinstance(value, str):
        raise TypeError(f"{shape.name} must be a string, not {value!r}")
    return value


def read_blob(text: str) -> bytes:
    """Base64 to bytes.

    Raises:
        ValueError: it is not Base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def write_blob(value: bytes | bytearray | memoryview | str) -> str:
    """Bytes to Base64."""
    raw = value.encode() if isinstance(value, str) else value
    return base64.b64encode(raw).decode("ascii")


def write_float(value: float) -> float | str:
    """A float for JSON, where infinities and NaN are words."""
    number = float(value)
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def read_float(text: str) -> float:
    """A number, or one of AWS's three words.

    Raises:
        ValueError: it is neither.
    """
    if text in _SPECIAL_FLOATS:
        return float(text.replace("Infinity", "inf"))
    if text.strip("+-").lower() in ("nan", "inf", "infinity"):
        raise ValueError(text)
    return float(text)


def _read_integer(text: str) -> int:
    if not text.lstrip("+-").isdecimal() or not text.isascii():
        raise ValueError(text)
    return int(text)


def _read_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError(text)
    return lowered == "true"


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": _read_integer,
    "long": _read_integer,
    "float": read_float,
    "double": read_float,
    "boolean": _read_boolean,
    "blob": read_blob,
}
