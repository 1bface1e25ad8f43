"""The rows about objects: what a client said of one, under the identity of the file it was said of.

A row belongs to a file with a certain inode, size and modification time. It is written before the
file takes its place, so that the rename brings the new bytes and their row into force in one step;
a file that matches no row was dropped in or edited by a person.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from intermodal_engine.store.database import Database
from intermodal_engine.store.objects.checksums import FULL_OBJECT
from intermodal_engine.store.objects.tree import Found


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of an object besides its bytes.

    Attributes:
        content_type: as given; None where nobody gave one.
        headers: further standard headers under S3's parameter names, for example `CacheControl`.
        metadata: the user's own, names in lower case.
        tags: object tags.
        checksums: base64 by algorithm.
        checksum_type: `FULL_OBJECT` or `COMPOSITE`.
        part_sizes: bytes of each part of a multipart upload, in order.
    """

    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str | None = None
    part_sizes: tuple[int, ...] = ()

    def to_json(self) -> str:
        """As it is stored; what is empty is left out."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def from_json(cls, text: str) -> "Details":
        """The reverse of `to_json`."""
        fields = json.loads(text)
        fields["part_sizes"] = tuple(fields.get("part_sizes", ()))
        return cls(**fields)


def with_checksums(details: Details, values: Mapping[str, str]) -> Details:
    """The same, with checksums of the whole object."""
    return replace(details, checksums=values, checksum_type=FULL_OBJECT if values else None)


@dataclass(frozen=True, slots=True)
class Row:
    """One object's row: `etag` is without quotes."""

    etag: str
    details: Details


class Rows:
    """Reads and writes the rows.

    Args:
        database: the engine's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, bucket: str, found: Iterable[Found]) -> dict[str, Row]:
        """The rows of those files that have one, by key."""
        files = {each.key: each.status for each in found}
        marks = ", ".join("?" * len(files))
        with self._database.reader() as connection:
            rows = connection.execute(
                f"SELECT * FROM s3_objects WHERE bucket = ? AND key IN ({marks})",  # noqa: S608 - question marks only
                (bucket, *files),
            ).fetchall()
        return {
            row["key"]: Row(row["etag"], Details.from_json(row["details"]))
            for row in rows
            if _identity(files[row["key"]]) == (row["inode"], row["size_bytes"], row["mtime_ns"])
        }

    def add(self, bucket: str, found: Found, row: Row, keep: Found | None) -> None:
        """Adds the row of a file that is about to take its place; of older ones `keep`'s stays.

        Durable when it returns.
        """
        kept = (-1, -1, -1) if keep is None else _identity(keep.status)
        with self._database.transaction() as connection:
            _drop_but(connection, bucket, found.key, kept)
            _insert(connection, bucket, found, row)

    def note(
        self, bucket: str, rows: Iterable[tuple[Found, Row]], still: Callable[[Found], bool]
    ) -> None:
        """Adds rows of files that are in their places, for those of which `still` says so."""
        with self._database.transaction() as connection:
            for found, row in rows:
                if still(found):
                    _drop_but(connection, bucket, found.key, _identity(found.status))
                    _insert(connection, bucket, found, row)

    def forget(self, bucket: str, key: str) -> None:
        """Removes all rows of the key."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM s3_objects WHERE bucket = ? AND key = ?", (bucket, key))

    def forget_bucket(self, bucket: str) -> None:
        """Removes all rows of a bucket, its own among them."""
        with self._database.transaction() as connection:
            for table in ("s3_objects", "s3_buckets"):
                connection.execute(f"DELETE FROM {table} WHERE bucket = ?", (bucket,))  # noqa: S608 - fixed names

    def add_bucket(self, bucket: str, created_at: float, region: str) -> None:
        """Notes who made a bucket, and when."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO s3_buckets VALUES (?, ?, ?)", (bucket, created_at, region)
            )

    def buckets(self) -> dict[str, tuple[float, str]]:
        """Creation time and region of every bucket that was made through the API."""
        with self._database.reader() as connection:
            rows = connection.execute("SELECT bucket, created_at, region FROM s3_buckets")
            return {row["bucket"]: (row["created_at"], row["region"]) for row in rows}


def _drop_but(
    connection: sqlite3.Connection, bucket: str, key: str, kept: tuple[int, int, int]
) -> None:
    connection.execute(
        "DELETE FROM s3_objects WHERE bucket = ? AND key = ?"
        " AND NOT (inode = ? AND size_bytes = ? AND mtime_ns = ?)",
        (bucket, key, *kept),
    )


def _insert(connection: sqlite3.Connection, bucket: str, found: Found, row: Row) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO s3_objects VALUES (?, ?, ?, ?, ?, ?, ?)",
        (bucket, found.key, *_identity(found.status), row.etag, row.details.to_json()),
    )


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
