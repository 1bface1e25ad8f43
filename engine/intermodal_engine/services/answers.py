"""What operations of any service put into their answers."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from intermodal_engine.wire.errors import ServiceError

T = TypeVar("T")
_TOKEN_DIGITS = 9


def when(at: float) -> datetime:
    """A time for the wire, from epoch seconds."""
    return datetime.fromtimestamp(at, UTC)


def page_of(
    entries: Sequence[T], token: str | None, limit: int, refused: Callable[[str], Exception]
) -> tuple[Sequence[T], dict[str, str]]:
    """One page of a listing that is made anew for each of them, and `NextToken` if there are more.

    Args:
        entries: the whole listing.
        token: of the request; None or empty for the first page.
        limit: entries a page.
        refused: makes the error for a token that no listing gave.
    """
    place = token or "0"
    if not (place.isascii() and place.isdecimal() and len(place) <= _TOKEN_DIGITS):
        raise refused("The NextToken is not one that this listing gave")
    begin, end = int(place), int(place) + limit
    return entries[begin:end], {"NextToken": str(end)} if end < len(entries) else {}


def not_served(what: str, instead: str) -> ServiceError:
    """The answer to a request whose meaning this engine cannot give yet.

    Args:
        what: the member and its value, as the caller wrote them.
        instead: what works today.
    """
    return ServiceError(
        "NotImplementedException",
        f"intermodal's engine does not serve {what} yet; {instead}",
        status=501,
    )
