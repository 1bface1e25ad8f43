"""`application/x-recordio-protobuf`, the format of Amazon's own algorithms, without protobuf.

Each record is framed by a magic number, its length and zeros up to four bytes, and holds a message
`aialgs.data.Record`: features and labels, each a tensor by name.
https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-training.html
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from intermodal.serializers import imported

CONTENT_TYPE = "application/x-recordio-protobuf"
_MAGIC = 0xCED7230A
_VALUES = "values"

# Field numbers of `Value`'s kinds of tensor, and how their numbers are packed.
_KINDS = {2: ("float32_tensor", "f"), 3: ("float64_tensor", "d"), 7: ("int32_tensor", "i")}
_NUMBER_OF_KIND = {name: number for number, (name, _) in _KINDS.items()}
_BYTES_KIND = 9
_TEXTS = {3: "uid", 4: "metadata", 5: "configuration"}
_FEATURES, _LABEL = 1, 2
_VARINT, _WIDE, _LENGTH, _NARROW = 0, 1, 2, 5


@dataclass(slots=True)
class Tensor:
    """Numbers, dense, or sparse with the places of those that are not zero.

    Attributes:
        values: the numbers.
        keys: for each one where it is; empty for a dense tensor.
        shape: of the whole; empty where it is the values' own.
    """

    values: list[float] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Value:
    """One tensor, under the name of its kind; the others are empty."""

    float32_tensor: Tensor = field(default_factory=Tensor)
    float64_tensor: Tensor = field(default_factory=Tensor)
    int32_tensor: Tensor = field(default_factory=Tensor)


@dataclass(slots=True)
class Record:
    """One record.

    Attributes:
        features: by name; `values` as a rule.
        label: by name; what a model answers is here, as `score` or `predicted_label`.
        uid: what identifies it.
        metadata: JSON about it.
        configuration: JSON for the algorithm.
    """

    features: dict[str, Value] = field(default_factory=dict)
    label: dict[str, Value] = field(default_factory=dict)
    uid: str = ""
    metadata: str = ""
    configuration: str = ""


def write_records(array: Any, labels: Any = None) -> bytes:
    """The rows of an array as records.

    Args:
        array: a numpy array of one dimension, which is one record, or of two.
        labels: one number a record.

    Raises:
        ValueError: it has other dimensions, or there are not as many labels as rows.
    """
    numpy = imported("numpy", "records of arrays")
    rows = numpy.asarray(array)
    if rows.ndim == 1:
        rows = rows.reshape(1, -1)
    if rows.ndim != 2:
        raise ValueError(f"records are the rows of an array; this one has {rows.ndim} dimensions")
    marks = None if labels is None else numpy.asarray(labels)
    if marks is not None and marks.shape != (len(rows),):
        raise ValueError(f"there are {len(rows)} rows and labels of the shape {marks.shape}")
    made = []
    for number, row in enumerate(rows):
        message = _entry(_FEATURES, _kind_of(rows.dtype), row.tolist())
        if marks is not None:
            message += _entry(_LABEL, _kind_of(marks.dtype), [marks[number].item()])
        made.append(_framed(message))
    return b"".join(made)


def read_records(data: bytes) -> list[Record]:
    """The records in bytes of this format.

    Raises:
        ValueError: they are not in this format, or not whole.
    """
    return [_record(message) for message in _unframed(data)]


def _kind_of(dtype: Any) -> str:
    if dtype.kind in "iub":
        return "int32_tensor"
    return "float32_tensor" if dtype.itemsize <= 4 else "float64_tensor"


def _framed(message: bytes) -> bytes:
    padding = b"\0" * (-len(message) % 4)
    return struct.pack("<II", _MAGIC, len(message)) + message + padding


def _unframed(data: bytes) -> Iterator[bytes]:
    at, parts = 0, b""
    while at < len(data):
        if len(data) < at + 8:
            raise ValueError(f"the record at byte {at} is not whole")
        magic, word = struct.unpack_from("<II", data, at)
        place, length = word >> 29, word & ((1 << 29) - 1)
        if magic != _MAGIC:
            raise ValueError(f"there is no record at byte {at}")
        if len(data) < at + 8 + length:
            raise ValueError(f"the record at byte {at} is not whole")
        parts += data[at + 8 : at + 8 + length]
        if place in {0, 3}:
            yield parts
            parts = b""
        else:
            parts += struct.pack("<I", _MAGIC)
        at += 8 + length + -length % 4


# Protocol buffers: https://protobuf.dev/programming-guides/encoding/


def _entry(member: int, kind: str, values: Sequence[float]) -> bytes:
    """One entry of a map from names to values; its name is the usual one."""
    letter = _KINDS[_NUMBER_OF_KIND[kind]][1]
    if letter == "i":
        packed = b"".join(_varint(int(one)) for one in values)
    else:
        packed = struct.pack(f"<{len(values)}{letter}", *values)
    value = _field(_NUMBER_OF_KIND[kind], _field(1, packed))
    return _field(member, _field(1, _VALUES.encode()) + _field(2, value))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _record(message: bytes) -> Record:
    record = Record()
    for number, content in _fields(message):
        if number in _TEXTS:
            setattr(record, _TEXTS[number], content.decode())
        elif number in {_FEATURES, _LABEL}:
            parts = dict(_fields(content))
            named = record.features if number == _FEATURES else record.label
            named[parts.get(1, b"").decode()] = _value(parts.get(2, b""))
    return record


def _value(message: bytes) -> Value:
    value = Value()
    for number, content in _fields(message):
        if number in _KINDS:
            name, letter = _KINDS[number]
            setattr(value, name, _tensor(content, letter))
        elif number == _BYTES_KIND:
            raise ValueError("records of images cannot be read")
    return value


def _tensor(message: bytes, letter: str) -> Tensor:
    tensor = Tensor()
    for number, content in _fields(message):
        if number == 1 and letter != "i":
            size = struct.calcsize(letter)
            if len(content) % size:
                raise ValueError("the record's tensor is not whole")
            tensor.values += struct.unpack(f"<{len(content) // size}{letter}", content)
        elif number == 1:
            tensor.values += [_signed(one) for one in _varints(content)]
        else:
            {2: tensor.keys, 3: tensor.shape}.get(number, []).extend(_varints(content))
    return tensor


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and contents; a number that is not packed comes as what it would be packed."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind, begin = key & 7, at
        if kind == _VARINT:
            _, at = _read_varint(message, at)
        elif kind == _LENGTH:
            length, begin = _read_varint(message, at)
            at = begin + length
        else:
            at += {_WIDE: 8, _NARROW: 4}.get(kind, len(message) + 1)
        if at > len(message):
            raise ValueError("the record's message is not whole")
        yield key >> 3, message[begin:at]


def _varints(content: bytes) -> Iterator[int]:
    at = 0
    while at < len(content):
        value, at = _read_varint(content, at)
        yield value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("the record's message is not whole")


def _signed(value: int) -> int:
    value &= (1 << 32) - 1
    return value - (1 << 32) if value >> 31 else value
