"""What S3 does in its own way and the model does not say.

Root elements, error bodies, statuses, and headers that belong to the framing of a body.
"""

import base64
import re

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest, HttpResponse
from intermodal_engine.wire.query import Query
from intermodal_engine.wire.xml_body import DECLARATION, escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_SIGNATURE_PART = re.compile(
    "X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token)",
    re.IGNORECASE,
)

ROOTS = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
}
"""Root elements of results, where they are not called like the output's shape."""

STATUSES = {
    "AccessDenied": 403,
    "BucketAlreadyExists": 409,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "ConditionalRequestConflict": 409,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidRange": 416,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchBucketPolicy": 404,
    "NoSuchCORSConfiguration": 404,
    "NoSuchKey": 404,
    "NoSuchLifecycleConfiguration": 404,
    "NoSuchTagSet": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NoSuchWebsiteConfiguration": 404,
    "NotFound": 404,
    "NotImplemented": 501,
    "NotModified": 304,
    "ObjectLockConfigurationNotFoundError": 404,
    "OperationAborted": 409,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
}
"""Statuses of codes that the model does not list; any other is 400."""


def request_id_headers(request_id: str) -> list[tuple[str, str]]:
    """The two identifiers that every S3 response carries."""
    return [("x-amz-request-id", request_id), ("x-amz-id-2", _host_id(request_id))]


def error(error: ServiceError, status: int, request_id: str, request: HttpRequest) -> HttpResponse:
    """An error as S3 puts it; 304 has no body."""
    headers = request_id_headers(request_id)
    if status == 304:
        return HttpResponse(status, headers)
    resource = {} if "Resource" in error.fields else {"Resource": request.path}
    parts = {
        "Code": error.code,
        "Message": error.message,
        **error.fields,
        **resource,
        "RequestId": request_id,
        "HostId": _host_id(request_id),
    }
    inner = "".join(
        f"<{name}>{escape(str(value))}</{name}>"
        for name, value in parts.items()
        if value is not None
    )
    headers.append(("Content-Type", "application/xml"))
    return HttpResponse(status, headers, f"{DECLARATION}<Error>{inner}</Error>".encode())


def effective_headers(headers: dict[str, str], query: Query) -> dict[str, str]:
    """The headers as S3 acts on them.

    Signers of presigned URLs move `x-amz-` headers into the query; and what only frames the body
    as `aws-chunked` is no property of the object.
    """
    moved = {
        name.lower(): values[0]
        for name, values in query.items()
        if name[:6].lower() == "x-amz-" and not _SIGNATURE_PART.fullmatch(name)
    }
    effective = moved | headers
    if "x-amz-decoded-content-length" in headers:
        effective["content-length"] = headers["x-amz-decoded-content-length"]
    if "aws-chunked" in headers.get("content-encoding", ""):
        codings = map(str.strip, effective.pop("content-encoding").split(","))
        if kept := [one for one in codings if one not in ("", "aws-chunked")]:
            effective["content-encoding"] = ", ".join(kept)
    return effective


def _host_id(request_id: str) -> str:
    return base64.b64encode(request_id.encode()).decode("ascii")
