"""ListObjects, ListObjectsV2 and ListObjectVersions: pages of keys in the order of their bytes.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import base64
import hashlib
from collections.abc import Callable
from urllib.parse import quote

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.s3 import headers
from intermodal_engine.store.objects import ObjectInfo, Page
from intermodal_engine.store.objects.tree import successor
from intermodal_engine.wire.errors import ServiceError

PAGE_LIMIT = 1000

Encode = Callable[[str], str]


def list_objects(call: Call, parameters: Parameters) -> Parameters:
    """The first version of the listing: goes on behind a marker, which is a key."""
    marker = parameters.get("Marker") or ""
    page = _page(call, parameters, _behind(marker, parameters))
    encode = _encoder(parameters)
    truncated = page.next_start is not None
    names_next = truncated and parameters.get("Delimiter")
    return {
        **_common(call, parameters, page, with_owner=True),
        "Marker": encode(marker),
        "NextMarker": encode(page.last) if names_next and page.last is not None else None,
    }


def list_objects_v2(call: Call, parameters: Parameters) -> Parameters:
    """The second version: goes on where an opaque token says."""
    token = parameters.get("ContinuationToken")
    after = parameters.get("StartAfter") or ""
    start = _start_of(token) if token is not None else _behind(after, parameters)
    page = _page(call, parameters, start)
    owner = bool(parameters.get("FetchOwner"))
    following = page.next_start
    return {
        **_common(call, parameters, page, with_owner=owner),
        "KeyCount": len(page.objects) + len(page.common_prefixes),
        "ContinuationToken": token,
        "NextContinuationToken": None if following is None else _token(following),
        "StartAfter": _encoder(parameters)(after) if after else None,
    }


def list_object_versions(call: Call, parameters: Parameters) -> Parameters:
    """Every object as its only version, as in a bucket that never was versioned."""
    marker = parameters.get("KeyMarker") or ""
    page = _page(call, parameters, _behind(marker, parameters))
    common = _common(call, parameters, page, with_owner=True)
    versions = [
        {**entry, "VersionId": "null", "IsLatest": True} for entry in common.pop("Contents")
    ]
    encode = _encoder(parameters)
    truncated = page.next_start is not None and page.last is not None
    return {
        **common,
        "Versions": versions,
        "KeyMarker": encode(marker),
        "VersionIdMarker": parameters.get("VersionIdMarker") or "",
        "NextKeyMarker": encode(page.last or "") if truncated else None,
        "NextVersionIdMarker": "null" if truncated else None,
    }


def owner_of(call: Call) -> Parameters:
    """The account as S3 names owners: a canonical id of 64 hexadecimal digits."""
    digest = hashlib.sha256(call.account_id.encode()).hexdigest()
    return {"DisplayName": "intermodal", "ID": digest}


def page_limit(parameters: Parameters, name: str) -> int:
    """How many entries a page may have.

    Raises:
        ServiceError: a negative number.
    """
    limit: int = parameters.get(name, PAGE_LIMIT)
    if limit < 0:
        raise ServiceError(
            "InvalidArgument",
            f"Argument {name} must be an integer between 0 and 2147483647",
            fields={"ArgumentName": name, "ArgumentValue": limit},
        )
    return min(limit, PAGE_LIMIT)


def encoded(parameters: Parameters, text: str) -> str:
    """A key as the request wants it written: `encoding-type=url` or as it is."""
    return _encoder(parameters)(text)


def _page(call: Call, parameters: Parameters, start: str | None) -> Page:
    call.backends.objects.bucket(parameters["Bucket"])
    limit = page_limit(parameters, "MaxKeys")
    if start is None or limit == 0:
        return Page([], [])
    return call.backends.objects.list(
        parameters["Bucket"],
        parameters.get("Prefix") or "",
        delimiter=parameters.get("Delimiter") or "",
        start=start,
        limit=limit,
    )


def _common(call: Call, parameters: Parameters, page: Page, *, with_owner: bool) -> Parameters:
    encode = _encoder(parameters)
    owner = owner_of(call) if with_owner else None
    return {
        "IsTruncated": page.next_start is not None,
        "Contents": [_entry(info, encode, owner) for info in page.objects],
        "Name": parameters["Bucket"],
        "Prefix": encode(parameters.get("Prefix") or ""),
        "Delimiter": encode(parameters["Delimiter"]) if parameters.get("Delimiter") else None,
        "MaxKeys": page_limit(parameters, "MaxKeys"),
        "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in page.common_prefixes],
        "EncodingType": parameters.get("EncodingType"),
    }


def _entry(info: ObjectInfo, encode: Encode, owner: Parameters | None) -> Parameters:
    algorithms = list(info.details.checksums)
    return {
        "Key": encode(info.key),
        "LastModified": headers.last_modified(info),
        "ETag": f'"{info.etag}"',
        "ChecksumAlgorithm": algorithms or None,
        "ChecksumType": info.details.checksum_type if algorithms else None,
        "Size": info.size_bytes,
        "StorageClass": info.details.headers.get("StorageClass", "STANDARD"),
        "Owner": owner,
    }


def _behind(marker: str, parameters: Parameters) -> str | None:
    """The first key after a marker; a marker that is a common prefix stands for all keys in it."""
    if not marker:
        return ""
    prefix, delimiter = parameters.get("Prefix") or "", parameters.get("Delimiter") or ""
    end = marker.find(delimiter, len(prefix)) + len(delimiter)
    if delimiter and marker.startswith(prefix) and end == len(marker):
        return successor(marker)
    return marker + "\0"


def _encoder(parameters: Parameters) -> Encode:
    if parameters.get("EncodingType") == "url":
        return lambda text: quote(text, safe="/")
    return lambda text: text


def _token(start: str) -> str:
    return base64.urlsafe_b64encode(start.encode()).decode()


def _start_of(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError as error:
        raise ServiceError(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            fields={"ArgumentName": "continuation-token"},
        ) from error
