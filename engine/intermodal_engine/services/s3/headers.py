"""What requests say of an object, and what responses say of it: parameters to details and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.store.objects import Details, ObjectInfo, checksums
from intermodal_engine.store.objects.incoming import Announcement, is_base64_md5
from intermodal_engine.wire.errors import ServiceError

OBJECT_LIMIT_BYTES = 5 << 30
_METADATA_LIMIT_BYTES = 2048
_TAGS_LIMIT = 10
_TAG_KEY_LIMIT, _TAG_VALUE_LIMIT = 128, 256
_ENCRYPTION = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")
_STANDARD = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "WebsiteRedirectLocation",
)
_OVERRIDES = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
)


def details_of(call: Call, parameters: Parameters) -> Details:
    """What a request to write says of the object.

    Raises:
        ServiceError: the metadata or the tags are not what S3 takes.
    """
    headers = {
        name: str(parameters[name])
        for name in (*_STANDARD, *_ENCRYPTION, "StorageClass")
        if parameters.get(name) is not None
    }
    if "expires" in call.headers:
        headers["Expires"] = call.headers["expires"]
    metadata = {name.lower(): value for name, value in (parameters.get("Metadata") or {}).items()}
    size = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    if size > _METADATA_LIMIT_BYTES:
        raise ServiceError(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            fields={"Size": size, "MaxSizeAllowed": _METADATA_LIMIT_BYTES},
        )
    tags = parse_qsl(parameters.get("Tagging") or "", keep_blank_values=True)
    return Details(parameters.get("ContentType"), headers, metadata, checked_tags(tags))


def checked_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Tags as a mapping.

    Raises:
        ServiceError: too many, too long, or one key twice.
    """
    tags = dict(pairs)
    if len(pairs) > _TAGS_LIMIT:
        raise ServiceError("BadRequest", "Object tags cannot be greater than 10")
    if len(tags) < len(pairs):
        raise ServiceError("InvalidTag", "Cannot provide multiple Tags with the same key")
    for key, value in pairs:
        if not 0 < len(key) <= _TAG_KEY_LIMIT:
            raise ServiceError("InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > _TAG_VALUE_LIMIT:
            raise ServiceError("InvalidTag", "The TagValue you have provided is invalid")
    return tags


def announcement_of(call: Call, parameters: Parameters) -> Announcement:
    """What a request says of the body that it streams.

    Raises:
        ServiceError: no length, too long, or a digest that is none.
    """
    size_bytes = parameters.get("ContentLength")
    if size_bytes is None:
        raise ServiceError(
            "MissingContentLength", "You must provide the Content-Length HTTP header.", status=411
        )
    if size_bytes > OBJECT_LIMIT_BYTES:
        raise ServiceError(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
            fields={"ProposedSize": size_bytes, "MaxSizeAllowed": OBJECT_LIMIT_BYTES},
        )
    md5 = parameters.get("ContentMD5")
    if md5 is not None and not is_base64_md5(md5):
        raise ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    algorithm = _algorithm(call, parameters)
    return Announcement(
        size_bytes,
        md5,
        () if algorithm is None else (algorithm,),
        # It may come as a trailer: whoever reads the body adds those to the headers at its end.
        lambda: _announced(call.headers),
    )


def announced_in(parameters: Mapping[str, object]) -> dict[str, str]:
    """The `Checksum...` members of a request or of one of its parts."""
    found = {name: parameters.get(f"Checksum{name}") for name in checksums.ALGORITHMS}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def checksums_out(details: Details) -> Parameters:
    """The `Checksum...` members of a response."""
    found: Parameters = {f"Checksum{name}": value for name, value in details.checksums.items()}
    if found:
        found["ChecksumType"] = details.checksum_type
    return found


def encryption_out(details: Details) -> Parameters:
    """The encryption that the client asked for, echoed."""
    found: Parameters = {
        name: details.headers[name] for name in _ENCRYPTION if name in details.headers
    }
    if "BucketKeyEnabled" in found:
        found["BucketKeyEnabled"] = found["BucketKeyEnabled"] == "True"
    return found


def described(info: ObjectInfo, parameters: Parameters) -> Parameters:
    """What GetObject and HeadObject have in common, with the `response-...` overrides."""
    details = info.details
    result: Parameters = {
        "AcceptRanges": "bytes",
        "LastModified": last_modified(info),
        "ContentLength": info.size_bytes,
        "ETag": f'"{info.etag}"',
        "ContentType": info.content_type,
        "Metadata": dict(details.metadata),
        **encryption_out(details),
    }
    for name in (*_STANDARD, "Expires"):
        if name in details.headers:
            result[name] = details.headers[name]
    if details.headers.get("StorageClass", "STANDARD") != "STANDARD":
        result["StorageClass"] = details.headers["StorageClass"]
    if details.tags:
        result["TagCount"] = len(details.tags)
    for name in _OVERRIDES:
        if parameters.get(f"Response{name}") is not None:
            result[name] = parameters[f"Response{name}"]
    if isinstance(result.get("Expires"), str):
        result["Expires"] = _moment(result["Expires"])
    return result


def last_modified(info: ObjectInfo) -> datetime:
    """S3 knows seconds only."""
    return datetime.fromtimestamp(int(info.modified_at), UTC)


def _algorithm(call: Call, parameters: Parameters) -> str | None:
    """The checksum that the body shall have: announced before it, behind it, or only wanted."""
    announced = announced_in(parameters)
    for name, value in announced.items():
        if not checksums.is_well_formed(name, value):
            raise ServiceError(
                "InvalidRequest", f"Value for x-amz-checksum-{name.lower()} header is invalid."
            )
    if len(announced) > 1:
        raise ServiceError(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    trailer = call.headers.get("x-amz-trailer", "").removeprefix("x-amz-checksum-").upper()
    wanted = (*announced, trailer, parameters.get("ChecksumAlgorithm"))
    return next((name for name in wanted if name in checksums.ALGORITHMS), None)


def _announced(headers: Mapping[str, str]) -> dict[str, str]:
    found = {name: headers.get(f"x-amz-checksum-{name.lower()}") for name in checksums.ALGORITHMS}
    return {name: value for name, value in found.items() if value is not None}


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
