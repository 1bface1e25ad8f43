"""Byte ranges of GET, HEAD and UploadPartCopy."""

import re
from dataclasses import dataclass

from intermodal_engine.store.objects import ObjectInfo
from intermodal_engine.wire.errors import ServiceError

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of an object: `size_bytes` from `start` on."""

    start: int
    size_bytes: int


def requested(header: str | None, size_bytes: int) -> ByteRange | None:
    """The range that a `Range` header asks for; None where the whole object is to be sent.

    As on S3, a header that is none or that asks for several ranges means the whole object.

    Raises:
        ServiceError: `InvalidRange`, it lies behind the object's end.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start = max(0, size_bytes - int(found[2]))
        end = size_bytes - 1 if int(found[2]) else -1
    else:
        start = int(found[1])
        end = min(int(found[2]), size_bytes - 1) if found[2] else size_bytes - 1
        if found[2] and int(found[2]) < start:
            return None
    if start > end:
        raise ServiceError(
            "InvalidRange",
            "The requested range is not satisfiable",
            status=416,
            fields={"RangeRequested": header, "ActualObjectSize": size_bytes},
        )
    return ByteRange(start, end - start + 1)


def of_part(info: ObjectInfo, number: int) -> tuple[ByteRange, int]:
    """Where part `number` of an object lies, and how many parts there are.

    Raises:
        ServiceError: `InvalidPartNumber`, it has fewer parts.
    """
    sizes = info.details.part_sizes or (info.size_bytes,)
    if not 1 <= number <= len(sizes):
        raise ServiceError(
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
            status=416,
            fields={"PartNumberRequested": number, "ActualPartCount": len(sizes)},
        )
    return ByteRange(sum(sizes[: number - 1]), sizes[number - 1]), len(info.details.part_sizes)


def of_copy(header: str, size_bytes: int) -> ByteRange:
    """The range of an UploadPartCopy, which has to be written out and to lie in the source.

    Raises:
        ServiceError: `InvalidArgument` or `InvalidRange`.
    """
    found = _RANGE.fullmatch(header)
    if found is None or not (found[1] and found[2]) or int(found[2]) < int(found[1]):
        raise ServiceError(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
        )
    if int(found[2]) >= size_bytes:
        raise ServiceError(
            "InvalidRange",
            f"Range specified is not valid for source object of size: {size_bytes}",
            status=416,
        )
    return ByteRange(int(found[1]), int(found[2]) - int(found[1]) + 1)
