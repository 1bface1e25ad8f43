"""Records and their events: what a job, a model or an endpoint is, and what happened to it.

A record is one row: who it is, its status, the request that made it, and the engine's own state
about it. Every change is written together with the events that explain it, in one transaction.
"""

import copy
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from intermodal_engine.clock import Clock
from intermodal_engine.store.database import Database

SORT_COLUMNS = {"Name": "name", "CreationTime": "created_at", "Status": "status"}
"""AWS's `SortBy` values and the columns that they mean."""


class RecordExistsError(Exception):
    """The name is taken."""


class RecordNotFoundError(Exception):
    """There is no such record."""


class InvalidTokenError(Exception):
    """A pagination token that was not made by this listing."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        kind: `training-job`, `model`, `endpoint-config`, `endpoint`, ...
        name: unique within its kind.
        arn: its AWS name.
        status: the primary status; empty for kinds without one.
        created_at: epoch seconds.
        modified_at: epoch seconds.
        request: the parameters of the Create call.
        state: what the engine learnt since.
    """

    kind: str
    name: str
    arn: str
    status: str
    created_at: float
    modified_at: float
    request: dict[str, Any]
    state: dict[str, Any]


@dataclass(slots=True)
class Draft:
    """A record while it is being changed. `status`, `request` and `state` may be set freely."""

    record: Record
    status: str
    request: dict[str, Any]
    state: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def note(self, event: str, **data: Any) -> None:
        """Adds an event to those written with the change."""
        self.events.append((event, data))


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only event log. `at` is in epoch seconds."""

    at: float
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What a List operation asks for; times in epoch seconds, bounds as AWS has them.

    Attributes:
        name_contains: case-sensitive part of the name.
        status: exact status.
        created_after: strictly later.
        created_before: strictly earlier.
        modified_after: strictly later.
        modified_before: strictly earlier.
        sort_by: key of SORT_COLUMNS.
        descending: newest, or last, first.
        limit: page size.
        token: the previous page's token.
        state_equals: dotted paths into the state, and the text that must be there.
    """

    name_contains: str | None = None
    status: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    modified_after: float | None = None
    modified_before: float | None = None
    sort_by: str = "CreationTime"
    descending: bool = True
    limit: int = 10
    token: str | None = None
    state_equals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `next_token` is None on the last one."""

    records: tuple[Record, ...]
    next_token: str | None


class Records:
    """All records of one engine.

    Args:
        database: where they are kept.
        clock: stamps creations, changes and events.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever the block changes is there as a whole or not at all."""
        with self._database.transaction():
            yield

    def insert(
        self,
        kind: str,
        name: str,
        *,
        arn: str,
        request: Mapping[str, Any],
        status: str = "",
        state: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Record:
        """Adds a record, its tags and its `Created` event.

        Raises:
            RecordExistsError: the name is taken.
        """
        now = self._clock.now()
        with self._database.transaction() as connection:
            try:
                connection.execute(
                    "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (kind, name, arn, status, now, now, _dump(request), _dump(state or {})),
                )
            except sqlite3.IntegrityError as error:
                raise RecordExistsError(name) from error
            connection.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)",
                [(arn, key, value) for key, value in (tags or {}).items()],
            )
            _append(connection, now, kind, name, "Created", {"status": status})
        return self.get(kind, name)

    def get(self, kind: str, name: str) -> Record:
        """One record.

        Raises:
            RecordNotFoundError: there is none.
        """
        found = self.find(kind, name)
        if found is None:
            raise RecordNotFoundError(name)
        return found

    def find(self, kind: str, name: str) -> Record | None:
        """One record, or None."""
        with self._database.reader() as connection:
            row = connection.execute(
                "SELECT * FROM records WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return _record(row) if row else None

    @contextmanager
    def edit(self, kind: str, name: str) -> Iterator[Draft]:
        """Changes a record: read, changed and written in one transaction, with its events.

        Nothing is written if the block raises or changes nothing.

        Raises:
            RecordNotFoundError: there is none.
        """
        with self._database.transaction() as connection:
            record = self.get(kind, name)
            draft = Draft(
                record, record.status, copy.deepcopy(record.request), copy.deepcopy(record.state)
            )
            yield draft
            after = (draft.status, draft.request, draft.state)
            if after == (record.status, record.request, record.state) and not draft.events:
                return
            now = self._clock.now()
            connection.execute(
                "UPDATE records SET status = ?, request = ?, state = ?, modified_at = ? "
                "WHERE kind = ? AND name = ?",
                (draft.status, _dump(draft.request), _dump(draft.state), now, kind, name),
            )
            for event, data in draft.events:
                _append(connection, now, kind, name, event, data)

    def delete(self, kind: str, name: str) -> None:
        """Removes a record and its tags; its events stay, with a `Deleted` one at the end.

        Raises:
            RecordNotFoundError: there is none.
        """
        with self._database.transaction() as connection:
            record = self.get(kind, name)
            connection.execute("DELETE FROM records WHERE kind = ? AND name = ?", (kind, name))
            connection.execute("DELETE FROM tags WHERE arn = ?", (record.arn,))
            _append(connection, self._clock.now(), kind, name, "Deleted", {})

    def all(self, kind: str, *statuses: str) -> list[Record]:
        """Every record of a kind, oldest first; only those with one of `statuses` if any given."""
        marks = ",".join("?" * len(statuses))
        condition = f" AND status IN ({marks})" if statuses else ""
        with self._database.reader() as connection:
            rows = connection.execute(
                f"SELECT * FROM records WHERE kind = ?{condition} ORDER BY created_at, name",  # noqa: S608 - only `?` marks are put in
                (kind, *statuses),
            ).fetchall()
        return [_record(row) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many records there are, by kind and status."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT kind, status, count(*) AS many FROM records GROUP BY kind, status "
                "ORDER BY kind, status"
            ).fetchall()
        return {(row["kind"], row["status"]): row["many"] for row in rows}

    def page(self, kind: str, query: Query) -> Page:
        """One page of a listing.

        Raises:
            InvalidTokenError: the token is not one of this listing's.
        """
        conditions, values = _conditions(query)
        column = SORT_COLUMNS[query.sort_by]
        direction, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
        if query.token is not None:
            conditions.append(f"({column}, name) {beyond} (?, ?)")
            values.extend(_read_token(query.token))
        where = "".join(f" AND {condition}" for condition in conditions)
        with self._database.reader() as connection:
            rows = connection.execute(
                f"SELECT * FROM records WHERE kind = ?{where} "  # noqa: S608 - columns come from a constant
                f"ORDER BY {column} {direction}, name {direction} LIMIT ?",
                (kind, *values, query.limit + 1),
            ).fetchall()
        records = tuple(_record(row) for row in rows[: query.limit])
        more = len(rows) > query.limit
        token = json.dumps([rows[query.limit - 1][column], records[-1].name]) if more else None
        return Page(records, token.encode().hex() if token else None)

    def events(self, kind: str, name: str) -> list[Event]:
        """What happened to a record, in order."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT at, type, data FROM events WHERE kind = ? AND name = ? ORDER BY id",
                (kind, name),
            ).fetchall()
        return [Event(row["at"], row["type"], json.loads(row["data"])) for row in rows]

    def find_by_arn(self, arn: str) -> Record | None:
        """The record with that ARN, or None."""
        with self._database.reader() as connection:
            row = connection.execute("SELECT * FROM records WHERE arn = ?", (arn,)).fetchone()
        return _record(row) if row else None

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of whatever has that ARN, sorted by key."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,)
            ).fetchall()
        return {row["key"]: row["value"] for row in rows}

    def add_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Adds tags; a key that is there already gets the new value."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)",
                [(arn, key, value) for key, value in tags.items()],
            )

    def delete_tags(self, arn: str, keys: list[str]) -> None:
        """Removes tags; keys that are not there are ignored."""
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys]
            )


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    candidates = [
        ("instr(name, ?) > 0", query.name_contains),
        ("status = ?", query.status),
        ("created_at > ?", query.created_after),
        ("created_at < ?", query.created_before),
        ("modified_at > ?", query.modified_after),
        ("modified_at < ?", query.modified_before),
    ]
    wanted = [(condition, value) for condition, value in candidates if value is not None]
    conditions = [condition for condition, _ in wanted]
    values: list[Any] = [value for _, value in wanted]
    for path, value in query.state_equals.items():
        conditions.append("json_extract(state, ?) = ?")
        values += [f"$.{path}", value]
    return conditions, values


def _read_token(token: str) -> list[Any]:
    try:
        place = json.loads(bytes.fromhex(token))
    except ValueError as error:
        raise InvalidTokenError(token) from error
    if not isinstance(place, list) or len(place) != 2:
        raise InvalidTokenError(token)
    return place


def _append(
    connection: sqlite3.Connection, at: float, kind: str, name: str, event: str, data: Any
) -> None:
    connection.execute(
        "INSERT INTO events (at, kind, name, type, data) VALUES (?, ?, ?, ?, ?)",
        (at, kind, name, event, _dump(data)),
    )


def _record(row: sqlite3.Row) -> Record:
    return Record(
        kind=row["kind"],
        name=row["name"],
        arn=row["arn"],
        status=row["status"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
        request=json.loads(row["request"]),
        state=json.loads(row["state"]),
    )


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
