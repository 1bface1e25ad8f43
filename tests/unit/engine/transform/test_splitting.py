"""Objects are cut into bodies that together are the object, and none is longer than allowed."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.lifecycle.pipes.program.recordio import frames
from intermodal_engine.lifecycle.transform.program.splitting import Batch, SplitError, Splitting

LIMIT = 32


def cut(data: bytes, split_type: str, *, multi: bool, limit: int | None = LIMIT) -> list[Batch]:
    return list(Splitting(split_type, multi, limit).batches(io.BytesIO(data)))


def bodies(batches: list[Batch]) -> list[bytes]:
    return [batch.data for batch in batches if batch.data is not None]


def record_io(data: bytes) -> bytes:
    parts = frames(data)
    return b"".join(p if isinstance(p, bytes) else data[p.start : p.stop] for p in parts)


def tf_record(data: bytes) -> bytes:
    return struct.pack("<QI", len(data), 1) + data + struct.pack("<I", 2)


LINES = st.lists(
    st.text(
        st.characters(max_codepoint=127, exclude_characters="\r\n"), min_size=1, max_size=LIMIT - 1
    ).map(str.encode),
    max_size=20,
)


@given(lines=LINES, ends=st.booleans())
def test_single_lines_are_the_lines_and_offsets_lead_to_them(
    lines: list[bytes], ends: bool
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    found = cut(data, "Line", multi=False)
    assert bodies(found) == lines
    for batch in found:
        assert batch.data is not None
        assert data[batch.offset :].startswith(batch.data)


@given(lines=LINES, ends=st.booleans())
def test_blocks_of_lines_hold_every_line_whole_and_are_never_too_long(
    lines: list[bytes], ends: bool
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    found = cut(data, "Line", multi=True)
    whole = [line for body in bodies(found) for line in body.split(b"\n")]
    assert [one for one in whole if one.strip()] == [one for one in lines if one.strip()]
    assert all(len(body) <= LIMIT for body in bodies(found))
    for batch in found:
        assert batch.data is not None
        assert data[batch.offset :].startswith(batch.data)


def test_blocks_are_as_full_as_they_can_be() -> None:
    assert bodies(cut(b"123456789\n" * 7, "Line", multi=True)) == [
        b"123456789\n" * 3,
        b"123456789\n" * 3,
        b"123456789\n",
    ]


def test_a_line_as_long_as_the_limit_fits_and_a_longer_one_is_told_with_its_offset() -> None:
    fits = b"a\n" + b"x" * LIMIT + b"\nb\n"
    for multi in (True, False):
        assert b"".join(bodies(cut(fits, "Line", multi=multi))).replace(b"\n", b"") == (
            b"a" + b"x" * LIMIT + b"b"
        )
        with pytest.raises(SplitError, match="record at byte 2 is longer"):
            cut(b"a\n" + b"x" * (LIMIT + 1) + b"\n", "Line", multi=multi)


@given(records=st.lists(st.binary(max_size=16), max_size=10))
def test_framed_records_keep_their_frames(records: list[bytes]) -> None:
    for split_type, frame in (("RecordIO", record_io), ("TFRecord", tf_record)):
        framed = [frame(one) for one in records]
        assert bodies(cut(b"".join(framed), split_type, multi=False, limit=64)) == framed
        grouped = bodies(cut(b"".join(framed), split_type, multi=True, limit=64))
        assert b"".join(grouped) == b"".join(framed)
        assert all(len(one) <= 64 for one in grouped)


def test_a_record_that_holds_the_magic_is_one_record() -> None:
    data = struct.pack("<I", 0xCED7230A) * 3
    assert bodies(cut(record_io(data), "RecordIO", multi=False, limit=None)) == [record_io(data)]


@pytest.mark.parametrize(
    ("split_type", "data", "words"),
    [
        ("RecordIO", b"nothing of the kind", "no RecordIO at byte 0"),
        ("RecordIO", record_io(b"12345678")[:-2], "record at byte 0 is not whole"),
        ("TFRecord", tf_record(b"1") + b"123", "TFRecord at byte 17 is not whole"),
        ("TFRecord", tf_record(b"12345678")[:-3], "record at byte 0 is not whole"),
        ("RecordIO", record_io(b"x" * 40), "record at byte 0 is longer"),
        ("TFRecord", tf_record(b"x" * 40), "record at byte 0 is longer"),
        ("None", b"x" * 40, "object at byte 0 is longer"),
    ],
)
def test_what_cannot_be_cut_is_told(split_type: str, data: bytes, words: str) -> None:
    with pytest.raises(SplitError, match=words):
        cut(data, split_type, multi=False)


def test_without_a_limit_the_object_is_streamed_and_an_empty_one_has_no_body() -> None:
    assert cut(b"12", "None", multi=True, limit=None) == [Batch(0, None)]
    assert cut(b"12", "Line", multi=True, limit=None) == [Batch(0, None)]
    assert cut(b"", "None", multi=True) == []
    assert cut(b"", "Line", multi=False) == []
