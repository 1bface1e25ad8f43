"""Stateful sessions: which instance holds which one.

https://docs.aws.amazon.com/sagemaker/latest/dg/stateful-sessions.html
A container opens a session with `X-Amzn-SageMaker-New-Session-Id: ID; Expires=TIME` and ends it
with `X-Amzn-SageMaker-Closed-Session-Id: ID`. Sessions live in the instances' memory; so does this.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

NEW_SESSION = "NEW_SESSION"
OPENED = "x-amzn-sagemaker-new-session-id"
CLOSED = "x-amzn-sagemaker-closed-session-id"

LIFETIME_S = 3600.0
"""Of a session whose container does not say when it ends."""

MOST = 100_000
"""Sessions that are remembered; beyond that the oldest are forgotten."""


class Sessions:
    """The open sessions of all endpoints. Used on the event loop only.

    Args:
        now: epoch seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: dict[tuple[str, str], tuple[str, float]] = {}

    def find(self, endpoint: str, session_id: str) -> str | None:
        """The instance that holds a session; None for one that is unknown or has expired."""
        found = self._open.get((endpoint, session_id))
        if found is None:
            return None
        backend_id, expires_at = found
        if expires_at <= self._now():
            del self._open[endpoint, session_id]
            return None
        return backend_id

    def take(self, endpoint: str, backend_id: str, headers: Mapping[str, str]) -> None:
        """Notes what an answer says of sessions."""
        if OPENED in headers:
            session_id, _, rest = headers[OPENED].partition(";")
            while len(self._open) >= MOST:
                del self._open[next(iter(self._open))]
            self._open[endpoint, session_id.strip()] = backend_id, self._expiry(rest)
        if CLOSED in headers:
            self._open.pop((endpoint, headers[CLOSED].partition(";")[0].strip()), None)

    def _expiry(self, attributes: str) -> float:
        for attribute in attributes.split(";"):
            name, _, value = attribute.partition("=")
            if name.strip().lower() == "expires":
                return _epoch(value.strip()) or self._now() + LIFETIME_S
        return self._now() + LIFETIME_S


def _epoch(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
