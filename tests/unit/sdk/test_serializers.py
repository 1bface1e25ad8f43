"""Python data to bytes and back."""

import io
import json
from typing import Any

import pytest

from intermodal import deserializers, serializers

numpy = pytest.importorskip("numpy")


@pytest.mark.parametrize(
    ("serializer", "data", "body"),
    [
        (serializers.CSVSerializer(), [1, 2.5, "a"], "1,2.5,a"),
        (serializers.CSVSerializer(), [[1, 2], [3, 4]], "1,2\n3,4"),
        (serializers.CSVSerializer(), "1,2\n3,4", "1,2\n3,4"),
        (serializers.CSVSerializer(), ["1,2", "3,4"], "1,2\n3,4"),
        (serializers.CSVSerializer(), [["a,b", 'c"d']], '"a,b","c""d"'),
        (serializers.CSVSerializer(), io.StringIO("1,2"), "1,2"),
        (serializers.CSVSerializer(), numpy.eye(2, dtype=int), "1,0\n0,1"),
        (serializers.CSVSerializer(), numpy.arange(3), "0,1,2"),
        (serializers.JSONSerializer(), {"a": numpy.float32(0.5)}, '{"a": 0.5}'),
        (serializers.JSONSerializer(), numpy.eye(2), "[[1.0, 0.0], [0.0, 1.0]]"),
        (serializers.JSONSerializer(), io.BytesIO(b"[1]"), "[1]"),
        (serializers.JSONLinesSerializer(), [{"a": 1}, [2]], '{"a": 1}\n[2]'),
        (serializers.JSONLinesSerializer(), '{"a": 1}', '{"a": 1}'),
        (serializers.StringSerializer(), 3, "3"),
        (serializers.IdentitySerializer(), b"x", b"x"),
        (serializers.DataSerializer(), b"x", b"x"),
    ],
)
def test_data_becomes_the_body_of_its_content_type(serializer: Any, data: Any, body: Any) -> None:
    assert serializer.serialize(data) == body


def test_arrays_keep_type_and_shape_on_the_way_there_and_back() -> None:
    array = numpy.arange(6, dtype="int16").reshape(2, 3)

    body = io.BytesIO(serializers.NumpySerializer().serialize(array))
    back = deserializers.NumpyDeserializer().deserialize(body, "application/x-npy")

    assert back.dtype == array.dtype
    assert back.tolist() == array.tolist()


def test_an_array_is_never_unpickled_unless_asked_for() -> None:
    body = io.BytesIO()
    numpy.save(body, numpy.array([{"a": 1}], dtype=object), allow_pickle=True)
    body.seek(0)

    with pytest.raises(ValueError, match="pickle"):
        deserializers.NumpyDeserializer().deserialize(body, "application/x-npy")


def test_an_empty_array_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="empty"):
        serializers.NumpySerializer().serialize([])


def test_what_json_cannot_hold_is_named() -> None:
    with pytest.raises(TypeError, match="a set cannot be sent as JSON"):
        serializers.JSONSerializer().serialize({1})


@pytest.mark.parametrize(
    ("deserializer", "body", "kind", "data"),
    [
        (deserializers.JSONDeserializer(), b'{"a": [1]}', "application/json", {"a": [1]}),
        (deserializers.JSONLinesDeserializer(), b'{"a": 1}\n\n[2]\n', "x", [{"a": 1}, [2]]),
        (
            deserializers.CSVDeserializer(),
            b'1,"a,b"\n2,c\n',
            "text/csv",
            [["1", "a,b"], ["2", "c"]],
        ),
        (deserializers.StringDeserializer(), "ü".encode(), "text/plain", "ü"),
        (deserializers.BytesDeserializer(), b"\x00", "x", b"\x00"),
    ],
)
def test_a_body_becomes_data_and_its_stream_is_closed(
    deserializer: Any, body: bytes, kind: str, data: Any
) -> None:
    stream = io.BytesIO(body)

    assert deserializer.deserialize(stream, kind) == data
    assert stream.closed


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"1,2\n3,4\n", "text/csv"), (json.dumps([[1, 2], [3, 4]]).encode(), "application/json; q=1")],
)
def test_an_array_is_read_from_csv_and_json_too(body: bytes, kind: str) -> None:
    array = deserializers.NumpyDeserializer().deserialize(io.BytesIO(body), kind)

    assert array.tolist() == [[1, 2], [3, 4]]


def test_a_content_type_that_is_no_array_is_named() -> None:
    with pytest.raises(ValueError, match="cannot read `image/png`"):
        deserializers.NumpyDeserializer().deserialize(io.BytesIO(b""), "image/png")


def test_a_stream_is_handed_on_open() -> None:
    stream = io.BytesIO(b"abc")

    assert deserializers.StreamDeserializer().deserialize(stream, "x") == (stream, "x")
    assert not stream.closed
