"""Notifications on their way to subscribers: what a restart must not lose."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from intermodal_engine.store.database import Database


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one subscriber.

    Attributes:
        delivery_id: UUID.
        topic: ARN.
        url: where it goes.
        headers: of the request.
        body: of the request.
        failures: tries that failed.
        due_at: epoch seconds of the next try.
    """

    delivery_id: str
    topic: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    failures: int = 0
    due_at: float = 0.0


class Deliveries:
    """All that have not arrived.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, one: Delivery) -> None:
        """Keeps one, in the transaction that is open."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(one.delivery_id, one.topic, one.url, json.dumps(dict(one.headers))),
                    *(one.body, one.failures, one.due_at),
                ),
            )

    def ids(self) -> list[str]:
        """All, the first due first."""
        with self._database.reader() as connection:
            rows = connection.execute("SELECT delivery_id FROM deliveries ORDER BY due_at")
            return [row["delivery_id"] for row in rows]

    def find(self, delivery_id: str) -> Delivery | None:
        """One, or None once it is over; waits for the transaction that may be adding it."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM deliveries WHERE delivery_id = ?", (delivery_id,)
            ).fetchone()
        if row is None:
            return None
        return Delivery(
            *(row["delivery_id"], row["topic"], row["url"], json.loads(row["headers"])),
            *(row["body"], row["failures"], row["due_at"]),
        )

    def postpone(self, delivery_id: str, due_at: float) -> None:
        """A try has failed, and there is another one."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET failures = failures + 1, due_at = ? WHERE delivery_id = ?",
                (due_at, delivery_id),
            )

    def remove(self, delivery_id: str) -> None:
        """It has arrived, or never will."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM deliveries WHERE delivery_id = ?", (delivery_id,))
