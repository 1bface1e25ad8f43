"""Python data to bytes and back."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from intermodal import deserializers, serializers
from intermodal.errors import MissingDependencyError

numpy = pytest.importorskip("numpy")
scipy_sparse = pytest.importorskip("scipy.sparse")

# Inputs that were given to the vendor's SDK 2.257.7 too; what came of them lies in `parity/`.
GIVEN: dict[str, tuple[str, Any]] = {
    "a row": ("CSVSerializer", [1, 2.5, "a"]),
    "rows": ("CSVSerializer", [[1, 2], [3, 4]]),
    "lines": ("CSVSerializer", ["1,2", "3,4"]),
    "words": ("CSVSerializer", ["a", "b"]),
    "quotes": ("CSVSerializer", [["a,b", 'c"d', "e\nf"]]),
    "a tuple": ("CSVSerializer", (1, 2)),
    "text": ("CSVSerializer", "1,2\n3,4"),
    "nothing at all": ("CSVSerializer", []),
    "a matrix": ("CSVSerializer", numpy.eye(2)),
    "a cube": ("CSVSerializer", numpy.arange(8).reshape(2, 2, 2)),
    "a vector": ("CSVSerializer", numpy.arange(3, dtype="float32")),
    "missing": ("CSVSerializer", [[None, float("nan")], [True, 1e-9]]),
    "an object": ("JSONSerializer", {"a": numpy.eye(2), "b": None}),
    "an array": ("JSONSerializer", numpy.arange(3)),
    "a string": ("JSONSerializer", "ü"),
    "documents": ("JSONLinesSerializer", [{"a": 1}, [2]]),
    "bytes": ("IdentitySerializer", b"x"),
    "a word": ("StringSerializer", "ü"),
    "a number": ("StringSerializer", 3),
    "svm": ("LibSVMSerializer", "1 1:2"),
    "no svm": ("LibSVMSerializer", [1]),
    "data": ("DataSerializer", b"x"),
    "data in a dict": ("DataSerializer", {"data": b"x"}),
    "no data": ("DataSerializer", 3),
    "npy": ("NumpySerializer", numpy.arange(6, dtype="int16").reshape(2, 3)),
    "npy of a list": ("NumpySerializer", [[1.0, 2.0]]),
    "no npy": ("NumpySerializer", []),
}
ANSWERED: dict[str, tuple[str, bytes, str]] = {
    "json": ("JSONDeserializer", b'{"a": [1, null]}', "application/json"),
    "jsonlines": (
        "JSONLinesDeserializer",
        b'{"a": 1}\n["\xe2\x80\xa8"]\n',
        "application/jsonlines",
    ),
    "csv": ("CSVDeserializer", b'1,"a,b"\r\n2,c\r\n', "text/csv"),
    "text": ("StringDeserializer", "ü".encode(), "text/plain"),
    "integers": ("NumpyDeserializer", b"1,2\n3,4\n", "text/csv"),
    "numbers": ("NumpyDeserializer", b"1,2.5\n3,4\n", "text/csv"),
    "a row": ("NumpyDeserializer", b"1,2\n", "text/csv"),
    "json numbers": ("NumpyDeserializer", b"[[1, 2.5]]", "application/json"),
    "an image": ("NumpyDeserializer", b"", "image/png"),
}
RECORDED = json.loads(
    (Path(__file__).parent / "parity" / "serializers" / "recorded.json").read_text()
)


@pytest.mark.parametrize("name", GIVEN)
def test_data_becomes_what_the_vendor_makes_of_it(name: str) -> None:
    serializer, data = GIVEN[name]

    assert made_of(serializers, serializer, data) == RECORDED["given"][name]


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_becomes_what_the_vendor_makes_of_it(name: str) -> None:
    deserializer, body, kind = ANSWERED[name]

    assert read_of(deserializers, deserializer, body, kind) == RECORDED["answered"][name]


def made_of(module: Any, name: str, data: Any) -> list[str]:
    """The content type and the body, as text of bytes; or the kind of error."""
    serializer = getattr(module, name)()
    try:
        body = serializer.serialize(data)
    except ValueError:
        return [serializer.CONTENT_TYPE, "ValueError"]
    body = body.encode() if isinstance(body, str) else body
    return [serializer.CONTENT_TYPE, body.decode("latin1")]


def read_of(module: Any, name: str, body: bytes, kind: str) -> list[Any]:
    """What is accepted, and the data as JSON has it; or the kind of error."""
    deserializer = getattr(module, name)()
    try:
        data = deserializer.deserialize(io.BytesIO(body), kind)
    except ValueError:
        return [list(deserializer.ACCEPT), "ValueError"]
    shown = [str(data.dtype), data.tolist()] if hasattr(data, "dtype") else data
    return [list(deserializer.ACCEPT), json.loads(json.dumps(shown))]


def test_a_sparse_matrix_and_a_tensor_come_back_as_they_were() -> None:
    matrix = scipy_sparse.csr_matrix(numpy.eye(3))
    body = serializers.SparseMatrixSerializer().serialize(matrix)
    assert (scipy_sparse.load_npz(io.BytesIO(body)) != matrix).nnz == 0

    torch = pytest.importorskip("torch")
    tensor = torch.ones(2, 3, requires_grad=True)
    sent = serializers.TorchTensorSerializer().serialize(tensor)
    assert deserializers.TorchTensorDeserializer().deserialize(io.BytesIO(sent)).tolist() == [
        [1.0, 1.0, 1.0],
        [1.0, 1.0, 1.0],
    ]
    with pytest.raises(ValueError, match="is no tensor"):
        serializers.TorchTensorSerializer().serialize([1])


def test_a_data_frame_writes_its_own_rows_and_is_read_back() -> None:
    import pandas

    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})

    assert serializers.CSVSerializer().serialize(frame) == "1,x\n2,\n"
    read = deserializers.PandasDeserializer().deserialize(io.BytesIO(b"a,b\n1,x\n"), "text/csv")
    assert read.to_dict("list") == {"a": [1], "b": ["x"]}


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MissingDependencyError, match="pandas is needed for `text/csv`"):
        deserializers.PandasDeserializer().deserialize(io.BytesIO(b""), "text/csv")


def test_several_arrays_come_in_one_answer() -> None:
    body = io.BytesIO()
    numpy.savez(body, a=numpy.arange(2))
    body.seek(0)

    arrays = deserializers.NumpyDeserializer().deserialize(body, "application/x-npz")

    assert arrays["a"].tolist() == [0, 1]


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
        (serializers.StringSerializer(), "ü", "ü".encode()),
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
