"""How request bodies become arrays or plain values.

A decoder gives a value or raises one of the client errors of `errors`; nothing else, whatever the
bytes. Text formats carry finite numbers only: `NaN` and `Infinity` are not JSON, and are refused in
CSV too. numpy is imported on first use.
"""

import math
from codecs import lookup
from functools import lru_cache
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import orjson

from intermodal_serving.errors import BadRequestError, UnsupportedMediaTypeError
from intermodal_serving.media_types import ALIASES, CSV, JSON, JSON_LINES, NPY, ContentType
from intermodal_serving.messages import Body
from intermodal_serving.values import NUMERIC_KINDS, Array, kind_of

if TYPE_CHECKING:
    import numpy as np

# Some of these take a time that grows with the square of the body's size.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
_NPY_KINDS = NUMERIC_KINDS + "cU"
_MAX_NPY_DIMENSIONS = 32
_SAFE_SQUARE = 1e76
"""Numbers whose squares add up to less than this fit a 32-bit float, which ends at 3e38."""

_WRITE_OWN_INPUT = "define input_fn in code/inference.py to read other bodies"


def decode(body: Body, content_type: ContentType) -> Any:
    """The value of a body: an array where it is one, else plain lists, dicts, strings and numbers.

    Raises:
        BadRequestError: the body is not what its content type says.
        UnsupportedMediaTypeError: nothing here reads that content type.
    """
    media_type = ALIASES.get(content_type.media_type, content_type.media_type)
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
            f"the body holds {kind_of(value)}, but the model takes an array of numbers",
            hint="send lists of numbers, all rows of one length, or " + _WRITE_OWN_INPUT,
        )
    if value.dtype.kind not in NUMERIC_KINDS:
        raise BadRequestError(f"the array holds {value.dtype}, but the model takes numbers")
    if ALIASES.get(content_type.media_type, content_type.media_type) == NPY:
        return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    # One product in C settles it for nearly all bodies: no number is near the end of the range.
    if value.dtype.kind == "f" and np.vdot(value, value) < _SAFE_SQUARE:
        return value.astype(np.float32)
    with np.errstate(over="ignore"):
        single = value.astype(np.float32)
    if not np.isfinite(single).all():
        raise BadRequestError("the body holds a number that is too large for a 32-bit float")
    return single


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


def _array_or_value(value: Any) -> Any:
    """A regular nest of numbers as an array; anything else as it is. JSON has only finite ones."""
    import numpy as np

    try:
        array = np.array(value)
    except (ValueError, OverflowError, TypeError):
        return value
    return array if array.dtype.kind in NUMERIC_KINDS else value


@lru_cache(maxsize=256)
def _is_charset(name: str) -> bool:
    """Whether Python knows it as an encoding of texts, and not of domain names or source code."""
    try:
        known_as = lookup(name).name.replace("-", "_")
        return known_as not in _NO_CHARSETS and isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        return False


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


def _holds_values(array: Array) -> bool:
    """Whether bytes from outside are values of their type, which only some bytes are."""
    if array.dtype.kind == "b":
        return bool(array.view("u1").max() <= 1)
    if array.dtype.kind == "U":
        points = array.view(array.dtype.byteorder.replace("|", "=") + "u4")
        return not bool(((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))).any())
    return True
