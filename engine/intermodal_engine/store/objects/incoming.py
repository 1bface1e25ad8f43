"""Bytes on their way to the disk: hashed and written by a worker thread while the next ones come.

The event loop only collects chunks into batches of half a mebibyte; at most two batches of a body
are in memory. What comes is MD5 (for the ETag) and the checksums that the client asked for.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from intermodal_engine.store.objects import checksums
from intermodal_engine.store.objects.disk import Disk, errors_of
from intermodal_engine.store.objects.errors import DigestMismatchError, IncompleteBodyError

_BATCH_BYTES = 1 << 19


def _nothing() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a request says of its body.

    Attributes:
        size_bytes: the body's length, where it is known beforehand.
        md5: base64 of Content-MD5.
        algorithms: checksums to compute.
        checksums: base64 by algorithm, as announced; asked for once the body has ended, because
            they may come behind it.
    """

    size_bytes: int | None = None
    md5: str | None = None
    algorithms: Collection[str] = ()
    checksums: Callable[[], Mapping[str, str]] = _nothing


@dataclass(frozen=True, slots=True)
class Received:
    """What came.

    Attributes:
        size_bytes: how much.
        md5: hexadecimal.
        checksums: base64 by algorithm.
    """

    size_bytes: int
    md5: str
    checksums: Mapping[str, str] = field(default_factory=dict)


class Intake:
    """Takes one body into an open file.

    Args:
        disk: writes.
        file: descriptor; stays the caller's.
        folder: the file's, named where the disk is full.
        offset: where in the file the body begins.
        algorithms: checksums to compute besides MD5.
    """

    def __init__(
        self, disk: Disk, file: int, folder: Path, offset: int, algorithms: Iterable[str]
    ) -> None:
        self._disk = disk
        self._file = file
        self._folder = folder
        self._offset = offset
        self._size = 0
        self._md5 = checksums.new_digest("MD5")
        self._digests = {name: checksums.new_digest(name) for name in algorithms}

    def take(self, data: bytes) -> None:
        """Hashes and writes the next bytes.

        Raises:
            StorageFullError: the disk has no room.
        """
        self._md5.update(data)
        for digest in self._digests.values():
            digest.update(data)
        with errors_of(self._folder):
            self._disk.write(self._file, self._offset + self._size, data)
        self._size += len(data)

    def finish(self, announcement: Announcement) -> Received:
        """Compares what came with what was announced.

        Raises:
            IncompleteBodyError: too short or too long.
            DigestMismatchError: other bytes.
        """
        expected = announcement.size_bytes
        if expected is not None and expected != self._size:
            raise IncompleteBodyError(
                f"the request announced {expected} bytes of body, {self._size} came"
            )
        md5 = self._md5.digest()
        found = {name: checksums.encode(digest.digest()) for name, digest in self._digests.items()}
        if announcement.md5 is not None and announcement.md5 != checksums.encode(md5):
            raise DigestMismatchError("Content-MD5", announcement.md5, checksums.encode(md5))
        for name, value in announcement.checksums().items():
            if name in found and found[name] != value:
                raise DigestMismatchError(name, value, found[name])
        return Received(self._size, md5.hex(), found)


async def pour(stream: AsyncIterator[bytes], intake: Intake, executor: Executor) -> None:
    """Feeds a stream to an intake; a worker thread hashes and writes while the next chunks come."""
    loop = asyncio.get_running_loop()
    working: asyncio.Future[None] | None = None
    batch: list[bytes] = []
    size = 0
    try:
        async for chunk in stream:
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH_BYTES:
                if working is not None:
                    await working
                working = loop.run_in_executor(executor, intake.take, b"".join(batch))
                batch, size = [], 0
        if working is not None:
            await working
        if batch:
            working = loop.run_in_executor(executor, intake.take, b"".join(batch))
            await working
    finally:
        if working is not None and not working.done():
            await asyncio.wait([working])  # the file is the worker's until then


def feed(source: int, start: int, size_bytes: int, intake: Intake) -> Received:
    """Feeds a range of an open file to an intake.

    Raises:
        IncompleteBodyError: the source is shorter.
        StorageFullError: the disk has no room.
    """
    end = start + size_bytes
    while start < end and (data := os.pread(source, min(_BATCH_BYTES, end - start), start)):
        intake.take(data)
        start += len(data)
    return intake.finish(Announcement(size_bytes))


def md5_of_md5s(etags: Iterable[str]) -> str:
    """The ETag of a multipart object from those of its parts."""
    digest, count = checksums.new_digest("MD5"), 0
    for etag in etags:
        digest.update(bytes.fromhex(etag))
        count += 1
    return f"{digest.digest().hex()}-{count}"


def is_base64_md5(value: str) -> bool:
    """Whether `value` can be a Content-MD5."""
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except ValueError:
        return False
