"""Records of Amazon's own algorithms: the vendor's bytes, and back."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal.amazon.common import RecordDeserializer, RecordSerializer
from intermodal.record_protobuf import Record, read_records, write_records

# What version 2.257.7 of the vendor's SDK serialises these to.
RECORDED = {
    "wide": (
        np.array([[1.5, -2.0], [0.0, 3.25]]),
        "0a23d7ce200000000a1e0a0676616c75657312141a120a10000000000000f83f00000000000000c0"
        "0a23d7ce200000000a1e0a0676616c75657312141a120a1000000000000000000000000000000a40",
    ),
    "narrow": (
        np.array([[1.0, 2.0]], dtype=np.float32),
        "0a23d7ce180000000a160a0676616c756573120c120a0a080000803f00000040",
    ),
    "whole numbers": (
        np.array([1, 2, -3]),
        "0a23d7ce1c0000000a1a0a0676616c75657312103a0e0a0c0102fdffffffffffffffff01",
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_arrays_become_the_vendors_bytes(name: str) -> None:
    array, recorded = RECORDED[name]
    assert RecordSerializer().serialize(array).hex() == recorded
    assert RecordSerializer().CONTENT_TYPE == "application/x-recordio-protobuf"


@given(
    rows=st.lists(
        st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    ),
    kind=st.sampled_from(["float32", "float64"]),
)
def test_what_is_written_is_read_again(rows: list[list[float]], kind: str) -> None:
    records = read_records(write_records(np.array(rows, dtype=kind), labels=range(len(rows))))
    assert [getattr(one.features["values"], f"{kind}_tensor").values for one in records] == rows
    assert [one.label["values"].int32_tensor.values for one in records] == [
        [number] for number in range(len(rows))
    ]


@given(data=st.binary(max_size=60))
def test_what_is_no_record_is_told_and_nothing_else_happens(data: bytes) -> None:
    framed = write_records(np.array([1.0]))[:8] + data
    for one in (data, framed):
        try:
            assert all(isinstance(record, Record) for record in read_records(one))
        except ValueError:
            continue


def test_a_score_and_sparse_values_are_read_and_the_body_is_closed() -> None:
    # A label named `score`, and keys and shape beside the values.
    tensor = bytes.fromhex("0a04000000401a0105120103")
    value = b"\x12" + bytes([len(tensor)]) + tensor
    entry = b"\x0a\x05score\x12" + bytes([len(value)]) + value
    message = b"\x12" + bytes([len(entry)]) + entry + b"\x1a\x02id"
    framed = bytes.fromhex("0a23d7ce") + len(message).to_bytes(4, "little") + message
    body = io.BytesIO(framed + b"\0" * (-len(message) % 4))
    (record,) = RecordDeserializer().deserialize(body)
    score = record.label["score"].float32_tensor
    assert (score.values, score.keys, score.shape, record.uid) == ([2.0], [3], [5], "id")
    assert body.closed


def test_what_cannot_become_records_is_told() -> None:
    with pytest.raises(ValueError, match="3 dimensions"):
        write_records(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="2 rows and labels of the shape"):
        write_records(np.zeros((2, 3)), labels=[1])
