"""Stateful sessions of endpoints, kept so that a restarted engine still knows who holds which."""

from collections.abc import Callable

from intermodal_engine.store.database import Database


class SessionRows:
    """The open sessions of all endpoints.

    Args:
        database: where they are kept.
        now: epoch seconds.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def all(self) -> dict[tuple[str, str], tuple[str, float]]:
        """`(endpoint, session)` to `(instance, epoch seconds of its end)`, the oldest first."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT * FROM endpoint_sessions WHERE expires_at > ? ORDER BY expires_at",
                (self._now(),),
            ).fetchall()
        return {
            (row["endpoint"], row["session"]): (row["instance"], row["expires_at"]) for row in rows
        }

    def open(self, endpoint: str, session_id: str, instance: str, expires_at: float) -> None:
        """Keeps a session; those that have expired go."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM endpoint_sessions WHERE expires_at <= ?", (self._now(),)
            )
            connection.execute(
                "INSERT OR REPLACE INTO endpoint_sessions VALUES (?, ?, ?, ?)",
                (endpoint, session_id, instance, expires_at),
            )

    def close(self, endpoint: str, session_id: str) -> None:
        """Forgets a session."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM endpoint_sessions WHERE endpoint = ? AND session = ?",
                (endpoint, session_id),
            )
