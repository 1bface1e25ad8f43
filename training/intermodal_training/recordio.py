"""Reads and writes RecordIO files, as MXNet and Pipe channels with `RecordWrapperType` have them.

A record is a magic number, a word of flag (3 bits) and length (29 bits), the data, and zeros up to
the next multiple of four. Where the magic number stands in the data, aligned, it is left out and
the record is split there: flag 1 begins such a record, 2 goes on, 3 ends it, 0 is a whole one.
All numbers are little-endian. What the vendor's algorithms put into records, `record_protobuf`
knows.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from intermodal_contract.errors import IntermodalError

MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_HEADER = struct.Struct("<II")
_WORD_BYTES = 4
_LENGTH_BITS = 29
_LENGTH_LIMIT = 1 << _LENGTH_BITS
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class BrokenRecordError(IntermodalError):
    """A file is no RecordIO file, or ends in the middle of a record."""


def read_records(file: BinaryIO) -> Iterator[bytes]:
    """Every record of a file, which may be a pipe.

    Raises:
        BrokenRecordError: the message says at which byte of the file.
    """
    at = 0
    parts: list[bytes] = []
    while header := _read(file, _HEADER.size, at, may_end=not parts):
        magic, word = _HEADER.unpack(header)
        flag, length = word >> _LENGTH_BITS, word % _LENGTH_LIMIT
        if magic != MAGIC or flag > _LAST or (flag in (_MIDDLE, _LAST)) != bool(parts):
            raise BrokenRecordError(
                f"byte {at} of the RecordIO data begins no record",
                hint="is the channel's ContentType RecordIO, and `RecordWrapperType` set?",
            )
        padded = length + -length % _WORD_BYTES
        at += _HEADER.size
        parts.append(_read(file, padded, at, may_end=False)[:length])
        at += padded
        if flag in (_WHOLE, _LAST):
            yield _MAGIC_BYTES.join(parts)
            parts = []


def write_record(file: BinaryIO, data: bytes) -> None:
    """Appends a record.

    Raises:
        ValueError: it is too long.
    """
    if len(data) >= _LENGTH_LIMIT:
        raise ValueError(f"a record holds less than {_LENGTH_LIMIT} bytes, not {len(data)}")
    parts = list(_split(data))
    for number, part in enumerate(parts):
        is_first, is_last = number == 0, number == len(parts) - 1
        flag = (_WHOLE if is_last else _FIRST) if is_first else (_LAST if is_last else _MIDDLE)
        file.write(_HEADER.pack(MAGIC, flag << _LENGTH_BITS | len(part)))
        file.write(part + bytes(-len(part) % _WORD_BYTES))


def _split(data: bytes) -> Iterator[bytes]:
    """The data between the aligned magic numbers in it."""
    start = at = 0
    while (at := data.find(_MAGIC_BYTES, at)) >= 0:
        if at % _WORD_BYTES:
            at += 1
            continue
        yield data[start:at]
        at += _WORD_BYTES
        start = at
    yield data[start:]


def _read(file: BinaryIO, size: int, at: int, *, may_end: bool) -> bytes:
    """So many bytes, however many a pipe gives at once; none at the end of the file."""
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    if len(data) < size and (data or not may_end):
        raise BrokenRecordError(
            f"the RecordIO data ends at byte {at + len(data)}, in the middle of a record",
            hint="was the file uploaded whole?",
        )
    return data
