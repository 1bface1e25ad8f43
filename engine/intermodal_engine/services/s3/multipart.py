"""Multipart uploads.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.s3 import conditions, headers, ranges
from intermodal_engine.services.s3.listing import encoded, owner_of, page_limit
from intermodal_engine.services.s3.writing import open_source
from intermodal_engine.store.objects import ObjectInfo, checksums
from intermodal_engine.store.objects.completion import ClaimedPart
from intermodal_engine.store.objects.errors import NoSuchUploadError
from intermodal_engine.store.objects.incoming import md5_of_md5s
from intermodal_engine.store.objects.upload_rows import Part, Upload
from intermodal_engine.wire.errors import ServiceError

_PARTS_LIMIT = 10_000


def create_multipart_upload(call: Call, parameters: Parameters) -> Parameters:
    """Begins an upload."""
    algorithm = parameters.get("ChecksumAlgorithm")
    kind = parameters.get("ChecksumType")
    if algorithm is not None and algorithm not in checksums.ALGORITHMS:
        raise ServiceError(
            "NotImplemented", f"intermodal's engine has no {algorithm} checksums.", status=501
        )
    if algorithm is None and kind is not None:
        raise ServiceError(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm "
            "header.",
        )
    if algorithm is not None:
        kind = kind or checksums.default_type(algorithm)
        if not checksums.supports(algorithm, kind):
            raise ServiceError(
                "InvalidRequest",
                f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum "
                "algorithm.",
            )
    upload = call.backends.objects.uploads.create(
        parameters["Bucket"],
        parameters["Key"],
        headers.details_of(call, parameters),
        algorithm,
        kind,
    )
    return {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "UploadId": upload.upload_id,
        "ChecksumAlgorithm": algorithm,
        "ChecksumType": kind,
        **headers.encryption_out(upload.details),
    }


async def upload_part(call: Call, parameters: Parameters) -> Parameters:
    """Stores the body as one part."""
    upload = _upload(call, parameters)
    number = _number(parameters)
    announcement = headers.announcement_of(call, parameters)
    _check_algorithm(upload, announcement.algorithms)
    part = await call.backends.objects.uploads.receive_part(
        upload, number, parameters["Body"], announcement
    )
    return {
        "ETag": f'"{part.etag}"',
        **_checksums_of(part),
        **headers.encryption_out(upload.details),
    }


def upload_part_copy(call: Call, parameters: Parameters) -> Parameters:
    """Stores an object or a range of it as one part."""
    upload = _upload(call, parameters)
    number = _number(parameters)
    source, file = open_source(call, parameters)
    with file:
        conditions.check_source(parameters, source)
        part = ranges.ByteRange(0, source.size_bytes)
        if parameters.get("CopySourceRange") is not None:
            part = ranges.of_copy(parameters["CopySourceRange"], source.size_bytes)
        copied = call.backends.objects.uploads.copy_part(
            upload, number, file.fileno(), part.start, part.size_bytes
        )
    return {
        "CopyPartResult": {
            "ETag": f'"{copied.etag}"',
            "LastModified": _moment(copied.modified_at),
            **_checksums_of(copied),
        },
        **headers.encryption_out(upload.details),
    }


def complete_multipart_upload(call: Call, parameters: Parameters) -> Parameters:
    """Makes an object of the parts; asked again after it has done so, answers the same."""
    bucket, key = parameters["Bucket"], parameters["Key"]
    claimed = _claimed(parameters)
    uploads = call.backends.objects.uploads
    try:
        upload = uploads.get(bucket, key, parameters["UploadId"])
        _check_size(parameters, uploads.parts(upload), {part.number for part in claimed})
        info = uploads.complete(
            upload,
            claimed,
            headers.announced_in(parameters),
            conditions.of_write(parameters, bucket, key),
        )
    except NoSuchUploadError:
        info = _completed_before(call, parameters["UploadId"], bucket, key, claimed)
    return {
        "Location": f"http://{call.headers.get('host', '')}/{bucket}/{encoded(_URL, key)}",
        "Bucket": bucket,
        "Key": key,
        "ETag": f'"{info.etag}"',
        **headers.checksums_out(info.details),
        **headers.encryption_out(info.details),
    }


def abort_multipart_upload(call: Call, parameters: Parameters) -> Parameters:
    """Ends an upload and frees its parts."""
    call.backends.objects.uploads.abort(_upload(call, parameters))
    return {}


def list_parts(call: Call, parameters: Parameters) -> Parameters:
    """The parts of an open upload."""
    upload = _upload(call, parameters)
    marker = int(parameters.get("PartNumberMarker") or 0)
    limit = page_limit(parameters, "MaxParts")
    parts = [part for part in call.backends.objects.uploads.parts(upload) if part.number > marker]
    page = parts[:limit]
    owner = owner_of(call)
    return {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "UploadId": upload.upload_id,
        "PartNumberMarker": str(marker),
        "NextPartNumberMarker": str(page[-1].number if page else marker),
        "MaxParts": limit,
        "IsTruncated": len(parts) > len(page),
        "Parts": [
            {
                "PartNumber": part.number,
                "LastModified": _moment(part.modified_at),
                "ETag": f'"{part.etag}"',
                "Size": part.size_bytes,
                **_checksums_of(part),
            }
            for part in page
        ],
        "Initiator": owner,
        "Owner": owner,
        "StorageClass": upload.details.headers.get("StorageClass", "STANDARD"),
        "ChecksumAlgorithm": upload.algorithm,
        "ChecksumType": upload.checksum_type,
    }


def list_multipart_uploads(call: Call, parameters: Parameters) -> Parameters:
    """The open uploads of a bucket."""
    bucket, prefix = parameters["Bucket"], parameters.get("Prefix") or ""
    call.backends.objects.bucket(bucket)
    markers = parameters.get("KeyMarker") or "", parameters.get("UploadIdMarker") or ""
    limit = page_limit(parameters, "MaxUploads")
    uploads = [
        upload
        for upload in call.backends.objects.uploads.list(bucket)
        if upload.key.startswith(prefix) and _is_behind(upload, *markers)
    ]
    page = uploads[:limit]
    more = len(uploads) > len(page) and bool(page)
    return {
        "Bucket": bucket,
        "KeyMarker": encoded(parameters, markers[0]),
        "UploadIdMarker": markers[1],
        "NextKeyMarker": encoded(parameters, page[-1].key) if more else None,
        "NextUploadIdMarker": page[-1].upload_id if more else None,
        "Prefix": encoded(parameters, prefix),
        "MaxUploads": limit,
        "IsTruncated": more,
        "Uploads": [_entry(call, parameters, upload) for upload in page],
        "EncodingType": parameters.get("EncodingType"),
    }


_URL = {"EncodingType": "url"}


def _upload(call: Call, parameters: Parameters) -> Upload:
    return call.backends.objects.uploads.get(
        parameters["Bucket"], parameters["Key"], parameters["UploadId"]
    )


def _number(parameters: Parameters) -> int:
    number: int = parameters["PartNumber"]
    if not 1 <= number <= _PARTS_LIMIT:
        raise ServiceError(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            fields={"ArgumentName": "partNumber", "ArgumentValue": number},
        )
    return number


def _check_algorithm(upload: Upload, algorithms: Collection[str]) -> None:
    if upload.algorithm is None or upload.algorithm in algorithms:
        return
    given = next(iter(algorithms), "null").lower()
    raise ServiceError(
        "InvalidRequest",
        f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, "
        f"actual checksum Type: {given}",
    )


def _claimed(parameters: Parameters) -> list[ClaimedPart]:
    parts = (parameters.get("MultipartUpload") or {}).get("Parts") or []
    if not parts:
        raise ServiceError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema: it lists no parts",
        )
    numbers = [part.get("PartNumber") or 0 for part in parts]
    if any(earlier >= later for earlier, later in pairwise(numbers)):
        raise ServiceError(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        )
    return [
        ClaimedPart(number, (part.get("ETag") or "").strip('"') or None, headers.announced_in(part))
        for number, part in zip(numbers, parts, strict=True)
    ]


def _check_size(parameters: Parameters, parts: Sequence[Part], numbers: set[int]) -> None:
    expected = parameters.get("MpuObjectSize")
    actual = sum(part.size_bytes for part in parts if part.number in numbers)
    if expected is not None and int(expected) != actual:
        raise ServiceError(
            "InvalidRequest",
            f"The provided 'x-amz-mp-object-size' header value {expected} does not match what was "
            f"computed: {actual}",
        )


def _completed_before(
    call: Call, upload_id: str, bucket: str, key: str, claimed: list[ClaimedPart]
) -> ObjectInfo:
    """The object that these very parts became, if an earlier answer did not reach the client."""
    info = call.backends.objects.find(bucket, key)
    etags = [part.etag for part in claimed if part.etag is not None]
    if info is None or len(etags) < len(claimed) or info.etag != _etag(etags):
        raise NoSuchUploadError(upload_id)
    return info


def _etag(etags: list[str]) -> str | None:
    try:
        return md5_of_md5s(etags)
    except ValueError:
        return None


def _checksums_of(part: Part) -> Parameters:
    return {f"Checksum{name}": value for name, value in part.checksums.items()}


def _is_behind(upload: Upload, key_marker: str, id_marker: str) -> bool:
    if not id_marker:
        return upload.key > key_marker or not key_marker
    return (upload.key, upload.upload_id) > (key_marker, id_marker)


def _entry(call: Call, parameters: Parameters, upload: Upload) -> Parameters:
    owner = owner_of(call)
    return {
        "UploadId": upload.upload_id,
        "Key": encoded(parameters, upload.key),
        "Initiated": _moment(upload.initiated_at),
        "StorageClass": upload.details.headers.get("StorageClass", "STANDARD"),
        "Owner": owner,
        "Initiator": owner,
        "ChecksumAlgorithm": upload.algorithm,
        "ChecksumType": upload.checksum_type,
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
