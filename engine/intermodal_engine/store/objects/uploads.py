"""Multipart uploads: each byte is written once, at the place in the object where it will stay.

The parts of an upload are written into one sparse *assembly* file, part N at (N - 1) slots, a slot
being as long as the first part that came. A part that is longer, or that comes again, gets a file
of its own. To complete an upload whose parts lie where they belong is a rename; parts that do not
are copied, in the kernel.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from intermodal_engine.store.database import Database
from intermodal_engine.store.objects.completion import ClaimedPart, chosen, details_of
from intermodal_engine.store.objects.disk import Disk, check_room, errors_of, new_name
from intermodal_engine.store.objects.errors import (
    NoSuchUploadError,
)
from intermodal_engine.store.objects.incoming import (
    Announcement,
    Intake,
    Received,
    feed,
    md5_of_md5s,
    pour,
)
from intermodal_engine.store.objects.info import ObjectInfo
from intermodal_engine.store.objects.rows import Details, Row
from intermodal_engine.store.objects.upload_rows import Part, Upload, UploadRows
from intermodal_engine.store.objects.writing import Clock, Condition, Writer, in_worker
from intermodal_engine.store.space import tidying

_ASSEMBLY = "assembly"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part is being written."""

    file: str
    offset: int


class Uploads:
    """Open multipart uploads.

    Args:
        folder: a folder per upload is made in it, on the objects' file system.
        database: holds the rows.
        writer: puts the finished object into its place.
        disk: the durable steps.
        clock: dates parts.
        workers: threads that hash and write.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        writer: Writer,
        disk: Disk,
        clock: Clock,
        workers: Executor,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rows = UploadRows(database)
        self._writer = writer
        self._disk = disk
        self._clock = clock
        self._workers = workers
        self._slots = threading.Lock()
        self._taken: set[tuple[str, int]] = set()
        self._being_completed: set[str] = set()
        self._forgotten: set[str] = set()

    def recover(self) -> None:
        """Clears away folders of uploads that ended."""
        uploads = {upload.upload_id: upload for upload in self._rows.list()}
        for folder in self._folder.iterdir():
            if folder.name not in uploads:
                shutil.rmtree(folder)
        for upload in uploads.values():
            if not (self._folder / upload.upload_id).is_dir():
                self._rows.remove(upload.upload_id)
            elif not (self._folder / upload.upload_id / _ASSEMBLY).exists():
                self.abort(upload)  # it took its place as the object; only this was not yet done

    def create(
        self,
        bucket: str,
        key: str,
        details: Details,
        algorithm: str | None = None,
        checksum_type: str | None = None,
    ) -> Upload:
        """Begins an upload, durably.

        Raises:
            NoSuchBucketError: no such bucket.
            InvalidKeyError: no object can have that key.
        """
        self._writer.check(bucket, key)
        upload = Upload(
            new_name(),
            bucket,
            key,
            self._clock.now(),
            algorithm,
            checksum_type,
            details,
        )
        folder = self._folder / upload.upload_id
        with errors_of(self._folder):
            folder.mkdir()
            os.close(self._disk.create(folder / _ASSEMBLY))
            for changed in (folder, self._folder):
                self._disk.sync_folder(changed)
            self._rows.add(upload)
        return upload

    def get(self, bucket: str, key: str, upload_id: str) -> Upload:
        """The upload of that id.

        Raises:
            NoSuchUploadError: it is not open, or belongs to another key.
        """
        upload = self._rows.get(upload_id)
        if (upload.bucket, upload.key) != (bucket, key) or upload_id in self._forgotten:
            raise NoSuchUploadError(upload_id)
        return upload

    def list(self, bucket: str) -> Sequence[Upload]:
        """The bucket's open uploads in the order of their keys, then of their beginnings."""
        uploads = self._rows.list(bucket)
        return [upload for upload in uploads if upload.upload_id not in self._forgotten]

    def parts(self, upload: Upload) -> Sequence[Part]:
        """The parts that are there, in order of their numbers."""
        return [*self._rows.parts(upload.upload_id).values()]

    async def receive_part(
        self,
        upload: Upload,
        number: int,
        stream: AsyncIterator[bytes],
        announcement: Announcement,
    ) -> Part:
        """Stores one part, durably.

        Raises:
            NoSuchUploadError: it was completed or aborted meanwhile.
            IncompleteBodyError: too short or too long.
            DigestMismatchError: other bytes than announced.
            StorageFullError: the disk has no room.
        """
        size_bytes = announcement.size_bytes
        with self._place(upload, number, size_bytes) as (place, file):
            intake = self._intake(file, place, announcement.algorithms)
            await pour(stream, intake, self._workers)

            def finish() -> Part:
                return self._add(upload, number, place, file, intake.finish(announcement))

            return await in_worker(self._workers, finish)

    def copy_part(
        self, upload: Upload, number: int, source: int, start: int, size_bytes: int
    ) -> Part:
        """Stores a range of an open file as a part, durably.

        Raises:
            NoSuchUploadError: it was completed or aborted meanwhile.
            IncompleteBodyError: the source is shorter.
            StorageFullError: the disk has no room.
        """
        algorithms = [upload.algorithm] if upload.algorithm else []
        with self._place(upload, number, size_bytes) as (place, file):
            intake = self._intake(file, place, algorithms)
            received = feed(source, start, size_bytes, intake)
            return self._add(upload, number, place, file, received)

    def abort(self, upload: Upload) -> None:
        """Ends an upload and frees its parts.

        Raises:
            NoSuchUploadError: it is not open any more.
        """
        self._rows.remove(upload.upload_id)
        self._remove_folder(upload)

    def forget(self, upload: Upload) -> None:
        """Ends an upload that nobody can go on with.

        Where the disk is full its row stays until the next start, and nobody sees it.
        """
        self._forgotten.add(upload.upload_id)
        with tidying():
            with contextlib.suppress(NoSuchUploadError):  # somebody was quicker
                self._rows.remove(upload.upload_id)
            self._forgotten.discard(upload.upload_id)
        self._remove_folder(upload)  # so the next engine knows it has ended

    def complete(
        self,
        upload: Upload,
        claimed: Sequence[ClaimedPart],
        expected: Mapping[str, str],
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Makes an object of the parts, durably.

        Args:
            upload: the upload.
            claimed: the parts, in ascending order of their numbers.
            expected: checksums of the whole object that the request announced.
            condition: checked at the moment of the write.

        Raises:
            InvalidPartError: a part is not there, or is another.
            PartTooSmallError: one that is not the last has less than 5 MiB.
            DigestMismatchError: the whole has another checksum than announced.
            NoSuchBucketError: the bucket is gone.
            PreconditionFailedError: the condition did not hold.
            StorageFullError: the disk has no room.
        """
        there = self._rows.parts(upload.upload_id)
        parts = chosen(there, claimed)
        row = Row(md5_of_md5s(part.etag for part in parts), details_of(upload, parts, expected))
        with self._completing(upload.upload_id) as is_quiet:
            rest = there.keys() - {part.number for part in parts}
            spoils = any(there[number].file == _ASSEMBLY for number in rest)
            with errors_of(self._folder):
                path, file = self._assemble(upload, parts, in_place=is_quiet and not spoils)
            try:
                info = self._writer.commit(upload.bucket, upload.key, path, file, row, condition)
            finally:
                os.close(file)
        self.forget(upload)
        return info

    @contextmanager
    def _place(
        self, upload: Upload, number: int, size_bytes: int | None
    ) -> Iterator[tuple[_Place, int]]:
        """Where the part goes and the open file; a file of its own is gone again if it fails."""
        check_room(self._folder, size_bytes or 0)
        folder = self._folder / upload.upload_id
        slot = (upload.upload_id, number)
        is_taken = size_bytes is not None and self._take_slot(upload, number, size_bytes)
        try:
            if is_taken:
                place = _Place(_ASSEMBLY, (number - 1) * self._slot_bytes(upload, size_bytes or 0))
                file = os.open(folder / _ASSEMBLY, os.O_RDWR | os.O_CLOEXEC)
            else:
                place = _Place(f"part-{number}-{new_name()}", 0)
                file = self._disk.create(folder / place.file)
        except FileNotFoundError as error:
            self._taken.discard(slot)
            raise NoSuchUploadError(upload.upload_id) from error
        try:
            yield place, file
        except BaseException:
            if not is_taken:
                (folder / place.file).unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
            if is_taken:
                self._taken.discard(slot)

    def _take_slot(self, upload: Upload, number: int, size_bytes: int) -> bool:
        """Reserves the part's slot in the assembly file, if the part fits and none was there."""
        if size_bytes > self._slot_bytes(upload, size_bytes):
            return False
        slot = (upload.upload_id, number)
        with self._slots:
            if slot in self._taken or upload.upload_id in self._being_completed:
                return False
            if self._rows.has_part(*slot):
                return False  # the earlier one stays whole until this one is
            self._taken.add(slot)
        return True

    def _slot_bytes(self, upload: Upload, size_bytes: int) -> int:
        return upload.slot_bytes or self._rows.slot_bytes(upload.upload_id, size_bytes)

    def _remove_folder(self, upload: Upload) -> None:
        shutil.rmtree(self._folder / upload.upload_id, ignore_errors=True)

    def _intake(self, file: int, place: _Place, algorithms: Iterable[str]) -> Intake:
        return Intake(self._disk, file, self._folder, place.offset, algorithms)

    def _add(
        self, upload: Upload, number: int, place: _Place, file: int, received: Received
    ) -> Part:
        part = Part(
            number,
            place.file,
            place.offset,
            received.size_bytes,
            received.md5,
            received.checksums,
            self._clock.now(),
        )
        with errors_of(self._folder):
            self._disk.sync(file)
            if place.file != _ASSEMBLY:
                self._disk.sync_folder(self._folder / upload.upload_id)
            self._rows.add_part(upload.upload_id, part)
        return part

    @contextmanager
    def _completing(self, upload_id: str) -> Iterator[bool]:
        """Held while an upload becomes an object; True if nobody writes to its assembly file."""
        with self._slots:
            if upload_id in self._being_completed:
                raise NoSuchUploadError(upload_id)
            self._being_completed.add(upload_id)
            is_quiet = not any(taken == upload_id for taken, _ in self._taken)
        try:
            yield is_quiet
        finally:
            self._being_completed.discard(upload_id)

    def _assemble(
        self, upload: Upload, parts: Sequence[Part], *, in_place: bool
    ) -> tuple[Path, int]:
        """The whole object as one open file in the upload's folder."""
        folder = self._folder / upload.upload_id
        starts = [0, *accumulate(part.size_bytes for part in parts)]
        placed = [*zip(parts, starts, strict=False)]
        in_place = in_place and all(
            part.offset == start for part, start in placed if part.file == _ASSEMBLY
        )
        path = folder / (_ASSEMBLY if in_place else f"joined-{new_name()}")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError as error:
            raise NoSuchUploadError(upload.upload_id) from error
        try:
            for part, start in placed:
                if not (in_place and part.file == _ASSEMBLY):
                    self._copy(folder / part.file, part, file, start)
            os.ftruncate(file, starts[-1])
        except BaseException:
            os.close(file)
            raise
        return path, file

    def _copy(self, source: Path, part: Part, target: int, start: int) -> None:
        with source.open("rb", buffering=0) as file:
            self._disk.copy(file.fileno(), part.offset, part.size_bytes, target, start)
