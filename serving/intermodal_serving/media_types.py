"""Media types: what a body is said to be, and what a client accepts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
NPY = "application/x-npy"
EVENT_STREAM = "text/event-stream"

ALIASES: Mapping[str, str] = {
    "text/json": JSON,
    "application/x-jsonlines": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/csv": CSV,
    "application/npy": NPY,
}
"""Other names of the same."""


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


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
