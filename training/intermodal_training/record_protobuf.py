"""Reads and writes the records of `application/x-recordio-protobuf`, without protobuf itself.

The format is the one message `Record` (package `aialgs.data`) on AWS's page cdf-training: named
features and labels, each a dense or sparse tensor or bytes. Values are `array.array`s, which numpy
and torch take without a copy (`numpy.asarray`, `torch.frombuffer`).
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from intermodal_training.recordio import BrokenRecordError, read_records, write_record

Kind = Literal["float32", "float64", "int32"]

_TYPE_CODES: Mapping[Kind, str] = {"float32": "f", "float64": "d", "int32": "i"}
_FIELDS: Mapping[int, Kind] = {2: "float32", 3: "float64", 7: "int32"}
_FIELD_OF: Mapping[Kind, int] = {kind: number for number, kind in _FIELDS.items()}
_BYTES_FIELD = 9
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_U64 = (1 << 64) - 1
_VARINT_BITS = 70


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        kind: of its values.
        values: all of them, or those that are not zero.
        shape: sizes of the dimensions; empty: one dimension, as long as there are values.
        keys: where each value stands in the flattened tensor; empty: it is dense.
    """

    kind: Kind
    values: "array[float] | array[int]"
    shape: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: "list[float]", kind: Kind = "float32") -> "Tensor":
        """A dense one of one dimension."""
        return cls(kind, array(_TYPE_CODES[kind], values))

    def dense(self) -> "array[float] | array[int]":
        """All values, with the zeros."""
        if not self.keys:
            return self.values
        size = 1
        for length in self.shape:
            size *= length
        if max(self.keys) >= size or len(self.keys) != len(self.values):
            raise BrokenRecordError(f"the keys of a sparse tensor do not fit {self.shape}")
        whole: array[Any] = array(_TYPE_CODES[self.kind], bytes(size * self.values.itemsize))
        for key, value in zip(self.keys, self.values, strict=True):
            whole[key] = value
        return whole


@dataclass(frozen=True)
class Bytes:
    """Bytes, such as encoded pictures.

    Attributes:
        values: one or more.
        content_type: of them; empty where nobody says.
    """

    values: tuple[bytes, ...]
    content_type: str = ""


@dataclass(frozen=True)
class Record:
    """One example.

    Attributes:
        features: by name; the vendor's algorithms use `values`.
        labels: by name; the vendor's algorithms use `values`.
        uid: an id; empty where there is none.
        metadata: text, JSON as a rule.
        configuration: text, JSON as a rule.
    """

    features: Mapping[str, Tensor | Bytes] = field(default_factory=dict)
    labels: Mapping[str, Tensor | Bytes] = field(default_factory=dict)
    uid: str = ""
    metadata: str = ""
    configuration: str = ""


def read(file: BinaryIO) -> Iterator[Record]:
    """Every record of a file, which may be a pipe.

    Raises:
        BrokenRecordError: with the place.
    """
    for number, data in enumerate(read_records(file)):
        try:
            yield decode(data)
        except (ValueError, IndexError, struct.error) as error:
            raise BrokenRecordError(
                f"record {number} is no protobuf record: {error}",
                hint="is it of the content type `application/x-recordio-protobuf`?",
            ) from error


def write(file: BinaryIO, record: Record) -> None:
    """Appends a record."""
    write_record(file, encode(record))


def decode(data: bytes) -> Record:
    """One message.

    Raises:
        ValueError: it is none.
    """
    features: dict[str, Tensor | Bytes] = {}
    labels: dict[str, Tensor | Bytes] = {}
    texts = {3: "", 4: "", 5: ""}
    for number, value in _fields(data):
        if number in (1, 2):
            name, tensor = _entry(_delimited(value))
            (features if number == 1 else labels)[name] = tensor
        elif number in texts:
            texts[number] = _delimited(value).decode()
    return Record(features, labels, *texts.values())


def encode(record: Record) -> bytes:
    """One message."""
    parts = []
    for number, entries in ((1, record.features), (2, record.labels)):
        for name, value in entries.items():
            entry = _put(1, name.encode()) + _put(2, _encode_value(value))
            parts.append(_put(number, entry))
    for number, text in ((3, record.uid), (4, record.metadata), (5, record.configuration)):
        if text:
            parts.append(_put(number, text.encode()))
    return b"".join(parts)


def _entry(data: bytes) -> tuple[str, Tensor | Bytes]:
    name, value = "", b""
    for number, content in _fields(data):
        if number == 1:
            name = _delimited(content).decode()
        elif number == 2:
            value = _delimited(content)
    for number, content in _fields(value):
        if number in _FIELDS:
            return name, _tensor(_FIELDS[number], _delimited(content))
        if number == _BYTES_FIELD:
            return name, _bytes(_delimited(content))
    raise ValueError(f"`{name}` has no value")


def _tensor(kind: Kind, data: bytes) -> Tensor:
    values = array(_TYPE_CODES[kind])
    keys: list[int] = []
    shape: list[int] = []
    for number, content in _fields(data):
        if number == 1:
            _take_values(values, kind, content)
        elif number in (2, 3):
            into = keys if number == 2 else shape
            into.extend(_varints(content) if isinstance(content, bytes) else [content])
    return Tensor(kind, values, tuple(shape), tuple(keys))


def _take_values(values: "array[float] | array[int]", kind: Kind, content: "bytes | int") -> None:
    """Packed, as the format says, or one by one, as every reader must take them too."""
    if kind == "int32":
        numbers = _varints(content) if isinstance(content, bytes) else iter([content])
        values.extend(array("i", [_signed(number) for number in numbers]))
        return
    if isinstance(content, int):
        content = content.to_bytes(values.itemsize, "little")
    found = array(values.typecode)
    found.frombytes(content)
    if sys.byteorder == "big":
        found.byteswap()
    values.extend(found)


def _bytes(data: bytes) -> Bytes:
    values = []
    content_type = ""
    for number, content in _fields(data):
        if number == 1:
            values.append(_delimited(content))
        elif number == 2:
            content_type = _delimited(content).decode()
    return Bytes(tuple(values), content_type)


def _encode_value(value: Tensor | Bytes) -> bytes:
    if isinstance(value, Bytes):
        content = b"".join(_put(1, one) for one in value.values)
        if value.content_type:
            content += _put(2, value.content_type.encode())
        return _put(_BYTES_FIELD, content)
    content = _put(1, _pack(value))
    for number, numbers in ((2, value.keys), (3, value.shape)):
        if numbers:
            content += _put(number, b"".join(map(_varint, numbers)))
    return _put(_FIELD_OF[value.kind], content)


def _pack(tensor: Tensor) -> bytes:
    if tensor.kind == "int32":
        return b"".join(_varint(int(number) & _U64) for number in tensor.values)
    values = array(tensor.values.typecode, tensor.values)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _fields(data: bytes) -> "Iterator[tuple[int, bytes | int]]":
    """Number and content of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint_at(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint_at(data, at)
            yield tag >> 3, value
            continue
        if kind == _DELIMITED:
            size, at = _varint_at(data, at)
        elif kind in _WIDTHS:
            size = _WIDTHS[kind]
        else:
            raise ValueError(f"a field of wire type {kind}")
        content = data[at : at + size]
        if len(content) < size:
            raise ValueError("it ends in the middle of a field")
        at += size
        yield tag >> 3, content if kind == _DELIMITED else int.from_bytes(content, "little")


def _delimited(value: "bytes | int") -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes should")  # noqa: TRY004 - broken data
    return value


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint_at(data, at)
        yield value


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _VARINT_BITS:
        if at >= len(data):
            raise ValueError("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _U64, at
        shift += 7
    raise ValueError("a number is longer than 64 bits")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _signed(number: int) -> int:
    """An int32 as two's complement of 64 bits, as negative ones travel."""
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def _put(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _DELIMITED) + _varint(len(content)) + content
