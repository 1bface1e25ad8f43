"""What becomes of parts when an upload is completed: which count, and what the whole is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from intermodal_engine.store.objects import checksums
from intermodal_engine.store.objects.errors import (
    DigestMismatchError,
    InvalidPartError,
    PartTooSmallError,
)
from intermodal_engine.store.objects.rows import Details
from intermodal_engine.store.objects.upload_rows import Part, Upload

PART_MINIMUM_BYTES = 5 << 20


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """A part as the request to complete the upload names it.

    Attributes:
        number: the part's number.
        etag: without quotes; None if the request has none.
        checksums: base64 by algorithm.
    """

    number: int
    etag: str | None
    checksums: Mapping[str, str] = field(default_factory=dict)


def chosen(there: Mapping[int, Part], claimed: Sequence[ClaimedPart]) -> list[Part]:
    """The parts that were uploaded and are claimed.

    Raises:
        InvalidPartError: one is not there, or is another.
        PartTooSmallError: one that is not the last has less than 5 MiB.
    """
    parts = []
    for claim in claimed:
        part = there.get(claim.number)
        if part is None:
            raise InvalidPartError(claim.number, f"part {claim.number} was never uploaded")
        if claim.etag is not None and claim.etag != part.etag:
            raise InvalidPartError(claim.number, f"part {claim.number} has another ETag")
        for name, value in claim.checksums.items():
            if part.checksums.get(name, value) != value:
                raise InvalidPartError(claim.number, f"part {claim.number} has another {name}")
        parts.append(part)
    for part in parts[:-1]:
        if part.size_bytes < PART_MINIMUM_BYTES:
            raise PartTooSmallError(part.number, part.size_bytes)
    return parts


def details_of(upload: Upload, parts: Sequence[Part], expected: Mapping[str, str]) -> Details:
    """The object's details, with the checksum of the whole.

    Raises:
        DigestMismatchError: the request announced another.
    """
    sizes = tuple(part.size_bytes for part in parts)
    name = upload.algorithm
    if name is None or not all(name in part.checksums for part in parts):
        return replace(upload.details, part_sizes=sizes)
    values = [part.checksums[name] for part in parts]
    if upload.checksum_type == checksums.FULL_OBJECT:
        whole = checksums.full_object(name, zip(values, sizes, strict=True))
    else:
        whole = checksums.composite(name, values)
    if expected.get(name, whole) != whole:
        raise DigestMismatchError(name, expected[name], whole)
    return replace(
        upload.details,
        part_sizes=sizes,
        checksums={name: whole},
        checksum_type=upload.checksum_type,
    )
