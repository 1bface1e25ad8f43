"""The rows about multipart uploads and their parts."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from intermodal_engine.store.database import Database
from intermodal_engine.store.objects.errors import NoSuchUploadError
from intermodal_engine.store.objects.rows import Details


@dataclass(frozen=True, slots=True)
class Upload:
    """An open multipart upload.

    Attributes:
        upload_id: its id.
        bucket: where the object will lie.
        key: the object's key.
        initiated_at: epoch seconds.
        algorithm: the checksum algorithm that the client chose, if any.
        checksum_type: `FULL_OBJECT` or `COMPOSITE`, with an algorithm.
        details: what the client said of the object.
        slot_bytes: length of a slot in the assembly file, once a part came.
    """

    upload_id: str
    bucket: str
    key: str
    initiated_at: float
    algorithm: str | None
    checksum_type: str | None
    details: Details
    slot_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """An uploaded part.

    Attributes:
        number: 1 to 10,000.
        file: name of the file that holds it, in the upload's folder.
        offset: where in the file it begins.
        size_bytes: its length.
        etag: MD5, without quotes.
        checksums: base64 by algorithm.
        modified_at: epoch seconds.
    """

    number: int
    file: str
    offset: int
    size_bytes: int
    etag: str
    checksums: Mapping[str, str]
    modified_at: float


class UploadRows:
    """Reads and writes the rows.

    Args:
        database: the engine's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, upload: Upload) -> None:
        """Adds an upload."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO s3_uploads VALUES (?, ?, ?, ?, NULL, ?, ?, ?)",
                (
                    upload.upload_id,
                    upload.bucket,
                    upload.key,
                    upload.initiated_at,
                    upload.algorithm,
                    upload.checksum_type,
                    upload.details.to_json(),
                ),
            )

    def get(self, upload_id: str) -> Upload:
        """The upload.

        Raises:
            NoSuchUploadError: it is not open.
        """
        with self._database.reader() as connection:
            row = connection.execute(
                "SELECT * FROM s3_uploads WHERE upload_id = ?", (upload_id,)
            ).fetchone()
        if row is None:
            raise NoSuchUploadError(upload_id)
        return _upload(row)

    def list(self, bucket: str | None = None) -> list[Upload]:
        """Open uploads, of one bucket or all, in the order of their keys and beginnings."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT * FROM s3_uploads WHERE ? IS NULL OR bucket = ?"
                " ORDER BY bucket, key, initiated_at, upload_id",
                (bucket, bucket),
            ).fetchall()
        return [_upload(row) for row in rows]

    def slot_bytes(self, upload_id: str, size_bytes: int) -> int:
        """The length of a slot in the upload's assembly file; the first part that asks sets it.

        Raises:
            NoSuchUploadError: it is not open.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE s3_uploads SET slot_bytes = ? WHERE upload_id = ? AND slot_bytes IS NULL",
                (size_bytes, upload_id),
            )
            row = connection.execute(
                "SELECT slot_bytes FROM s3_uploads WHERE upload_id = ?", (upload_id,)
            ).fetchone()
        if row is None:
            raise NoSuchUploadError(upload_id)
        return int(row["slot_bytes"])

    def add_part(self, upload_id: str, part: Part) -> None:
        """Adds a part, in place of an earlier one of its number.

        Raises:
            NoSuchUploadError: it is not open any more.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT 1 FROM s3_uploads WHERE upload_id = ?", (upload_id,)
            ).fetchone()
            if row is None:
                raise NoSuchUploadError(upload_id)
            connection.execute(
                "INSERT OR REPLACE INTO s3_parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    upload_id,
                    part.number,
                    part.file,
                    part.offset,
                    part.size_bytes,
                    part.etag,
                    json.dumps(dict(part.checksums)),
                    part.modified_at,
                ),
            )

    def has_part(self, upload_id: str, number: int) -> bool:
        """Whether a part of that number came already."""
        with self._database.reader() as connection:
            row = connection.execute(
                "SELECT 1 FROM s3_parts WHERE upload_id = ? AND number = ?", (upload_id, number)
            ).fetchone()
        return row is not None

    def parts(self, upload_id: str) -> dict[int, Part]:
        """The parts of an upload by number, in order."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT * FROM s3_parts WHERE upload_id = ? ORDER BY number", (upload_id,)
            ).fetchall()
        return {row["number"]: _part(row) for row in rows}

    def remove(self, upload_id: str) -> None:
        """Forgets an upload and its parts.

        Raises:
            NoSuchUploadError: it is not open.
        """
        with self._database.transaction() as connection:
            gone = connection.execute("DELETE FROM s3_uploads WHERE upload_id = ?", (upload_id,))
            if gone.rowcount == 0:
                raise NoSuchUploadError(upload_id)
            connection.execute("DELETE FROM s3_parts WHERE upload_id = ?", (upload_id,))


def _upload(row: sqlite3.Row) -> Upload:
    return Upload(
        row["upload_id"],
        row["bucket"],
        row["key"],
        row["initiated_at"],
        row["algorithm"],
        row["checksum_type"],
        Details.from_json(row["details"]),
        row["slot_bytes"],
    )


def _part(row: sqlite3.Row) -> Part:
    return Part(
        row["number"],
        row["file"],
        row["offset_bytes"],
        row["size_bytes"],
        row["etag"],
        json.loads(row["checksums"]),
        row["modified_at"],
    )
