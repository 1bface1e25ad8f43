"""Stateful sessions: which instance holds which one.

https://docs.aws.amazon.com/sagemaker/latest/dg/stateful-sessions.html
A container opens a session with `X-Amzn-SageMaker-New-Session-Id: ID; Expires=TIME` and ends it
with `X-Amzn-SageMaker-Closed-Session-Id: ID`. Instances outlive an engine, and their sessions with
them: what is opened is kept before the client hears of it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

NEW_SESSION = "NEW_SESSION"
OPENED = "x-amzn-sagemaker-new-session-id"
CLOSED = "x-amzn-sagemaker-closed-session-id"

LIFETIME_S = 3600.0
"""Of a session whose container does not say when it ends."""

MOST = 100_000
"""Sessions that are remembered; beyond that the oldest are forgotten."""


_log = logging.getLogger(__name__)


class KeptSessions(Protocol):
    """Where sessions outlive the engine."""

    def all(self) -> dict[tuple[str, str], tuple[str, float]]:
        """`(endpoint, session)` to `(instance, epoch seconds of its end)`, the oldest first."""

    def open(self, endpoint: str, session_id: str, instance: str, expires_at: float) -> None:
        """Keeps a session."""

    def close(self, endpoint: str, session_id: str) -> None:
        """Forgets a session."""


class Sessions:
    """The open sessions of all endpoints. Used on the event loop only.

    Args:
        now: epoch seconds.
        kept: where they outlive the engine; None: nowhere.
    """

    def __init__(self, now: Callable[[], float], kept: KeptSessions | None = None) -> None:
        self._now = now
        self._kept = kept
        self._open = kept.all() if kept is not None else {}

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

    async def take(self, endpoint: str, backend_id: str, headers: Mapping[str, str]) -> None:
        """Notes what an answer says of sessions; few say anything."""
        if OPENED in headers:
            text, _, rest = headers[OPENED].partition(";")
            session_id, expires_at = text.strip(), self._expiry(rest)
            while len(self._open) >= MOST:
                del self._open[next(iter(self._open))]
            self._open[endpoint, session_id] = backend_id, expires_at
            await self._keep(lambda kept: kept.open(endpoint, session_id, backend_id, expires_at))
        if CLOSED in headers:
            closed = headers[CLOSED].partition(";")[0].strip()
            self._open.pop((endpoint, closed), None)
            await self._keep(lambda kept: kept.close(endpoint, closed))

    async def _keep(self, change: Callable[[KeptSessions], None]) -> None:
        """In a thread, since it waits for the disk; a session that cannot be kept is one still."""
        kept = self._kept
        if kept is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, change, kept)
        except Exception:  # noqa: BLE001 - the answer of the instance counts, whatever the disk does
            _log.exception("a session will be unknown after a restart")

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
