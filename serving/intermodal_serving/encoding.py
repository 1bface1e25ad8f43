"""How predictions become response bodies.

A tensor counts as an array. JSON has no NaN: it becomes null. numpy is imported on first use.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import orjson

from intermodal_serving.errors import NotAcceptableError
from intermodal_serving.media_types import ALIASES, CSV, EVENT_STREAM, JSON, JSON_LINES, NPY
from intermodal_serving.values import NUMERIC_KINDS, Array, kind_of, to_plain


@lru_cache(maxsize=256)
def choose_encoder(accepted: tuple[str, ...]) -> str:
    """The first of the accepted media types that predictions can be encoded in.

    Raises:
        NotAcceptableError: there is none.
    """
    for media_type in accepted:
        if ALIASES.get(media_type, media_type) in _ENCODERS:
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
    return _ENCODERS[ALIASES.get(media_type, media_type)](to_plain(prediction))


def stream_type(media_type: str) -> str:
    """What a stream of predictions is given as, where its client accepts `media_type`."""
    media_type = ALIASES.get(media_type, media_type)
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


def _encode_json(value: Any) -> bytes:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(value, default=_json_form, option=options)
    except orjson.JSONEncodeError as error:
        plain = _with_native_arrays(value)
        if plain is not value:
            return _encode_json(plain)
        raise TypeError(str(error.__cause__ or error)) from None


def _json_form(value: Any) -> Any:
    plain = to_plain(value)
    if plain is not value:
        return plain
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"the prediction holds {kind_of(value)}, which has no JSON form; "
        "return arrays, lists, dicts, strings and numbers, or define output_fn"
    )


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
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in NUMERIC_KINDS:
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


def _csv_cell(value: Any) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _encode_npy(value: Any) -> bytes:
    import numpy as np

    stream = BytesIO()
    np.lib.format.write_array(stream, _as_array(value, NPY), allow_pickle=False)
    return stream.getvalue()


def _as_array(value: Any, media_type: str) -> Array:
    import numpy as np

    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        array = np.empty(0, object)
    if array.dtype.hasobject:
        raise NotAcceptableError(
            f"the prediction is {kind_of(value)}, which has no form as {media_type}",
            hint=f"accept {JSON}",
        )
    return array


_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    JSON: _encode_json,
    JSON_LINES: _encode_json_lines,
    CSV: _encode_csv,
    NPY: _encode_npy,
    EVENT_STREAM: _encode_event,
}

ENCODED = frozenset(_ENCODERS)
"""Media types that need no check before they become a header."""
