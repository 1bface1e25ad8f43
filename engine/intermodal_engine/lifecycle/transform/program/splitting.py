"""Objects, cut into the bodies of requests: by records, and by how many of them fit.

`SplitType`, `BatchStrategy` and `MaxPayloadInMB` of CreateTransformJob. Nothing is read further
ahead than one body, however large the object is.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_RECORD_IO_MAGIC = 0xCED7230A
_WHOLE, _LAST = 0, 3


class SplitError(Exception):
    """The object cannot be cut as asked; the message says where."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The body of one request.

    Attributes:
        offset: where in the (decompressed) object it begins.
        data: its bytes; None stands for the whole object, to be streamed.
    """

    offset: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Splitting:
    """How objects are cut.

    Attributes:
        split_type: `None`, `Line`, `RecordIO` or `TFRecord`.
        is_multi_record: as many records as fit go into one body.
        limit_bytes: the longest body; None: there is no limit.
        must_be_whole: nothing may be streamed, since the bodies are looked into.
    """

    split_type: str
    is_multi_record: bool
    limit_bytes: int | None
    must_be_whole: bool = False

    def batches(self, source: IO[bytes]) -> Iterator[Batch]:
        """The bodies, in the object's order. An empty object has none.

        Raises:
            SplitError: a record is too long, or the object is not in the format.
        """
        if self.split_type == "None" or (self.limit_bytes is None and self.is_multi_record):
            return self._whole(source)
        if self.split_type == "Line" and self.is_multi_record and self.limit_bytes is not None:
            return _line_blocks(source, self.limit_bytes)
        records = {"Line": _lines, "RecordIO": _record_io, "TFRecord": _tf_records}
        found = records[self.split_type](source, self.limit_bytes)
        if self.is_multi_record and self.limit_bytes is not None:
            found = _joined(found, self.limit_bytes)
        return (Batch(offset, data) for offset, data in found)

    def _whole(self, source: IO[bytes]) -> Iterator[Batch]:
        if self.limit_bytes is None and not self.must_be_whole:
            yield Batch(0, None)
            return
        data = source.read() if self.limit_bytes is None else source.read(self.limit_bytes + 1)
        if self.limit_bytes is not None and len(data) > self.limit_bytes:
            raise _too_long("the object", 0, self.limit_bytes)
        if data:
            yield Batch(0, data)


_Record = tuple[int, bytes]
"""Where it begins, and its bytes."""


def _lines(source: IO[bytes], limit_bytes: int | None) -> Iterator[_Record]:
    """One line a body, without its end; empty lines are no records."""
    offset = 0
    most = -1 if limit_bytes is None else limit_bytes + 2  # with `\r\n`
    while line := source.readline(most):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if limit_bytes is not None and len(text) > limit_bytes:
            raise _too_long("the record", offset, limit_bytes)
        if text:
            yield offset, text
        offset += len(line)


def _line_blocks(source: IO[bytes], limit_bytes: int) -> Iterator[Batch]:
    """As many whole lines a body as fit."""
    most = limit_bytes + 1  # the end of a line does not count where it is the body's last
    offset, rest = 0, b""
    while block := rest + source.read(most - len(rest)):
        is_last = len(block) < most
        cut = len(block) if is_last else block.rfind(b"\n") + 1
        if cut == 0:
            raise _too_long("the record", offset, limit_bytes)
        body = block[:cut] if cut <= limit_bytes else block[: cut - 1]
        if body.strip():
            yield Batch(offset, body)
        offset, rest = offset + cut, block[cut:]


def _record_io(source: IO[bytes], limit_bytes: int | None) -> Iterator[_Record]:
    """MXNet's framing: magic, length with three bits of place, data, zeros up to four bytes."""
    offset, parts, began = 0, bytearray(), 0
    while head := source.read(8):
        if len(head) < 8 or struct.unpack("<I", head[:4])[0] != _RECORD_IO_MAGIC:
            raise SplitError(f"it is no RecordIO at byte {offset}")
        word = struct.unpack("<I", head[4:])[0]
        place, length = word >> 29, word & ((1 << 29) - 1)
        size_bytes = length + -length % 4
        if limit_bytes is not None and len(parts) + 8 + size_bytes > limit_bytes:
            raise _too_long("the record", began, limit_bytes)
        parts += head + _exactly(source, size_bytes, offset)
        offset += 8 + size_bytes
        if place in {_WHOLE, _LAST}:
            yield began, bytes(parts)
            parts, began = bytearray(), offset
    if parts:
        raise SplitError(f"the RecordIO record at byte {began} is not whole")


def _tf_records(source: IO[bytes], limit_bytes: int | None) -> Iterator[_Record]:
    """TensorFlow's framing: length of eight bytes, its checksum, data, its checksum."""
    offset = 0
    while head := source.read(12):
        if len(head) < 12:
            raise SplitError(f"the TFRecord at byte {offset} is not whole")
        length = int(struct.unpack("<Q", head[:8])[0])
        if limit_bytes is not None and length + 16 > limit_bytes:
            raise _too_long("the record", offset, limit_bytes)
        yield offset, head + _exactly(source, length + 4, offset)
        offset += 16 + length


def _joined(records: Iterator[_Record], limit_bytes: int) -> Iterator[_Record]:
    """As many records a body as fit."""
    began, body = 0, bytearray()
    for offset, data in records:
        if body and len(body) + len(data) > limit_bytes:
            yield began, bytes(body)
            body = bytearray()
        if not body:
            began = offset
        body += data
    if body:
        yield began, bytes(body)


def _exactly(source: IO[bytes], size_bytes: int, offset: int) -> bytes:
    data = source.read(size_bytes)
    if len(data) < size_bytes:
        raise SplitError(f"the record at byte {offset} is not whole")
    return data


def _too_long(what: str, offset: int, limit_bytes: int) -> SplitError:
    return SplitError(
        f"{what} at byte {offset} is longer than MaxPayloadInMB allows ({limit_bytes} bytes)"
    )
