"""GetObject, HeadObject, GetObjectAttributes.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.s3 import conditions, headers, ranges
from intermodal_engine.store.objects import ObjectInfo
from intermodal_engine.wire.http import FileSlice

_PARTS_PAGE = 1000


def head_object(call: Call, parameters: Parameters) -> Parameters:
    """What is known of an object."""
    info = call.backends.objects.head(parameters["Bucket"], parameters["Key"])
    conditions.check_read(parameters, info)
    result, _ = _result(info, parameters)
    return result


def get_object(call: Call, parameters: Parameters) -> Parameters:
    """An object or a range of it."""
    info, file = call.backends.objects.open(parameters["Bucket"], parameters["Key"])
    try:
        conditions.check_read(parameters, info)
        result, part = _result(info, parameters)
    except BaseException:
        file.close()
        raise
    result["Body"] = FileSlice(file, part.start, part.size_bytes)
    return result


def get_object_attributes(call: Call, parameters: Parameters) -> Parameters:
    """Those attributes of an object that the request lists."""
    info = call.backends.objects.head(parameters["Bucket"], parameters["Key"])
    wanted = parameters["ObjectAttributes"]
    checksum = headers.checksums_out(info.details)
    sizes = info.details.part_sizes
    attributes: Parameters = {
        "ETag": info.etag,
        "Checksum": checksum or None,
        "ObjectParts": _parts(sizes, parameters) if sizes else None,
        "StorageClass": info.details.headers.get("StorageClass", "STANDARD"),
        "ObjectSize": info.size_bytes,
    }
    return {
        "LastModified": headers.last_modified(info),
        **{name: attributes[name] for name in wanted if attributes.get(name) is not None},
    }


def _result(info: ObjectInfo, parameters: Parameters) -> tuple[Parameters, ranges.ByteRange]:
    result = headers.described(info, parameters)
    whole = ranges.ByteRange(0, info.size_bytes)
    part = ranges.requested(parameters.get("Range"), info.size_bytes)
    number = parameters.get("PartNumber")
    if number is not None:
        part, count = ranges.of_part(info, number)
        result["PartsCount"] = count or None
    if part is not None and info.size_bytes:
        last = part.start + part.size_bytes - 1
        result["ContentRange"] = f"bytes {part.start}-{last}/{info.size_bytes}"
        result["ContentLength"] = part.size_bytes
    if parameters.get("ChecksumMode") == "ENABLED" and part in (None, whole):
        result |= headers.checksums_out(info.details)
    return result, part or whole


def _parts(sizes: tuple[int, ...], parameters: Parameters) -> Parameters:
    marker = int(parameters.get("PartNumberMarker") or 0)
    limit = parameters.get("MaxParts") or _PARTS_PAGE
    page = [*enumerate(sizes, start=1)][marker : marker + limit]
    last = page[-1][0] if page else marker
    return {
        "TotalPartsCount": len(sizes),
        "PartNumberMarker": str(marker),
        "NextPartNumberMarker": str(last),
        "MaxParts": limit,
        "IsTruncated": last < len(sizes),
    }
