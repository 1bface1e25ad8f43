"""MXNet's RecordIO framing.

A record is `magic, length, data, zeros up to a multiple of 4`, both words little-endian. The three
upper bits of the length say whether it is a whole record or the first, a middle or the last part of
one: data that holds the magic at a multiple of 4 is cut there, so that a reader who starts anywhere
finds the next record, and the magic itself is left out.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

MAGIC = struct.pack("<I", 0xCED7230A)
RECORD_LIMIT_BYTES = 1 << 29
"""A record's length has 29 bits."""

_WHOLE, _FIRST, _MIDDLE, _LAST = 0, 1, 2, 3


class RecordTooLargeError(Exception):
    """No RecordIO record can hold that much."""


def frames(data: "bytes | bytearray | mmap.mmap") -> "Iterator[bytes | range]":
    """The pieces of one record, in order: bytes of the framing, and which of the data's follow.

    Raises:
        RecordTooLargeError: it has 512 MiB or more.
    """
    size_bytes = len(data)
    if size_bytes >= RECORD_LIMIT_BYTES:
        raise RecordTooLargeError(f"{size_bytes} bytes; a RecordIO record has less than 512 MiB")
    start = 0
    for at in _aligned_magics(data):
        yield _head(_FIRST if start == 0 else _MIDDLE, at - start)
        yield range(start, at)
        start = at + len(MAGIC)
    yield _head(_WHOLE if start == 0 else _LAST, size_bytes - start)
    yield range(start, size_bytes)
    yield b"\0" * (-size_bytes % 4)


def _head(part: int, size_bytes: int) -> bytes:
    return MAGIC + struct.pack("<I", part << 29 | size_bytes)


def _aligned_magics(data: "bytes | bytearray | mmap.mmap") -> "Iterator[int]":
    at = data.find(MAGIC)
    while at >= 0:
        if at % 4 == 0:
            yield at
            at = data.find(MAGIC, at + 4)
        else:
            at = data.find(MAGIC, at + 1)
