"""RecordIO as MXNet frames it, read back by the format's own rules."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.lifecycle.pipes.program.recordio import MAGIC, RecordTooLargeError, frames

pieces = st.lists(st.one_of(st.binary(max_size=9), st.just(MAGIC)), max_size=8).map(b"".join)


class Huge(bytes):
    """Says that it has 512 MiB."""

    def __len__(self) -> int:
        return 1 << 29


def framed(data: bytes) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else data[piece.start : piece.stop]
        for piece in frames(data)
    )


def read(stream: bytes) -> list[bytes]:
    """Whole records, put together from their parts."""
    records: list[bytes] = []
    open_parts: list[bytes] = []
    while stream:
        assert stream[:4] == MAGIC
        (word,) = struct.unpack_from("<I", stream, 4)
        part, size = word >> 29, word & (1 << 29) - 1
        data, stream = stream[8 : 8 + size], stream[8 + size + -size % 4 :]
        open_parts.append(data)
        if part in (0, 3):
            records.append(MAGIC.join(open_parts))
            open_parts = []
    assert not open_parts
    return records


@given(st.lists(pieces, max_size=4))
def test_records_come_back_whole_whatever_is_in_them(bodies: list[bytes]) -> None:
    assert read(b"".join(map(framed, bodies))) == bodies


@given(pieces)
def test_only_the_start_of_a_part_looks_like_one(body: bytes) -> None:
    stream = framed(body)
    starts = {at for at in range(0, len(stream), 4) if stream[at : at + 4] == MAGIC}
    at, expected = 0, set()
    while at < len(stream):
        expected.add(at)
        (word,) = struct.unpack_from("<I", stream, at + 4)
        size = word & (1 << 29) - 1
        at += 8 + size + -size % 4
    assert starts == expected


def test_a_short_record_is_laid_out_as_the_format_says() -> None:
    assert framed(b"hello") == bytes.fromhex("0a23d7ce 05000000") + b"hello\0\0\0"


def test_a_record_with_the_magic_in_it_has_the_bytes_that_mxnet_writes() -> None:
    """Recorded from `mxnet.recordio.MXRecordIO`, version 1.9.1."""
    body = b"abcd" + MAGIC + b"ef" + MAGIC + b"gh" + MAGIC + MAGIC + b"z"
    assert framed(body) == bytes.fromhex(
        "0a23d7ce 04000020 61626364 0a23d7ce 08000040 65660a23 d7ce6768"
        "0a23d7ce 00000040 0a23d7ce 01000060 7a000000"
    )


def test_what_no_record_can_hold_is_refused() -> None:
    with pytest.raises(RecordTooLargeError, match="536870912 bytes"):
        framed(Huge())
