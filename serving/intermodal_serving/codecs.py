"""How request bodies become arrays or plain values, and predictions become response bodies.

A decoder gives a value or raises one of the client errors of `errors`; nothing else, whatever the
bytes. numpy is imported on first use, so that a model that needs none starts without it. Text
formats carry finite numbers only: `NaN` and `Infinity` are not JSON, and are refused in CSV too.
"""

import math
from codecs import lookup
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import orjson

from intermodal_serving.errors import (
    BadRequestError,
    NotAcceptableError,
    UnsupportedMediaTypeError,
)
from intermodal_serving.messages import Body

if TYPE_CHECKING:
    import numpy as np

Array = Any  # numpy.ndarray[Any, Any], which cannot be named without importing numpy

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
NPY = "application/x-npy"
EVENT_STREAM = "text/event-stream"

_ALIASES = {
    "text/json": JSON,
    "application/x-jsonlines": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/csv": CSV,
    "application/npy": NPY,
}
# Some of these take a time that grows with the square of the body's size.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
_NUMERIC_KINDS = "biuf"
_NPY_KINDS = _NUMERIC_KINDS + "cU"
_MAX_NPY_DIMENSIONS = 32
_SAFE_SQUARE = 1e76
"""Numbers whose squares add up to less than this fit a 32-bit float, which ends at 3e38."""

_WRITE_OWN_INPUT = "define input_fn in code/inference.py to read other bodies"


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in lower case, without its parameters, and the charset that it named."""

    media_type: str
    charset: str = "utf-8"


@lru_cache(maxsize=256)
def parse_content_type(header: str | None, default: str = JSON) -> ContentType:
    """What a `Content-Type` header says; none at all means `default`."""
    media_type, _, parameters = (header or default).partition(";")
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'").lower() or charset
    return ContentType(media_type.strip().lower() or default, charset)


def decode_text(body: Body, charset: str) -> str:
    """A body as text.

    Raises:
        UnsupportedMediaTypeError: there is no such charset.
        BadRequestError: the bytes are not in that charset.
    """
    if charset != "utf-8" and not _is_charset(charset):
        raise UnsupportedMediaTypeError(
            f"the content type's charset `{charset[:40]}` is unknown", hint="send UTF-8"
        )
    try:
        return str(body, charset)
    except ValueError as error:
        raise BadRequestError(f"the body is not {charset} text: {error}") from None


@lru_cache(maxsize=256)
def _is_charset(name: str) -> bool:
    """Whether Python knows it as an encoding of texts, and not of domain names or source code."""
    try:
        known_as = lookup(name).name.replace("-", "_")
        return known_as not in _NO_CHARSETS and isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        return False


def decode(body: Body, content_type: ContentType) -> Any:
    """The value of a body: an array where it is one, else plain lists, dicts, strings and numbers.

    Raises:
        BadRequestError: the body is not what its content type says.
        UnsupportedMediaTypeError: nothing here reads that content type.
    """
    media_type = _ALIASES.get(content_type.media_type, content_type.media_type)
    if media_type == NPY:
        return decode_npy(body)
    if media_type not in {JSON, JSON_LINES, CSV}:
        raise UnsupportedMediaTypeError(
            f"the content type `{media_type[:80]}` is not read here",
            hint=f"send {JSON}, {JSON_LINES}, {CSV} or {NPY}, or {_WRITE_OWN_INPUT}",
        )
    if content_type.charset not in {"utf-8", "utf8", "us-ascii", "ascii"}:
        body = decode_text(body, content_type.charset).encode("utf-8", "surrogatepass")
    if media_type == CSV:
        return decode_csv(body)
    value = decode_json(body) if media_type == JSON else decode_json_lines(body)
    return value if isinstance(value, dict | str) or value is None else _array_or_value(value)


def as_numbers(value: Any, content_type: ContentType) -> Array:
    """What `decode` gave, for models that take nothing but an array of numbers.

    Text becomes float32, as the vendor's PyTorch containers have it; NPY keeps its own type.

    Raises:
        BadRequestError: the body holds something else.
    """
    import numpy as np

    if not isinstance(value, np.ndarray):
        raise BadRequestError(
            f"the body holds {_describe(value)}, but the model takes an array of numbers",
            hint="send lists of numbers, all rows of one length, or " + _WRITE_OWN_INPUT,
        )
    if value.dtype.kind not in _NUMERIC_KINDS:
        raise BadRequestError(f"the array holds {value.dtype}, but the model takes numbers")
    if _ALIASES.get(content_type.media_type, content_type.media_type) == NPY:
        return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    # One product in C settles it for nearly all bodies: no number is near the end of the range.
    if value.dtype.kind == "f" and np.vdot(value, value) < _SAFE_SQUARE:
        return value.astype(np.float32)
    with np.errstate(over="ignore"):
        single = value.astype(np.float32)
    if not np.isfinite(single).all():
        raise BadRequestError("the body holds a number that is too large for a 32-bit float")
    return single


def decode_json(body: Body) -> Any:
    """One JSON document.

    Raises:
        BadRequestError: it is none, or is nested deeper than 1024 levels.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None


def decode_json_lines(body: Body) -> list[Any]:
    """One JSON document a line; empty lines are skipped.

    Raises:
        BadRequestError: names the line that is no JSON.
    """
    values = []
    for number, line in enumerate(bytes(body).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise BadRequestError(f"line {number} of the body is not JSON: {error}") from None
    return values


def decode_csv(body: Body) -> Array:
    """Rows of numbers without a header line, as a float64 array of two dimensions.

    Raises:
        BadRequestError: a cell is no finite number, or the rows differ in length.
    """
    import numpy as np

    text = decode_text(body, "utf-8")
    if not text.strip():
        raise BadRequestError("the CSV body is empty")
    try:
        rows = np.loadtxt(StringIO(text), delimiter=",", comments=None, ndmin=2, quotechar='"')
    except (ValueError, OverflowError) as error:
        raise BadRequestError(
            f"the body is not CSV of numbers: {str(error)[:300]}",
            hint="send rows of numbers without a header line, or " + _WRITE_OWN_INPUT,
        ) from None
    if not np.isfinite(rows).all():
        raise BadRequestError("the CSV body holds NaN or Infinity")
    return rows


def decode_npy(body: Body) -> Array:
    """The array of an `.npy` file, viewed in the body without a copy; pickles are refused.

    Raises:
        BadRequestError: it is no such file, its size is not what its header says, or it holds
            Python objects, whose loading would run code.
    """
    import numpy as np

    shape, fortran_order, dtype, offset = _npy_header(body)
    if dtype.hasobject:
        raise BadRequestError("the NPY body holds pickled Python objects, which are never loaded")
    if dtype.kind not in _NPY_KINDS:
        raise BadRequestError(f"the NPY body holds {dtype}, not numbers or text")
    count = math.prod(shape)
    if count * dtype.itemsize != len(body) - offset:
        raise BadRequestError(
            f"the NPY body has {len(body) - offset} bytes of data, "
            f"but its header promises {count * dtype.itemsize}"
        )
    if not dtype.itemsize or not count:
        return np.empty(shape, dtype)
    flat = np.frombuffer(body, dtype, count, offset)
    if not _holds_values(flat):
        raise BadRequestError(f"the NPY body holds bytes that are no value of {dtype}")
    return flat.reshape(shape, order="F" if fortran_order else "C")


@lru_cache(maxsize=256)
def negotiate(accept: str | None, default: str) -> tuple[str, ...]:
    """The media types that a client accepts, the dearest first.

    No header and wildcards stand for `default`; a quality of 0 excludes.
    """
    weighted: list[tuple[float, str]] = []
    for part in (accept or "").split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_type and (quality := _quality(parameters)) > 0:
            wild = "*" in media_type or media_type == "any"
            weighted.append((quality, default if wild else media_type))
    weighted.sort(key=lambda pair: -pair[0])
    return tuple(media_type for _, media_type in weighted) or (default,)


@lru_cache(maxsize=256)
def choose_encoder(accepted: tuple[str, ...]) -> str:
    """The first of the accepted media types that predictions can be encoded in.

    Raises:
        NotAcceptableError: there is none.
    """
    for media_type in accepted:
        if _ALIASES.get(media_type, media_type) in _ENCODERS:
            return media_type
    raise NotAcceptableError(
        f"no prediction can be given as `{', '.join(accepted)[:120]}`",
        hint=f"accept {', '.join(_ENCODERS)}, or define output_fn in code/inference.py",
    )


def encode(prediction: Any, media_type: str) -> bytes:
    """A prediction in one of the media types that `choose_encoder` gives.

    JSON has no NaN: it becomes null.

    Raises:
        NotAcceptableError: this prediction has no such form.
        TypeError: the prediction holds what no format can carry.
    """
    return _ENCODERS[_ALIASES.get(media_type, media_type)](to_plain(prediction))


def stream_type(media_type: str) -> str:
    """What a stream of predictions is given as, where its client accepts `media_type`."""
    media_type = _ALIASES.get(media_type, media_type)
    return JSON_LINES if media_type == JSON else media_type


def encode_item(prediction: Any, media_type: str) -> bytes:
    """One prediction of a stream, in a media type that `stream_type` gives.

    Raises:
        NotAcceptableError: this prediction has no such form.
        TypeError: the prediction holds what no format can carry.
    """
    if media_type == JSON_LINES:
        return _encode_json(to_plain(prediction)) + b"\n"
    return encode(prediction, media_type)


def to_plain(value: Any) -> Any:
    """A tensor, of torch or MXNet, as a numpy array; everything else as it is."""
    if hasattr(value, "detach"):
        try:
            array = value.numpy()
        except (TypeError, RuntimeError):  # on a GPU, with gradients, or of a type numpy lacks
            array = _tensor_as_array(value)
        return array.astype("float32") if array.dtype.char == "e" else array
    return value.asnumpy() if hasattr(value, "asnumpy") else value


def _tensor_as_array(value: Any) -> Array:
    tensor = value.detach().cpu().resolve_conj().resolve_neg()
    # numpy has no bfloat16 and no 8-bit floats.
    small = "float" in str(tensor.dtype) and tensor.element_size() < 4
    return (tensor.float() if small else tensor).numpy()


def _encode_json(value: Any) -> bytes:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(value, default=_json_form, option=options)
    except orjson.JSONEncodeError as error:
        plain = _with_native_arrays(value)
        if plain is not value:
            return _encode_json(plain)
        raise TypeError(str(error.__cause__ or error)) from None


def _with_native_arrays(value: Any) -> Any:
    """The same with arrays as orjson takes them: no other byte order, no long doubles.

    What holds none of these comes back itself.
    """
    import numpy as np

    if isinstance(value, dict):
        items = {key: _with_native_arrays(item) for key, item in value.items()}
        return items if any(items[key] is not value[key] for key in items) else value
    if isinstance(value, list | tuple):
        parts = [_with_native_arrays(item) for item in value]
        return parts if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _NUMERIC_KINDS:
        if value.dtype.char == "g":
            return value.astype(np.float64)
        if not value.dtype.isnative:
            return value.astype(value.dtype.newbyteorder("="))
    return value


def _encode_json_lines(value: Any) -> bytes:
    items = value if isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0 else [value]
    return b"".join(_encode_json(item) + b"\n" for item in items)


def _encode_event(value: Any) -> bytes:
    return b"data: " + _encode_json(value) + b"\n\n"


def _encode_csv(value: Any) -> bytes:
    array = _as_array(value, CSV)
    if array.ndim > 2:
        raise NotAcceptableError(
            f"a prediction of {array.ndim} dimensions has no CSV form", hint=f"accept {JSON}"
        )
    rows = array.reshape(-1, 1) if array.ndim < 2 else array
    return "".join(",".join(map(_csv_cell, row)) + "\n" for row in rows).encode()


def _encode_npy(value: Any) -> bytes:
    import numpy as np

    stream = BytesIO()
    np.lib.format.write_array(stream, _as_array(value, NPY), allow_pickle=False)
    return stream.getvalue()


_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    JSON: _encode_json,
    JSON_LINES: _encode_json_lines,
    CSV: _encode_csv,
    NPY: _encode_npy,
    EVENT_STREAM: _encode_event,
}

ENCODED = frozenset(_ENCODERS)
"""Media types that need no check before they become a header."""


def _array_or_value(value: Any) -> Any:
    """A regular nest of numbers as an array; anything else as it is. JSON has only finite ones."""
    import numpy as np

    try:
        array = np.array(value)
    except (ValueError, OverflowError, TypeError):
        return value
    return array if array.dtype.kind in _NUMERIC_KINDS else value


def _holds_values(array: Array) -> bool:
    """Whether bytes from outside are values of their type, which only some bytes are."""
    if array.dtype.kind == "b":
        return bool(array.view("u1").max() <= 1)
    if array.dtype.kind == "U":
        points = array.view(array.dtype.byteorder.replace("|", "=") + "u4")
        return not bool(((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))).any())
    return True


def _npy_header(body: Body) -> "tuple[tuple[int, ...], bool, np.dtype[Any], int]":
    import warnings

    from numpy.lib import format as npy

    # The header is at most a few kilobytes; the data behind it is not copied.
    stream = BytesIO(memoryview(body)[:16384])
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shape, fortran_order, dtype = read(stream)
    except KeyError:
        raise BadRequestError("the NPY body is of a version other than 1.0 and 2.0") from None
    except Exception as error:  # noqa: BLE001 - the header is Python source: any error is its own
        raise BadRequestError(f"the body is not an NPY file: {str(error)[:200]}") from None
    if len(shape) > _MAX_NPY_DIMENSIONS or any(length < 0 for length in shape):
        raise BadRequestError("the NPY body's shape is not one that an array can have")
    return shape, fortran_order, dtype, stream.tell()


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _as_array(value: Any, media_type: str) -> Array:
    import numpy as np

    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        array = np.empty(0, object)
    if array.dtype.hasobject:
        raise NotAcceptableError(
            f"the prediction is {_describe(value)}, which has no form as {media_type}",
            hint=f"accept {JSON}",
        )
    return array


def _csv_cell(value: Any) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _json_form(value: Any) -> Any:
    plain = to_plain(value)
    if plain is not value:
        return plain
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"the prediction holds {_describe(value)}, which has no JSON form; "
        "return arrays, lists, dicts, strings and numbers, or define output_fn"
    )


def _describe(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), f"a value of type {type(value).__name__}")
