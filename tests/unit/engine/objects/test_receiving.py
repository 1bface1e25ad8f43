"""Bodies that stream in: whole, broken off, wrong, or too much for the disk."""

import asyncio
import base64
import errno
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from intermodal_engine.store.objects import Details, ObjectInfo
from intermodal_engine.store.objects.disk import Disk
from intermodal_engine.store.objects.errors import (
    DigestMismatchError,
    IncompleteBodyError,
    NoSuchBucketError,
    PreconditionFailedError,
    StorageFullError,
)
from intermodal_engine.store.objects.incoming import Announcement
from tests.helpers.object_store import BUCKET, Shelf, opened_shelf, stream_of

KEY = "folder/key"


class FullDisk(Disk):
    """Has room for a mebibyte."""

    room = 1 << 20

    def write(self, file: int, offset: int, data: bytes) -> None:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, offset, data)


class Unread(AsyncIterator[bytes]):
    """A body that nobody may read."""

    async def __anext__(self) -> bytes:
        raise AssertionError("the body was read")


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with opened_shelf() as shelf:
        shelf.store.put_bytes(BUCKET, KEY, b"old")
        yield shelf


def receive(
    shelf: Shelf, stream: AsyncIterator[bytes], announcement: Announcement, bucket: str = BUCKET
) -> ObjectInfo:
    return asyncio.run(
        shelf.store.receive(bucket, KEY, stream, announcement=announcement, details=Details("x/y"))
    )


def unharmed(shelf: Shelf) -> None:
    assert shelf.store.head(BUCKET, KEY).path.read_bytes() == b"old"
    assert shelf.leftovers() == []


def test_a_body_of_many_chunks_arrives_whole(shelf: Shelf) -> None:
    chunks = [bytes([number % 256]) * 10_000 for number in range(300)]
    body = b"".join(chunks)
    info = receive(shelf, stream_of(*chunks), Announcement(len(body), algorithms=("SHA256",)))
    assert info.path.read_bytes() == body
    assert info.etag == hashlib.md5(body).hexdigest()
    assert (
        info.details.checksums["SHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    )
    assert info.content_type == "x/y"
    assert shelf.leftovers() == []


@pytest.mark.parametrize("announced", [2, 4])
def test_a_body_of_another_length_than_announced_changes_nothing(
    shelf: Shelf, announced: int
) -> None:
    with pytest.raises(IncompleteBodyError, match=f"announced {announced} bytes of body, 3 came"):
        receive(shelf, stream_of(b"abc"), Announcement(announced))
    unharmed(shelf)


def test_a_body_with_another_md5_than_announced_changes_nothing(shelf: Shelf) -> None:
    with pytest.raises(DigestMismatchError, match="Content-MD5"):
        receive(shelf, stream_of(b"abc"), Announcement(3, md5=base64.b64encode(bytes(16)).decode()))
    unharmed(shelf)


def test_a_checksum_that_comes_behind_the_body_is_compared_too(shelf: Shelf) -> None:
    trailers: dict[str, str] = {}

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        trailers["CRC32"] = "AAAAAA=="

    announcement = Announcement(3, algorithms=("CRC32",), checksums=lambda: trailers)
    with pytest.raises(DigestMismatchError, match="CRC32"):
        receive(shelf, body(), announcement)
    unharmed(shelf)


def test_a_client_that_goes_away_leaves_nothing(shelf: Shelf) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (1 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        receive(shelf, broken(), Announcement(2 << 20))
    unharmed(shelf)


def test_a_request_that_is_cancelled_leaves_nothing(shelf: Shelf) -> None:
    async def cancelled() -> None:
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * (1 << 20)
                started.set()
                await asyncio.sleep(0)

        task = asyncio.create_task(
            shelf.store.receive(
                BUCKET, KEY, endless(), announcement=Announcement(1 << 30), details=Details()
            )
        )
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    unharmed(shelf)


def test_a_full_disk_is_named_and_leaves_nothing() -> None:
    disk = FullDisk()
    with opened_shelf(disk) as shelf:
        shelf.store.put_bytes(BUCKET, KEY, b"old")
        with pytest.raises(StorageFullError, match="no space is left"):
            receive(shelf, stream_of(b"x" * (1 << 20), b"x" * (1 << 20)), Announcement(2 << 20))
        unharmed(shelf)


def test_a_body_larger_than_the_disk_is_refused_before_it_is_read(shelf: Shelf) -> None:
    with pytest.raises(StorageFullError):
        receive(shelf, Unread(), Announcement(1 << 60))


def test_a_missing_bucket_is_named_before_the_body_is_read(shelf: Shelf) -> None:
    with pytest.raises(NoSuchBucketError):
        receive(shelf, Unread(), Announcement(1), bucket="no-such-bucket")


def test_of_writers_that_each_want_to_be_first_one_wins(shelf: Shelf) -> None:
    won: list[int] = []

    def absent(current: ObjectInfo | None) -> None:
        if current is not None:
            raise PreconditionFailedError("If-None-Match")

    def write(number: int) -> None:
        try:
            shelf.store.put_bytes(BUCKET, "lock", b"%d" % number, condition=absent)
        except PreconditionFailedError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert shelf.store.head(BUCKET, "lock").path.read_bytes() == b"%d" % won[0]


def test_writers_and_deleters_around_one_folder_never_fail(shelf: Shelf) -> None:
    failures: list[BaseException] = []

    def churn(key: str) -> None:
        try:
            for _ in range(30):
                shelf.store.put_bytes(BUCKET, key, key.encode())
                shelf.store.delete(BUCKET, key)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(key,)) for key in ("n", "n/a", "n/a/b", "n/")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [info.key for info in shelf.store.iterate(BUCKET)] == [KEY]
    assert [path.name for path in shelf.bucket.iterdir()] == ["folder"]


def test_a_bucket_that_is_deleted_while_an_object_comes_is_named(shelf: Shelf) -> None:
    async def deleting() -> AsyncIterator[bytes]:
        yield b"abc"
        shelf.store.delete(BUCKET, KEY)
        shelf.store.delete_bucket(BUCKET)

    with pytest.raises(NoSuchBucketError):
        receive(shelf, deleting(), Announcement(3))
    assert shelf.store.buckets() == []
    assert shelf.leftovers() == []
