import encodings.aliases
import io
import json
import math
import pickle
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from intermodal_serving import decoding, encoding
from intermodal_serving.errors import (
    BadRequestError,
    NotAcceptableError,
    RequestError,
    UnsupportedMediaTypeError,
)
from intermodal_serving.media_types import (
    CSV,
    JSON,
    JSON_LINES,
    NPY,
    ContentType,
    negotiate,
    parse_content_type,
)

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
shapes = npst.array_shapes(max_dims=3, max_side=4)


def decode(body: bytes, media_type: str = JSON) -> Any:
    return decoding.decode(body, parse_content_type(media_type))


def numbers(body: bytes, media_type: str = JSON) -> Any:
    content_type = parse_content_type(media_type)
    return decoding.as_numbers(decoding.decode(body, content_type), content_type)


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def status_of(call: Callable[[], Any]) -> int:
    """The status of the client error that a call raises, or 200; other errors pass through."""
    try:
        call()
    except RequestError as error:
        return error.status
    return 200


@given(st.binary(), st.sampled_from([JSON, JSON_LINES, CSV, NPY]))
@settings(max_examples=400)
def test_any_bytes_give_a_value_or_a_client_error(body: bytes, media_type: str) -> None:
    assert status_of(lambda: numbers(body, media_type)) < 500


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=8,
    )
)
@settings(max_examples=200)
def test_any_json_gives_a_value_or_a_client_error(value: Any) -> None:
    body = json.dumps(value).encode()
    for check in (decode, numbers):
        assert status_of(partial(check, body)) < 500


@given(st.binary(max_size=40), st.integers(0, 200))
@example(b"\xff\xff\xff\xff", 8)
@settings(max_examples=300)
def test_a_damaged_npy_gives_an_array_or_a_client_error(damage: bytes, place: int) -> None:
    whole = bytearray(npy(np.arange(6, dtype=np.float32).reshape(2, 3)))
    whole[place : place + len(damage)] = damage
    assert status_of(lambda: decode(bytes(whole), NPY)) in {200, 400}


@given(st.text("()[]{}',:<>=|-0123456789fiucObUSVMmaTrueFlsedcrortanhp \\\n", max_size=80))
@settings(max_examples=300)
def test_any_npy_header_gives_an_array_or_a_client_error(header: str) -> None:
    text = header.encode()
    body = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"1234"
    assert status_of(lambda: decode(body, NPY)) in {200, 400}


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_headers_are_parsed_or_refused_as_the_clients_fault(header: str) -> None:
    content_type = parse_content_type(header)
    assert status_of(lambda: decoding.decode(b"[1]", content_type)) < 500
    assert status_of(lambda: encoding.choose_encoder(negotiate(header, JSON))) in {200, 406}


@given(npst.arrays(np.float32, shapes, elements=finite))
def test_float_arrays_survive_every_format_that_can_carry_them(array: Any) -> None:
    assert np.array_equal(numbers(encoding.encode(array, JSON)), array)
    assert np.array_equal(numbers(encoding.encode(array, NPY), NPY), array)
    assert np.array_equal(numbers(encoding.encode(array, JSON_LINES), JSON_LINES), array)
    if array.ndim == 2:
        assert np.array_equal(numbers(encoding.encode(array, CSV), CSV), array)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=3), json_values))
@settings(max_examples=60)
def test_json_survives_as_it_is_and_as_a_line(value: Any) -> None:
    assert decode(encoding.encode(value, JSON)) == value
    assert decode(encoding.encode([value, value], JSON_LINES), JSON_LINES) == [value, value]


@given(
    npst.arrays(
        npst.boolean_dtypes() | npst.integer_dtypes() | npst.unsigned_integer_dtypes()
        | npst.floating_dtypes(),
        npst.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
    ),
)  # fmt: skip
@settings(max_examples=300)
def test_any_array_of_numbers_comes_in_as_npy_and_goes_out_in_every_format(array: Any) -> None:
    decoded = decode(npy(array), NPY)
    assert decoded.dtype == array.dtype
    assert np.array_equal(decoded, array, equal_nan=array.dtype.kind == "f")
    for media_type in (JSON, JSON_LINES, CSV, NPY):
        assert isinstance(encoding.encode({"a": [decoded]}["a"][0], media_type), bytes)
    assert isinstance(encoding.encode({"nested": [decoded, {"deep": decoded}]}, JSON), bytes)


@given(st.binary(max_size=60), st.text(st.characters(max_codepoint=255), max_size=20))
@example(b"a-b", "punycode")
@example(b"\\ud800", "unicode_escape")
@example(b"a", "base64")
@example(b"a", "undefined")
@example(b"a", "utf\0")
@settings(max_examples=300)
def test_any_charset_gives_text_or_a_client_error(body: bytes, charset: str) -> None:
    assert status_of(lambda: decoding.decode_text(body, charset)) in {200, 400, 415}


@given(st.binary(max_size=60), st.sampled_from(sorted({*encodings.aliases.aliases.values()})))
@settings(max_examples=300)
def test_every_charset_of_python_gives_text_or_a_client_error(body: bytes, charset: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert status_of(lambda: decoding.decode_text(body, charset)) in {200, 400, 415}


def test_a_charset_whose_decoding_takes_forever_is_unknown() -> None:
    began = time.monotonic()
    for charset in ("punycode", "idna", "Unicode-Escape"):
        with pytest.raises(UnsupportedMediaTypeError):
            decode(b"a" * 5_000_000 + b"-b", f"application/json; charset={charset}")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("dtype", "data"), [("|b1", b"\x02"), ("<U1", b"\x00\xd8\0\0"), (">U1", b"\x00\x11\0\0")]
)
def test_bytes_that_are_no_value_of_their_type_are_refused(dtype: str, data: bytes) -> None:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (1,), }}".encode()
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data
    with pytest.raises(BadRequestError, match="no value of"):
        decode(body, NPY)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8", "|b1", "<f2", "<u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_keeps_type_shape_and_order(dtype: str, order: Any) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4).astype(dtype), order=order)
    decoded = numbers(npy(array), NPY)
    assert np.array_equal(decoded, array)
    assert decoded.dtype == np.dtype(dtype).newbyteorder("=")


def test_npy_is_viewed_not_copied() -> None:
    body = bytearray(npy(np.zeros(4, np.uint8)))
    array = decode(body, NPY)  # type: ignore[arg-type]  # the server hands over its own buffer
    body[-1] = 7
    assert array[3] == 7


def test_an_npy_with_python_objects_is_never_unpickled() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was loaded",))

    with pytest.raises(BadRequestError, match="never loaded"):
        decode(npy(np.array([Bomb()], dtype=object), allow_pickle=True), NPY)
    with pytest.raises(BadRequestError, match="not an NPY file"):
        decode(pickle.dumps([1, 2]), NPY)


def test_an_npy_that_promises_terabytes_is_refused_before_memory_is_taken() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"12345678"
    with pytest.raises(BadRequestError, match="promises 8000000000000"):
        decode(body, NPY)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1,]", b"[NaN]", b"[Infinity]", b"[-Infinity]", b"\xff[1]", b"[" * 100_000],
    ids=["empty", "open", "comma", "nan", "inf", "-inf", "utf8", "deep"],
)
def test_what_is_not_json_is_the_clients_fault(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="not JSON"):
        decode(body)


def test_json_that_is_deep_but_legal_is_no_array_of_numbers() -> None:
    with pytest.raises(BadRequestError, match="a list"):
        numbers(b"[" * 500 + b"1" + b"]" * 500)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"[[1,2],[3]]", "a list"),
        (b'[1,"2"]', "a list"),
        (b"[1,null]", "a list"),
        (b'{"instances": [1]}', "an object"),
        (b'"text"', "a string"),
        (b"null", "null"),
    ],
)
def test_a_model_that_takes_numbers_is_given_nothing_else(body: bytes, what: str) -> None:
    with pytest.raises(BadRequestError, match=f"holds {what}"):
        numbers(body)


@pytest.mark.parametrize("body", [b"[1e39]", b"[[0, -1e300]]", b"[1e999]"])
def test_a_number_too_large_for_the_model_is_refused_rather_than_made_infinite(
    body: bytes,
) -> None:
    with pytest.raises(BadRequestError):
        numbers(body)


@pytest.mark.parametrize("value", [{"a": [1, 2]}, ["x", "y"], "text", None, [[1, 2], [3]], []])
def test_json_that_is_no_array_stays_what_it_is(value: Any) -> None:
    decoded = decode(orjson.dumps(value))
    assert (decoded.tolist() if isinstance(decoded, np.ndarray) else decoded) == value


def test_text_becomes_float32_and_keeps_its_shape() -> None:
    assert numbers(b"[[1,2],[3,4]]").dtype == np.float32
    assert numbers(b"1,2\n3,4\n", CSV).shape == (2, 2)
    assert numbers(b"1,2,3", CSV).shape == (1, 3)
    assert numbers(b"[1,2]\n\n[3,4]\r\n", JSON_LINES).shape == (2, 2)
    assert numbers(b"5").shape == ()


def test_csv_takes_quotes_and_windows_lines() -> None:
    assert decode(b'"1","2.5"\r\n3,4\r\n', CSV).tolist() == [[1, 2.5], [3, 4]]


@pytest.mark.parametrize(
    "body",
    [b"", b"\n \n", b"a,b\n1,2", b"1,2\n3", b"1,,2", b"nan,1", b"1,inf", b"\xff\xfe", b"1;2"],
)
def test_csv_that_is_not_rows_of_finite_numbers_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        decode(body, CSV)


def test_the_line_that_is_no_json_is_named() -> None:
    with pytest.raises(BadRequestError, match="line 3"):
        decode(b"[1]\n[2]\n[3\n", JSON_LINES)


@pytest.mark.parametrize(
    "header", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", ";;;"]
)
def test_an_unknown_content_type_names_those_that_are_known(header: str) -> None:
    if header == ";;;":
        assert decode(b"[1]", header).tolist() == [1]
        return
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        decode(b"x", header)
    assert NPY in (caught.value.hint or "")


def test_a_content_type_is_read_without_regard_to_case_and_parameters() -> None:
    assert parse_content_type('Application/JSON; Charset="UTF-16"') == ContentType(JSON, "utf-16")
    assert parse_content_type(None) == ContentType(JSON)


def test_other_charsets_are_decoded_and_unknown_ones_refused() -> None:
    assert decode("[1,2]".encode("utf-16"), "application/json; charset=utf-16").tolist() == [1, 2]
    assert decode(b'"\xe9"', "application/json; charset=latin-1") == "é"
    for name in ("klingon", "base64", "rot13", "idna\0"):
        with pytest.raises(RequestError):
            decode(b"[1]", f"application/json; charset={name}")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/csv", CSV),
        ("text/html, TEXT/CSV;q=0.5, application/x-npy;q=0.9", NPY),
        ("application/json;q=0, text/csv", CSV),
        ("text/csv;q=high, application/json", JSON),
    ],
)
def test_the_dearest_format_that_can_be_given_is_chosen(accept: str | None, wanted: str) -> None:
    assert encoding.choose_encoder(negotiate(accept, JSON)) == wanted


def test_a_format_that_cannot_be_given_is_refused_with_those_that_can() -> None:
    with pytest.raises(NotAcceptableError) as caught:
        encoding.choose_encoder(negotiate("image/png", JSON))
    assert "image/png" in caught.value.message
    assert CSV in (caught.value.hint or "")


def test_json_has_no_nan_so_it_becomes_null() -> None:
    assert (
        encoding.encode(np.array([1.0, math.nan, math.inf], np.float32), JSON) == b"[1.0,null,null]"
    )


def test_numbers_and_arrays_inside_plain_values_are_encoded() -> None:
    value = {"score": np.float32(0.5), 3: np.arange(4).reshape(2, 2).T, "t": (1, None)}
    assert orjson.loads(encoding.encode(value, JSON)) == {
        "score": 0.5,
        "3": [[0, 2], [1, 3]],
        "t": [1, None],
    }


def test_json_lines_have_a_line_for_each_prediction() -> None:
    assert encoding.encode(np.array([[1, 2], [3, 4]]), JSON_LINES) == b"[1,2]\n[3,4]\n"
    assert encoding.encode({"a": 1}, JSON_LINES) == b'{"a":1}\n'


def test_csv_has_a_line_for_each_prediction_and_quotes_what_needs_it() -> None:
    assert encoding.encode(np.array([0.1, 2], np.float32), CSV) == b"0.1\n2.0\n"
    assert encoding.encode([["a,b", 'say "x"']], CSV) == b'"a,b","say ""x"""\n'


@pytest.mark.parametrize(
    ("prediction", "media_type"),
    [(np.zeros((2, 2, 2)), CSV), ({"a": 1}, CSV), ([[1], [1, 2]], NPY), ({"a": 1}, NPY)],
)
def test_a_prediction_without_such_a_form_is_not_acceptable(
    prediction: Any, media_type: str
) -> None:
    with pytest.raises(NotAcceptableError):
        encoding.encode(prediction, media_type)


def test_a_prediction_that_no_format_carries_says_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"a value of type object, which .* or define output_fn"):
        encoding.encode({"model": object()}, JSON)


@pytest.mark.parametrize("array", [np.array([b"x"]), np.zeros(1, "i4,f4"), np.zeros(1, "M8[s]")])
def test_an_npy_of_neither_numbers_nor_text_is_refused(array: Any) -> None:
    with pytest.raises(BadRequestError, match="not numbers or text"):
        decode(npy(array), NPY)
