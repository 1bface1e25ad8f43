"""Multipart uploads: parts in any order and of any size, errors, and what is copied on the way."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from intermodal_engine.store.objects import Details, ObjectInfo, checksums
from intermodal_engine.store.objects.completion import ClaimedPart
from intermodal_engine.store.objects.disk import Disk
from intermodal_engine.store.objects.errors import (
    DigestMismatchError,
    IncompleteBodyError,
    InvalidPartError,
    NoSuchUploadError,
    PartTooSmallError,
)
from intermodal_engine.store.objects.incoming import Announcement
from intermodal_engine.store.objects.upload_rows import Part, Upload
from tests.helpers.object_store import BUCKET, Shelf, opened_shelf, stream_of

MINIMUM = 5 << 20
PATTERN = os.urandom(1 << 16)


class CopyCounter(Disk):
    """Counts the bytes that a completion had to copy."""

    copied = 0

    def copy(self, source: int, start: int, size_bytes: int, target: int, offset: int) -> None:
        self.copied += size_bytes
        super().copy(source, start, size_bytes, target, offset)


@pytest.fixture
def disk() -> CopyCounter:
    return CopyCounter()


@pytest.fixture
def shelf(disk: CopyCounter) -> Iterator[Shelf]:
    with opened_shelf(disk) as shelf:
        yield shelf


def body_of(number: int, size_bytes: int) -> bytes:
    block = bytes([number]) + PATTERN
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def begin(shelf: Shelf, algorithm: str | None = None, kind: str | None = None) -> Upload:
    return shelf.store.uploads.create(BUCKET, "big", Details("x/big"), algorithm, kind)


def send(shelf: Shelf, upload: Upload, number: int, data: bytes) -> Part:
    algorithms = (upload.algorithm,) if upload.algorithm else ()
    announcement = Announcement(len(data), algorithms=algorithms)
    fresh = shelf.store.uploads.get(BUCKET, "big", upload.upload_id)
    return asyncio.run(
        shelf.store.uploads.receive_part(
            fresh, number, stream_of(data[:1000], data[1000:]), announcement
        )
    )


def complete(shelf: Shelf, upload: Upload, parts: list[Part]) -> ObjectInfo:
    claimed = [ClaimedPart(part.number, part.etag) for part in parts]
    return shelf.store.uploads.complete(upload, claimed, {})


@pytest.mark.parametrize(
    ("sizes", "order", "copied"),
    [
        ([MINIMUM, MINIMUM, 7], [1, 2, 3], 0),
        ([MINIMUM, MINIMUM, 7], [2, 3, 1], 0),
        ([MINIMUM, MINIMUM, MINIMUM + 3], [1, 2, 3], MINIMUM + 3),
        ([MINIMUM, 7], [2, 1], MINIMUM + 7),
        ([MINIMUM + 1, MINIMUM, 5], [1, 2, 3], 2 * MINIMUM + 6),
        ([11], [1], 0),
    ],
    ids=["in order", "out of order", "long last", "last first", "uneven", "single"],
)
def test_parts_become_one_object_and_only_misplaced_ones_are_copied(
    shelf: Shelf, disk: CopyCounter, sizes: list[int], order: list[int], copied: int
) -> None:
    upload = begin(shelf)
    bodies = {number: body_of(number, size) for number, size in enumerate(sizes, start=1)}
    parts = {number: send(shelf, upload, number, bodies[number]) for number in order}
    info = complete(shelf, upload, [parts[number] for number in sorted(parts)])
    assert info.path.read_bytes() == b"".join(bodies[number] for number in sorted(bodies))
    digests = b"".join(hashlib.md5(bodies[number]).digest() for number in sorted(bodies))
    assert info.etag == f"{hashlib.md5(digests).hexdigest()}-{len(sizes)}"
    assert info.details.part_sizes == tuple(sizes)
    assert info.content_type == "x/big"
    assert disk.copied == copied
    assert shelf.leftovers() == []


def test_numbers_may_leave_gaps(shelf: Shelf) -> None:
    upload = begin(shelf)
    parts = [send(shelf, upload, 3, body_of(3, MINIMUM)), send(shelf, upload, 9, b"end")]
    assert complete(shelf, upload, parts).path.read_bytes() == body_of(3, MINIMUM) + b"end"


def test_a_part_that_comes_again_replaces_the_first(shelf: Shelf) -> None:
    upload = begin(shelf)
    send(shelf, upload, 1, body_of(1, MINIMUM))
    again = send(shelf, upload, 1, body_of(7, MINIMUM))
    last = send(shelf, upload, 2, b"end")
    assert complete(shelf, upload, [again, last]).path.read_bytes() == body_of(7, MINIMUM) + b"end"


def test_a_part_that_fails_when_it_comes_again_leaves_the_first(shelf: Shelf) -> None:
    upload = begin(shelf)
    first = send(shelf, upload, 1, body_of(1, MINIMUM))
    short = shelf.store.uploads.receive_part(upload, 1, stream_of(b"other"), Announcement(MINIMUM))
    with pytest.raises(IncompleteBodyError):
        asyncio.run(short)
    assert complete(shelf, upload, [first]).path.read_bytes() == body_of(1, MINIMUM)
    assert shelf.leftovers() == []


def test_a_part_that_failed_can_be_sent_again(shelf: Shelf) -> None:
    upload = begin(shelf)
    wrong = shelf.store.uploads.receive_part(
        upload, 1, stream_of(b"abc"), Announcement(3, md5=checksums.encode(bytes(16)))
    )
    with pytest.raises(DigestMismatchError):
        asyncio.run(wrong)
    assert list(shelf.store.uploads.parts(upload)) == []
    part = send(shelf, upload, 1, b"abc")
    assert complete(shelf, upload, [part]).path.read_bytes() == b"abc"


def test_parts_that_the_client_leaves_out_are_not_in_the_object(shelf: Shelf) -> None:
    upload = begin(shelf)
    first = send(shelf, upload, 1, body_of(1, MINIMUM))
    send(shelf, upload, 2, body_of(2, MINIMUM))
    assert complete(shelf, upload, [first]).size_bytes == MINIMUM
    assert shelf.leftovers() == []


def test_a_completion_that_is_refused_leaves_every_part(shelf: Shelf) -> None:
    upload = begin(shelf)
    first = send(shelf, upload, 1, body_of(1, MINIMUM))
    second = send(shelf, upload, 2, b"end")

    def refuse(_current: ObjectInfo | None) -> None:
        raise DigestMismatchError("any", "a", "b")

    with pytest.raises(DigestMismatchError):
        shelf.store.uploads.complete(upload, [ClaimedPart(1, first.etag)], {}, refuse)
    info = complete(shelf, upload, [first, second])
    assert info.path.read_bytes() == body_of(1, MINIMUM) + b"end"


def test_a_part_still_coming_when_the_upload_is_completed_does_not_touch_the_object(
    shelf: Shelf,
) -> None:
    upload = begin(shelf)
    first = send(shelf, upload, 1, body_of(1, MINIMUM))
    upload = shelf.store.uploads.get(BUCKET, "big", upload.upload_id)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 100
        info = await asyncio.to_thread(complete, shelf, upload, [first])
        assert info.size_bytes == MINIMUM
        yield b"x" * 100

    with pytest.raises(NoSuchUploadError):
        asyncio.run(shelf.store.uploads.receive_part(upload, 1, slow(), Announcement(200)))
    assert shelf.store.head(BUCKET, "big").path.read_bytes() == body_of(1, MINIMUM)


def test_what_the_client_claims_must_be_there(shelf: Shelf) -> None:
    upload = begin(shelf)
    first = send(shelf, upload, 1, b"small")
    second = send(shelf, upload, 2, b"end")
    uploads = shelf.store.uploads
    with pytest.raises(InvalidPartError, match="never uploaded"):
        uploads.complete(upload, [ClaimedPart(5, None)], {})
    with pytest.raises(InvalidPartError, match="another ETag"):
        uploads.complete(upload, [ClaimedPart(1, second.etag)], {})
    with pytest.raises(PartTooSmallError, match="part 1 has 5 bytes"):
        uploads.complete(upload, [ClaimedPart(1, first.etag), ClaimedPart(2, second.etag)], {})
    assert shelf.store.find(BUCKET, "big") is None


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_the_whole_has_the_checksum_that_was_asked_for(shelf: Shelf, kind: str) -> None:
    upload = begin(shelf, "CRC32", kind)
    parts = [send(shelf, upload, 1, body_of(1, MINIMUM)), send(shelf, upload, 2, b"end")]
    info = complete(shelf, upload, parts)
    digest = checksums.new_digest("CRC32")
    digest.update(info.path.read_bytes())
    values = [part.checksums["CRC32"] for part in parts]
    expected = {
        "FULL_OBJECT": checksums.encode(digest.digest()),
        "COMPOSITE": checksums.composite("CRC32", values),
    }
    assert info.details.checksums == {"CRC32": expected[kind]}
    assert info.details.checksum_type == kind


def test_an_aborted_upload_is_gone_with_its_parts(shelf: Shelf) -> None:
    upload = begin(shelf)
    send(shelf, upload, 1, b"part")
    shelf.store.uploads.abort(upload)
    assert shelf.leftovers() == []
    with pytest.raises(NoSuchUploadError):
        shelf.store.uploads.get(BUCKET, "big", upload.upload_id)
    with pytest.raises(NoSuchUploadError):
        send(shelf, upload, 2, b"late")


def test_an_open_upload_survives_a_restart(shelf: Shelf) -> None:
    upload = begin(shelf)
    first = send(shelf, upload, 1, body_of(1, MINIMUM))
    shelf.reopen()
    last = send(shelf, upload, 2, b"end")
    assert complete(shelf, upload, [first, last]).size_bytes == MINIMUM + 3


def test_an_upload_that_somebody_else_has_ended_can_be_forgotten(shelf: Shelf) -> None:
    """An abort may come between an object's commit, or its bucket's end, and the upload's."""
    upload = begin(shelf)
    shelf.store.uploads.abort(upload)
    shelf.store.uploads.forget(upload)
    assert shelf.store.uploads.list(BUCKET) == []
    assert shelf.leftovers() == []
