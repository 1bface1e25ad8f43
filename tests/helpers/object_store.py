"""Object stores for tests: on a file system in memory where there is one, under a clock by hand."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from intermodal_engine.clock import FakeClock
from intermodal_engine.store.database import Database
from intermodal_engine.store.objects import ObjectStore
from intermodal_engine.store.objects.disk import Disk

_MEMORY = Path("/dev/shm")

BUCKET = "bucket"


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A temporary folder where an fsync costs nothing."""
    parent = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="intermodal-test-", dir=parent) as folder:
        yield Path(folder)


class Shelf:
    """One store and its folder, which a test may close and open again.

    Attributes:
        home: the folder of everything.
        clock: dates objects.
        database: holds the rows.
        store: the store, open.
    """

    def __init__(self, home: Path, disk: Disk | None = None) -> None:
        self.home = home
        self.clock = FakeClock(1_600_000_000.0)
        self._disk = disk
        self.database: Database
        self.store: ObjectStore
        self.open()

    def open(self) -> None:
        """Opens the store as a starting engine does."""
        self.database = Database(self.home / "state.sqlite")
        self.store = ObjectStore(
            self.home / "s3", self.home / "tmp", self.database, self.clock, self._disk
        )
        self.store.recover()

    def close(self) -> None:
        """Lets go of threads and of the database."""
        self.store.close()
        self.database.close()

    def reopen(self) -> None:
        """Stops and starts."""
        self.close()
        self.open()

    @property
    def bucket(self) -> Path:
        """The folder of the tests' bucket."""
        return self.home / "s3" / BUCKET

    def leftovers(self) -> list[Path]:
        """Temporary files that nobody needs any more."""
        return [path for path in (self.home / "tmp").rglob("*") if path.is_file()]


@contextmanager
def opened_shelf(disk: Disk | None = None) -> Iterator[Shelf]:
    """A store with one empty bucket."""
    with fast_folder() as home:
        shelf = Shelf(home, disk)
        shelf.store.create_bucket(BUCKET)
        try:
            yield shelf
        finally:
            shelf.close()


async def stream_of(*chunks: bytes) -> AsyncIterator[bytes]:
    """A body in chunks."""
    for chunk in chunks:
        yield chunk
