"""Asynchronous invocations that have been accepted and are not over: what a restart must not lose.

A row is there from before the caller is told until its result is stored and everybody who is to
know of it will be told.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_engine.store.database import Database


@dataclass(frozen=True, slots=True)
class AsyncRequest:
    """One accepted invocation.

    Attributes:
        request_id: UUID; the result's key is made of it.
        endpoint: whose instances are to work on it.
        accepted_at: epoch seconds.
        attempts: instances that died while they worked on it.
        parameters: of InvokeEndpointAsync, without the body.
        places: where its result goes and who is told, see `lifecycle.async_inference.accepted`.
        body: where it came with the request instead of lying in S3.
    """

    request_id: str
    endpoint: str
    accepted_at: float
    attempts: int
    parameters: Mapping[str, Any]
    places: Mapping[str, Any]
    body: bytes | None = None


class AsyncRequests:
    """The open invocations of all endpoints.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, request: AsyncRequest) -> None:
        """Keeps a request, durably."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO async_requests VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(request.request_id, request.endpoint, request.accepted_at, request.attempts),
                    *(json.dumps(dict(request.parameters)), json.dumps(dict(request.places))),
                    request.body,
                ),
            )

    def find(self, request_id: str) -> AsyncRequest | None:
        """A request with its body; None where it is over."""
        with self._database.reader() as connection:
            row = connection.execute(
                "SELECT * FROM async_requests WHERE request_id = ?", (request_id,)
            ).fetchone()
        return None if row is None else _request(row)

    def open(self) -> list[AsyncRequest]:
        """All, the oldest first, without bodies."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT request_id, endpoint, accepted_at, attempts, parameters, places, "
                "NULL AS body FROM async_requests ORDER BY accepted_at, request_id"
            ).fetchall()
        return [_request(row) for row in rows]

    def count_attempt(self, request_id: str) -> int:
        """Notes that an instance died over it; returns how many have."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "UPDATE async_requests SET attempts = attempts + 1 WHERE request_id = ? "
                "RETURNING attempts",
                (request_id,),
            ).fetchone()
        return 0 if row is None else int(row["attempts"])

    def finish(self, request_id: str, also: Callable[[], None] = lambda: None) -> None:
        """Forgets a request.

        Args:
            request_id: which.
            also: what else is written in the same transaction.
        """
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM async_requests WHERE request_id = ?", (request_id,))
            also()


def _request(row: sqlite3.Row) -> AsyncRequest:
    return AsyncRequest(
        row["request_id"],
        row["endpoint"],
        row["accepted_at"],
        row["attempts"],
        json.loads(row["parameters"]),
        json.loads(row["places"]),
        row["body"],
    )
