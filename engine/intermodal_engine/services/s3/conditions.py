"""Conditional requests: which condition fails, and whether that is a 412 or a 304.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from intermodal_engine.services.call import Parameters
from intermodal_engine.store.objects import NoSuchKeyError, ObjectInfo
from intermodal_engine.store.objects.errors import PreconditionFailedError
from intermodal_engine.store.objects.writing import Condition
from intermodal_engine.wire.errors import ServiceError


def check_read(parameters: Parameters, info: ObjectInfo) -> None:
    """Applies the four conditions of GET and HEAD.

    Raises:
        ServiceError: `PreconditionFailed` (412) or `NotModified` (304).
    """
    failed = _failed(parameters, info, "")
    if failed in ("If-None-Match", "If-Modified-Since"):
        raise ServiceError("NotModified", "Not Modified", status=304)
    if failed:
        raise _precondition_failed(failed)


def check_source(parameters: Parameters, info: ObjectInfo) -> None:
    """Applies the four conditions on the source of a copy; each failure is a 412.

    Raises:
        ServiceError: `PreconditionFailed`.
    """
    failed = _failed(parameters, info, "CopySource")
    if failed:
        raise _precondition_failed(f"x-amz-copy-source-{failed}")


def of_write(parameters: Parameters, bucket: str, key: str) -> Condition | None:
    """What If-Match and If-None-Match ask of the object that a write replaces."""
    match, none_match = parameters.get("IfMatch"), parameters.get("IfNoneMatch")
    if match is None and none_match is None:
        return None
    if none_match not in (None, "*"):
        raise ServiceError(
            "NotImplemented",
            "A header you provided implies functionality that is not implemented: If-None-Match "
            "of a write can only be `*`",
            status=501,
        )

    def check(current: ObjectInfo | None) -> None:
        if none_match is not None and current is not None:
            raise PreconditionFailedError("If-None-Match")
        if match is None:
            return
        if current is None:
            raise NoSuchKeyError(bucket, key)
        if not _matches(match, current):
            raise PreconditionFailedError("If-Match")

    return check


def _failed(parameters: Parameters, info: ObjectInfo, prefix: str) -> str | None:
    """Name of the first condition that does not hold, in the order of RFC 9110, section 13.2.2."""
    match = parameters.get(f"{prefix}IfMatch")
    unmodified = parameters.get(f"{prefix}IfUnmodifiedSince")
    none_match = parameters.get(f"{prefix}IfNoneMatch")
    modified = parameters.get(f"{prefix}IfModifiedSince")
    second = int(info.modified_at)
    if match is not None:
        if not _matches(match, info):
            return "If-Match"
    elif unmodified is not None and second > unmodified.timestamp():
        return "If-Unmodified-Since"
    if none_match is not None:
        if _matches(none_match, info):
            return "If-None-Match"
    elif modified is not None and second <= modified.timestamp():
        return "If-Modified-Since"
    return None


def _matches(header: str, info: ObjectInfo) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or info.etag in tags


def _precondition_failed(condition: str) -> ServiceError:
    return ServiceError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        status=412,
        fields={"Condition": condition},
    )
