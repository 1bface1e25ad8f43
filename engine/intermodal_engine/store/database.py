"""The engine's SQLite database: connections, transactions, schema versions.

Rows are written in short transactions, one at a time, each durable before it returns
(`synchronous=FULL` in WAL mode). Readers never wait for writers.
"""

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intermodal_engine.store.space import Space, is_disk_full, rows_full

MIGRATIONS: list[str] = [
    # 1: records, their events, tags (store/records.py)
    """
    CREATE TABLE records (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        arn TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at REAL NOT NULL,
        modified_at REAL NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE INDEX records_by_creation ON records (kind, created_at, name);
    CREATE INDEX records_by_arn ON records (arn);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX events_by_record ON events (kind, name, id);
    CREATE TABLE tags (
        arn TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (arn, key)
    ) WITHOUT ROWID;
    """,
    # 2: objects (store/objects/)
    """
    CREATE TABLE s3_buckets (
        bucket TEXT PRIMARY KEY,
        created_at REAL NOT NULL,
        region TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE s3_objects (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        inode INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        etag TEXT NOT NULL,
        details TEXT NOT NULL,
        PRIMARY KEY (bucket, key, inode, size_bytes, mtime_ns)
    ) WITHOUT ROWID;
    CREATE TABLE s3_uploads (
        upload_id TEXT PRIMARY KEY,
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        initiated_at REAL NOT NULL,
        boot_id TEXT NOT NULL,
        slot_bytes INTEGER,
        algorithm TEXT,
        checksum_type TEXT,
        details TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket, key, upload_id);
    CREATE TABLE s3_parts (
        upload_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        file TEXT NOT NULL,
        offset_bytes INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        etag TEXT NOT NULL,
        checksums TEXT NOT NULL,
        modified_at REAL NOT NULL,
        PRIMARY KEY (upload_id, number)
    ) WITHOUT ROWID;
    """,
    # 3: metrics of jobs (store/metric_points.py)
    """
    CREATE TABLE metric_points (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        metric TEXT NOT NULL,
        at REAL NOT NULL,
        value REAL NOT NULL,
        source TEXT NOT NULL,
        UNIQUE (kind, name, metric, source)
    );
    CREATE INDEX metric_points_by_time ON metric_points (kind, name, metric, at);
    """,
    """
    CREATE TABLE metric_series (
        id INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL,
        metric TEXT NOT NULL,
        dimensions TEXT NOT NULL,
        unit TEXT NOT NULL,
        last_at INTEGER NOT NULL,
        UNIQUE (namespace, metric, dimensions, unit)
    );
    CREATE TABLE statistic_sets (
        series INTEGER NOT NULL,
        at INTEGER NOT NULL,
        period_s INTEGER NOT NULL,
        count REAL NOT NULL,
        total REAL NOT NULL,
        minimum REAL NOT NULL,
        maximum REAL NOT NULL,
        PRIMARY KEY (series, at, period_s)
    ) WITHOUT ROWID;
    CREATE INDEX statistic_sets_by_age ON statistic_sets (period_s, at);
    """,
    """
    CREATE TABLE value_bins (
        series INTEGER NOT NULL,
        at INTEGER NOT NULL,
        period_s INTEGER NOT NULL,
        bin INTEGER NOT NULL,
        count REAL NOT NULL,
        PRIMARY KEY (series, at, period_s, bin)
    ) WITHOUT ROWID;
    CREATE INDEX value_bins_by_age ON value_bins (period_s, at);
    """,
    # stateful sessions (store/session_rows.py)
    """
    CREATE TABLE endpoint_sessions (
        endpoint TEXT NOT NULL,
        session TEXT NOT NULL,
        instance TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (endpoint, session)
    ) WITHOUT ROWID;
    CREATE INDEX endpoint_sessions_by_end ON endpoint_sessions (expires_at);
    """,
    # asynchronous invocations (store/async_requests.py)
    """
    CREATE TABLE async_requests (
        request_id TEXT PRIMARY KEY,
        endpoint TEXT NOT NULL,
        accepted_at REAL NOT NULL,
        attempts INTEGER NOT NULL,
        parameters TEXT NOT NULL,
        places TEXT NOT NULL,
        body BLOB
    ) WITHOUT ROWID;
    """,
    # on their way to subscribers: store/deliveries.py
    """
    CREATE TABLE deliveries (
        delivery_id TEXT PRIMARY KEY,
        topic TEXT NOT NULL,
        url TEXT NOT NULL,
        headers TEXT NOT NULL,
        body TEXT NOT NULL,
        failures INTEGER NOT NULL,
        due_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    # parts are durable: what a reboot may have lost need not be looked for
    """
    ALTER TABLE s3_uploads DROP COLUMN boot_id;
    """,
]
"""One script a schema version, in order. Append; never edit what has shipped."""


RESERVE_BYTES = 4 << 20
"""Enough for thousands of rows; little enough for the smallest disk."""


class DatabaseTooNewError(Exception):
    """The file was written by a later version of the engine."""


class Reserve:
    """Room kept free on the disk, so that the engine can still write down that the disk is full.

    Args:
        path: the file that holds the room.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_held = False

    def restore(self) -> None:
        """Takes the room again where it was given up and the disk has plenty."""
        if self._is_held:
            return
        try:
            if self._path.exists():
                self._is_held = True
            elif shutil.disk_usage(self._path.parent).free > 4 * RESERVE_BYTES:
                with self._path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
                self._is_held = True
        except OSError:
            self.spend()

    def spend(self) -> None:
        """Gives the room up."""
        self._path.unlink(missing_ok=True)
        self._is_held = False


class Database:
    """One SQLite file, opened once per engine.

    Args:
        path: the file; made, with its folder, where missing.
        space: says whether anything can be written; None: the disk itself does.

    Raises:
        DatabaseTooNewError: a later version wrote the file.
    """

    def __init__(self, path: Path, space: Space | None = None) -> None:
        self._path = path
        self._space = space
        self._write_lock = threading.RLock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._connections_lock = threading.Lock()
        self._reserve = Reserve(path.with_name("reserve"))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._migrate()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed durably at exit, rolled back on an exception.

        Nested use joins the outer transaction. Where the disk is full the transaction fails, and
        the next one has the reserve's room.
        """
        with self._write_lock:
            connection = self._connection()
            if connection.in_transaction:
                yield connection
                return
            self._reserve.restore()
            changes = connection.total_changes
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                self._check_space(connection.total_changes - changes)
                connection.execute("COMMIT")
            except BaseException as error:
                _roll_back(connection)
                if is_disk_full(error) and not self._is_told_full:
                    self._reserve.spend()
                raise

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; never waits for a writer."""
        yield self._connection()

    def close(self) -> None:
        """Closes every connection. Call once nothing uses the database any more."""
        with self._connections_lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    @property
    def _is_told_full(self) -> bool:
        """Whether the disk only plays at being full; what is held in reserve stays."""
        return self._space is not None and self._space.is_full

    def _check_space(self, changes: int) -> None:
        if changes and self._is_told_full:
            raise rows_full()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
            with self._connections_lock:
                self._connections.append(connection)
        return connection

    def _migrate(self) -> None:
        connection = self._connection()
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise DatabaseTooNewError(
                f"`{self._path}` has schema version {version}, this engine knows up to "
                f"{len(MIGRATIONS)}: update intermodal, or name another home with `--home`"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            # One script, one transaction: a crash leaves the old version whole.
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version={number};\nCOMMIT;"
            )


def _roll_back(connection: sqlite3.Connection) -> None:
    """Ends a failed transaction; SQLite itself has done so where the disk is full."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
