"""What operations of any service put into their answers."""

from datetime import UTC, datetime

from intermodal_engine.wire.errors import ServiceError


def when(at: float) -> datetime:
    """A time for the wire, from epoch seconds."""
    return datetime.fromtimestamp(at, UTC)


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
