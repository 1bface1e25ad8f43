"""RecordIO framing, and the protobuf records of the vendor's algorithms."""

import io
import os
import struct
import threading
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_training import record_protobuf
from intermodal_training.record_protobuf import Bytes, Record, Tensor, decode, encode
from intermodal_training.recordio import MAGIC, BrokenRecordError, read_records, write_record

MAGIC_BYTES = struct.pack("<I", MAGIC)

floats = st.floats(width=32, allow_nan=False)
tensors = st.one_of(
    st.lists(floats).map(Tensor.of),
    st.lists(st.floats(allow_nan=False)).map(lambda v: Tensor.of(v, "float64")),
    st.lists(st.integers(-(2**31), 2**31 - 1)).map(
        lambda v: Tensor("int32", array("i", v), (len(v),))
    ),
    st.builds(
        lambda pairs: Tensor(
            "float32",
            array("f", [value for _, value in pairs]),
            (2**40,),
            tuple(key for key, _ in pairs),
        ),
        st.lists(st.tuples(st.integers(0, 2**40 - 1), floats)),
    ),
    st.builds(Bytes, st.lists(st.binary()).map(tuple), st.text(max_size=9)),
)
named = st.dictionaries(st.text(max_size=9), tensors, max_size=3)
records = st.builds(Record, named, named, st.text(), st.text(), st.text())


def framed(*payloads: bytes) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        write_record(file, payload)
    return file.getvalue()


@given(st.lists(st.lists(st.sampled_from([MAGIC_BYTES, b"a", b"bcd", b"\0" * 4])).map(b"".join)))
def test_whatever_is_written_is_read(payloads: list[bytes]) -> None:
    data = framed(*payloads)
    assert len(data) % 4 == 0
    assert list(read_records(io.BytesIO(data))) == payloads


def test_a_record_is_framed_as_mxnet_frames_it() -> None:
    assert framed(b"hello") == MAGIC_BYTES + struct.pack("<I", 5) + b"hello\0\0\0"


def test_a_magic_number_in_the_data_splits_the_record_as_mxnet_splits_it() -> None:
    first, last = 1 << 29, 3 << 29
    assert framed(b"abcd" + MAGIC_BYTES + b"ef") == b"".join(
        [
            *(MAGIC_BYTES, struct.pack("<I", first | 4), b"abcd"),
            *(MAGIC_BYTES, struct.pack("<I", last | 2), b"ef\0\0"),
        ]
    )


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"this is no record at all", "byte 0 "),
        (framed(b"hello") + b"junk and more of it", "byte 16 "),
        (framed(b"hello")[:-1], "ends at byte 15"),
        (framed(b"hello")[:6], "ends at byte 6"),
        (MAGIC_BYTES + struct.pack("<I", 3 << 29), "byte 0 "),
        (MAGIC_BYTES + struct.pack("<I", 1 << 29), "ends at byte 8"),
    ],
)
def test_broken_data_is_told_with_its_place(data: bytes, place: str) -> None:
    with pytest.raises(BrokenRecordError, match=place):
        list(read_records(io.BytesIO(data)))


def test_records_are_read_from_a_pipe_as_they_come() -> None:
    reader, writer = os.pipe()
    data = framed(b"x" * 200_000, b"y")

    def feed() -> None:
        with os.fdopen(writer, "wb", buffering=0) as file:
            for start in range(0, len(data), 7001):
                file.write(data[start : start + 7001])

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reader, "rb", buffering=0) as file:
        found = list(read_records(file))
    thread.join()
    assert [len(record) for record in found] == [200_000, 1]


@given(records)
def test_a_record_comes_back_as_it_went(record: Record) -> None:
    assert decode(encode(record)) == record


def test_a_dense_record_is_encoded_as_protobuf_encodes_it() -> None:
    record = Record({"values": Tensor.of([1.0, 2.0])}, {"values": Tensor.of([3.0])})
    # Made with protobuf from AWS's record.proto.
    expected = (
        "0a160a0676616c756573120c120a0a080000803f0000004012120a0676616c756573120812060a0400004040"
    )
    assert encode(record).hex() == expected


def test_numbers_that_were_not_packed_are_read_too() -> None:
    value = (
        b"\x12" + bytes([10]) + b"\x0d" + struct.pack("<f", 1.5) + b"\x0d" + struct.pack("<f", 2)
    )
    entry = b"\x0a\x01v" + b"\x12" + bytes([len(value)]) + value
    record = decode(b"\x0a" + bytes([len(entry)]) + entry)
    tensor = record.features["v"]
    assert isinstance(tensor, Tensor)
    assert list(tensor.values) == [1.5, 2.0]


def test_a_sparse_tensor_can_be_had_whole() -> None:
    tensor = Tensor("float32", array("f", [7.0, 9.0]), (2, 3), (1, 5))
    assert list(tensor.dense()) == [0, 7, 0, 0, 0, 9]
    with pytest.raises(BrokenRecordError, match="do not fit"):
        Tensor("float32", array("f", [7.0]), (2,), (2,)).dense()


def test_a_file_that_holds_something_else_is_told_with_the_record() -> None:
    good = encode(Record(uid="a"))
    file = io.BytesIO(framed(good, b"\x0a\xff"))
    reader = record_protobuf.read(file)
    assert next(reader).uid == "a"
    with pytest.raises(BrokenRecordError, match="record 1 is no protobuf record"):
        next(reader)


def test_a_file_of_records_comes_back() -> None:
    file = io.BytesIO()
    for number in range(3):
        record_protobuf.write(file, Record({"values": Tensor.of([number])}, uid=str(number)))
    file.seek(0)
    assert [record.uid for record in record_protobuf.read(file)] == ["0", "1", "2"]
