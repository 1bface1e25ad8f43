"""Buckets and objects: what a file, its row and its place mean together.

A write goes: temporary file in the scratch folder, fsync, row under the file's identity, rename
into place, fsync of the folder. A crash before the rename leaves the old object and its row in
force, one after it the new; `recover` clears away what nobody will claim.
"""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from intermodal_engine.store.database import Database
from intermodal_engine.store.objects import keys, views
from intermodal_engine.store.objects.catalogue import Catalogue
from intermodal_engine.store.objects.disk import Disk
from intermodal_engine.store.objects.errors import BucketNotEmptyError, NoSuchKeyError
from intermodal_engine.store.objects.incoming import Announcement, feed, pour
from intermodal_engine.store.objects.info import BucketInfo, ObjectInfo, Page
from intermodal_engine.store.objects.layout import Layout
from intermodal_engine.store.objects.rows import Details, Row, Rows, with_checksums
from intermodal_engine.store.objects.tree import CommonPrefix, Found, Walk, successor
from intermodal_engine.store.objects.uploads import Uploads
from intermodal_engine.store.objects.writing import Clock, Condition, Writer, in_worker
from intermodal_engine.store.space import tidying

_WORKERS = 4
_PAGE = 1000


class ObjectStore:
    """All buckets. Every method but the `receive` ones is synchronous and thread-safe.

    Args:
        root: folder of the buckets.
        scratch: folder for temporary files. Where it lies on another file system than the buckets,
            a hidden folder among the buckets takes its place, since files are renamed into place.
        database: holds the rows.
        clock: dates new objects.
        disk: the durable steps; a test may put its own in between.

    Attributes:
        uploads: multipart uploads.
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        database: Database,
        clock: Clock,
        disk: Disk | None = None,
    ) -> None:
        self._disk = disk or Disk()
        self._layout = Layout(root, self._disk)
        if not _share_a_file_system(scratch, self._layout.root):
            scratch = self._layout.root / ".scratch"
        self._scratch = scratch / "objects"
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._rows = Rows(database)
        self._catalogue = Catalogue(self._layout, self._rows)
        self._clock = clock
        self._writer = Writer(
            self._layout, self._rows, self._catalogue, self._disk, self._scratch, clock
        )
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="objects")
        self.uploads = Uploads(
            scratch / "uploads", database, self._writer, self._disk, clock, self._workers
        )

    def recover(self) -> None:
        """Clears away what a crash left. Call once, before anything else."""
        for leftover in self._scratch.iterdir():
            self._disk.remove(leftover)
        self.uploads.recover()

    def close(self) -> None:
        """Ends the worker threads."""
        self._workers.shutdown()

    # -- buckets

    def create_bucket(self, bucket: str, region: str = "us-east-1") -> None:
        """Makes a bucket, durably.

        Raises:
            BucketExistsError: it is there already.
        """
        self._layout.create_bucket(bucket)
        try:
            self._rows.add_bucket(bucket, self._clock.now(), region)
        except BaseException:
            with contextlib.suppress(BucketNotEmptyError):  # somebody was quicker
                self._layout.delete_bucket(bucket)
            raise

    def bucket(self, bucket: str) -> BucketInfo:
        """Says what is known of a bucket.

        Raises:
            NoSuchBucketError: there is none.
        """
        return self._describe_bucket(bucket, self._rows.buckets())

    def buckets(self) -> list[BucketInfo]:
        """All buckets, in order of their names."""
        rows = self._rows.buckets()
        return [self._describe_bucket(name, rows) for name in self._layout.buckets()]

    def delete_bucket(self, bucket: str) -> None:
        """Removes an empty bucket.

        Raises:
            NoSuchBucketError: there is none.
            BucketNotEmptyError: it holds objects, or files that are none.
        """
        self._layout.delete_bucket(bucket)
        for upload in self.uploads.list(bucket):
            self.uploads.forget(upload)
        with tidying():
            self._rows.forget_bucket(bucket)

    # -- reading

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """Says what is known of an object.

        Raises:
            NoSuchBucketError: no such bucket.
            NoSuchKeyError: no such object.
        """
        info = self.find(bucket, key)
        if info is None:
            raise NoSuchKeyError(bucket, key)
        return info

    def find(self, bucket: str, key: str) -> ObjectInfo | None:
        """As `head`, but None where there is no such object."""
        keys.check_key(key)
        found = self._layout.find(bucket, key)
        return None if found is None else self._catalogue.describe(bucket, [found])[0]

    def open(self, bucket: str, key: str) -> tuple[ObjectInfo, BinaryIO]:
        """The object and its open file, which stays the same if it is overwritten or deleted.

        Raises:
            NoSuchBucketError: no such bucket.
            NoSuchKeyError: no such object.
        """
        while True:
            info = self.head(bucket, key)
            try:
                file = info.path.open("rb", buffering=0)
            except FileNotFoundError:
                continue  # replaced or moved beside a folder meanwhile
            status = os.fstat(file.fileno())
            described = self._catalogue.describe(bucket, [Found(key, info.path, status)])[0]
            return described, file

    def list(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        start: str = "",
        limit: int = _PAGE,
    ) -> Page:
        """Lists objects in the order of their keys' UTF-8 bytes.

        Args:
            bucket: the bucket.
            prefix: only keys that begin with it.
            delimiter: rolls up keys that hold it behind the prefix.
            start: only keys that are not less.
            limit: at most so many objects and common prefixes.

        Raises:
            NoSuchBucketError: no such bucket.
        """
        folder = self._layout.bucket(bucket)
        walk = Walk(folder, self._layout.root, prefix, start, delimiter)
        entries = [*islice(walk, limit)]
        found = [entry for entry in entries if isinstance(entry, Found)]
        prefixes = [entry.text for entry in entries if isinstance(entry, CommonPrefix)]
        last = _name_of(entries[-1]) if entries else None
        more = len(entries) == limit > 0 and next(walk, None) is not None
        return Page(
            self._catalogue.describe(bucket, found),
            prefixes,
            last,
            _behind(entries[-1]) if more else None,
        )

    def iterate(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object under a prefix, in the order of keys.

        Raises:
            NoSuchBucketError: no such bucket.
        """
        walk = Walk(self._layout.bucket(bucket), self._layout.root, prefix)
        while batch := [entry for entry in islice(walk, _PAGE) if isinstance(entry, Found)]:
            yield from self._catalogue.describe(bucket, batch)

    def folder_view(self, bucket: str, prefix: str) -> Path | None:
        """The folder that shows exactly the objects under `prefix`, under the rest of their keys.

        Returns:
            None where no folder does: other keys share the prefix, or a name in it is escaped.

        Raises:
            NoSuchBucketError: no such bucket.
        """
        return views.folder_view(self._layout, bucket, prefix)

    # -- writing

    def put_bytes(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Stores an object, durably.

        Raises:
            NoSuchBucketError: no such bucket.
            InvalidKeyError: no object can have that key.
            StorageFullError: the disk has no room.
        """
        self._writer.check(bucket, key)
        with self._writer.temporary(len(data)) as (path, file):
            intake = self._writer.intake(file)
            intake.take(data)
            row = Row(intake.finish(Announcement()).md5, Details(content_type))
            return self._writer.commit(bucket, key, path, file, row, condition)

    def put_file(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        content_type: str | None = None,
        move: bool = True,
    ) -> ObjectInfo:
        """Stores a finished file as an object, durably.

        Args:
            bucket: the bucket.
            key: the key.
            path: the file; nobody may write to it any more.
            content_type: what it is.
            move: the file is gone afterwards; on the same file system no byte is copied.

        Raises:
            NoSuchBucketError: no such bucket.
            InvalidKeyError: no object can have that key.
            StorageFullError: the disk has no room.
        """
        self._writer.check(bucket, key)
        with path.open("rb") as source:
            if move and self._can_take(source.fileno()):
                etag = hashlib.file_digest(source, "md5").hexdigest()
                row = Row(etag, Details(content_type))
                return self._writer.commit(bucket, key, path, source.fileno(), row)
            info = self._copy(source.fileno(), bucket, key, Details(content_type), (), None)
        if move:
            path.unlink()
        return info

    def copy(
        self,
        source: BinaryIO,
        bucket: str,
        key: str,
        *,
        details: Details,
        algorithms: Collection[str] = (),
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Stores a copy of an object's open file, durably.

        Raises:
            NoSuchBucketError: no such bucket.
            InvalidKeyError: no object can have that key.
            StorageFullError: the disk has no room.
        """
        self._writer.check(bucket, key)
        return self._copy(source.fileno(), bucket, key, details, algorithms, condition)

    async def receive(
        self,
        bucket: str,
        key: str,
        stream: AsyncIterator[bytes],
        *,
        announcement: Announcement,
        details: Details,
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Stores what a stream brings, durably; nothing of it is left when it fails.

        Raises:
            NoSuchBucketError: no such bucket.
            InvalidKeyError: no object can have that key.
            IncompleteBodyError: too short or too long.
            DigestMismatchError: other bytes than announced.
            PreconditionFailedError: the condition did not hold.
            StorageFullError: the disk has no room.
        """
        self._writer.check(bucket, key)
        with self._writer.temporary(announcement.size_bytes or 0) as (path, file):
            intake = self._writer.intake(file, announcement.algorithms)
            await pour(stream, intake, self._workers)

            def finish() -> ObjectInfo:
                received = intake.finish(announcement)
                row = Row(received.md5, with_checksums(details, received.checksums))
                return self._writer.commit(bucket, key, path, file, row, condition)

            return await in_worker(self._workers, finish)

    def delete(self, bucket: str, key: str, *, condition: Condition | None = None) -> bool:
        """Removes an object, durably.

        Returns:
            Whether there was one.

        Raises:
            NoSuchBucketError: no such bucket.
            PreconditionFailedError: the condition did not hold.
        """
        keys.check_key(key)
        return self._writer.remove(bucket, key, condition)

    def describe_anew(self, info: ObjectInfo, details: Details) -> None:
        """Says other things of an object whose bytes stay the same, durably.

        Raises:
            NoSuchKeyError: it was overwritten or deleted meanwhile.
        """
        if not self._catalogue.describe_anew(info, details):
            raise NoSuchKeyError(info.bucket, info.key)

    def _copy(
        self,
        source: int,
        bucket: str,
        key: str,
        details: Details,
        algorithms: Collection[str],
        condition: Condition | None,
    ) -> ObjectInfo:
        size = os.fstat(source).st_size
        with self._writer.temporary(size) as (path, file):
            received = feed(source, 0, size, self._writer.intake(file, algorithms))
            row = Row(received.md5, with_checksums(details, received.checksums))
            return self._writer.commit(bucket, key, path, file, row, condition)

    def _can_take(self, file: int) -> bool:
        status = os.fstat(file)
        return status.st_nlink == 1 and status.st_dev == self._layout.root.stat().st_dev

    def _describe_bucket(self, bucket: str, rows: Mapping[str, tuple[float, str]]) -> BucketInfo:
        made_at = self._layout.bucket(bucket).stat().st_ctime
        created_at, region = rows.get(bucket, (made_at, None))
        return BucketInfo(bucket, created_at, region)


def _share_a_file_system(first: Path, second: Path) -> bool:
    first.mkdir(parents=True, exist_ok=True)
    return first.stat().st_dev == second.stat().st_dev


def _behind(entry: Found | CommonPrefix) -> str | None:
    return successor(entry.text) if isinstance(entry, CommonPrefix) else entry.key + "\0"


def _name_of(entry: Found | CommonPrefix) -> str:
    return entry.text if isinstance(entry, CommonPrefix) else entry.key
