"""How a new file becomes an object: temporary file, fsync, row, rename, fsync of the folder."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from intermodal_engine.store.objects import keys
from intermodal_engine.store.objects.catalogue import Catalogue
from intermodal_engine.store.objects.disk import Disk, check_room, errors_of, new_name
from intermodal_engine.store.objects.incoming import Intake
from intermodal_engine.store.objects.info import ObjectInfo
from intermodal_engine.store.objects.layout import Layout
from intermodal_engine.store.objects.rows import Row, Rows
from intermodal_engine.store.objects.tree import Found
from intermodal_engine.store.space import tidying

_READ_BYTES = 1 << 20

Condition = Callable[[ObjectInfo | None], None]
"""Called with what is there, at the moment of the write; raises PreconditionFailedError."""

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Epoch seconds."""


class Writer:
    """Puts finished files into their places.

    Args:
        layout: the places.
        rows: the rows.
        catalogue: describes what is there.
        disk: the durable steps.
        scratch: folder for temporary files, on the file system of the objects.
        clock: dates new objects.
    """

    def __init__(
        self,
        layout: Layout,
        rows: Rows,
        catalogue: Catalogue,
        disk: Disk,
        scratch: Path,
        clock: Clock,
    ) -> None:
        self._layout = layout
        self._rows = rows
        self._catalogue = catalogue
        self._disk = disk
        self._scratch = scratch
        self._clock = clock

    def check(self, bucket: str, key: str) -> None:
        """Refuses what could not be stored in the end.

        Raises:
            NoSuchBucketError: no such bucket.
            InvalidKeyError: no object can have that key.
        """
        keys.check_key(key)
        self._layout.bucket(bucket)

    @contextmanager
    def temporary(self, size_bytes: int) -> Iterator[tuple[Path, int]]:
        """A new file and its descriptor; gone at exit unless it took its place.

        Raises:
            StorageFullError: that many bytes are not free.
        """
        check_room(self._scratch, size_bytes)
        path = self._scratch / new_name()
        with errors_of(self._scratch):
            file = self._disk.create(path)
        try:
            yield path, file
        finally:
            os.close(file)
            path.unlink(missing_ok=True)

    def intake(self, file: int, algorithms: Iterable[str] = ()) -> Intake:
        """Takes bytes into a temporary file."""
        return Intake(self._disk, file, self._scratch, 0, algorithms)

    def commit(
        self,
        bucket: str,
        key: str,
        path: Path,
        file: int,
        row: Row,
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Makes the file the key's object, durably.

        Raises:
            NoSuchBucketError: the bucket is gone.
            PreconditionFailedError: the condition did not hold.
            StorageFullError: the disk has no room.
        """
        now_ns = int(self._clock.now() * 1e9)
        with errors_of(self._scratch):
            os.utime(file, ns=(now_ns, now_ns))
            self._disk.sync(file)
        found = Found(key, path, os.fstat(file))
        with self._catalogue.writing(bucket, key):
            current = self._layout.find(bucket, key)
            if condition is not None:
                condition(self._described(bucket, current))
            with errors_of(self._layout.root):
                self._rows.add(bucket, found, row, keep=current)
                path = self._layout.place(bucket, key, path)
        return self._catalogue.info(bucket, Found(key, path, found.status), row)

    def remove(self, bucket: str, key: str, condition: Condition | None = None) -> bool:
        """Removes the key's object, durably; says whether there was one.

        Raises:
            NoSuchBucketError: no such bucket.
            PreconditionFailedError: the condition did not hold.
        """
        with self._catalogue.writing(bucket, key):
            if condition is not None:
                condition(self._described(bucket, self._layout.find(bucket, key)))
            removed = self._layout.remove(bucket, key)
            if removed:
                with tidying():  # a row without its file says nothing
                    self._rows.forget(bucket, key)
        return removed

    def _described(self, bucket: str, found: Found | None) -> ObjectInfo | None:
        return (
            None if found is None else next(iter(self._catalogue.describe(bucket, [found])), None)
        )


async def in_worker(executor: Executor, work: Callable[[], T]) -> T:
    """Runs `work` in a thread; a cancelled caller goes only once it has ended."""
    future = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
