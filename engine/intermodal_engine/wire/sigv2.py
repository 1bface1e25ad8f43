"""Presigned URLs of Signature Version 2, which boto3 still makes for S3 in us-east-1 by default.

Only these: requests that are signed in their headers must use Version 4.
"""

import base64
import hmac
import re

from intermodal_engine.wire import refusals
from intermodal_engine.wire.body_check import BodyCheck, HashedReader
from intermodal_engine.wire.dialect import Dialect
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.identity import Identity, Lookup
from intermodal_engine.wire.query import Query, parse_query

_PRESIGNED = re.compile(r"(?:^|&)AWSAccessKeyId=")
# The query parameters that are under the signature: those that name another thing than the object.
_RESOURCES = re.compile(
    "accelerate|acl|analytics|cors|delete|inventory|lifecycle|location|logging|metrics"
    "|notification|object-lock|partNumber|policy|replication|requestPayment"
    "|response-(?:cache-control|content-(?:disposition|encoding|language|type)|expires)"
    "|restore|select|select-type|storageClass|tagging|torrent|uploadId|uploads"
    "|versionId|versioning|versions|website"
)
# Those that may be there without being signed: they only choose a part of a listing.
_HARMLESS = re.compile(
    "AWSAccessKeyId|Expires|Signature|content-md5|content-type|continuation-token|delimiter"
    "|encoding-type|fetch-owner|key-marker|list-type|marker|max-keys|max-parts|max-uploads"
    "|part-number-marker|prefix|start-after|upload-id-marker|version-id-marker|x-id|x-amz-.*"
)


def is_presigned(request: HttpRequest) -> bool:
    """Whether the URL carries a signature of Version 2."""
    return _PRESIGNED.search(request.query) is not None


def verify_presigned(request: HttpRequest, lookup: Lookup, now: float) -> Identity:
    """Check the signature of such a URL.

    Raises:
        ServiceError: it does not hold, or its time is over.
    """
    query = parse_query(request.query)
    access_key_id, claimed, expires = (
        query.get(name, [""])[0] for name in ("AWSAccessKeyId", "Signature", "Expires")
    )
    if not (claimed and expires.isascii() and expires.isdecimal() and len(expires) <= 12):
        why = "Query-string authentication version 2 requires AWSAccessKeyId, Signature and Expires"
        raise refusals.malformed(Dialect.S3, why, presigned=True)
    credentials = lookup(access_key_id)
    if credentials is None:
        raise refusals.unknown_key(Dialect.S3, access_key_id)
    headers = _amz_headers(request, query)
    token = headers.get("x-amz-security-token", "")
    if not hmac.compare_digest(token.encode(), (credentials.session_token or "").encode()):
        raise refusals.wrong_session_token(Dialect.S3)
    _refuse_unsigned(query)
    text = _string_to_sign(request, query, headers, expires)
    digest = hmac.digest(credentials.secret_access_key.encode(), text.encode(), "sha1")
    if not hmac.compare_digest(base64.b64encode(digest), claimed.encode()):
        fields = {
            "AWSAccessKeyId": access_key_id,
            "StringToSign": text,
            "SignatureProvided": claimed,
        }
        raise refusals.mismatch(Dialect.S3, fields)
    if now > int(expires):
        raise refusals.expired(Dialect.S3, int(expires), int(expires), now)
    return Identity(access_key_id, "s3", "", BodyCheck(lambda: HashedReader(None)))


def _refuse_unsigned(query: Query) -> None:
    """Version 2 signs only the parameters it knows; any other could have been added since."""
    names = [
        name for name in query if not _RESOURCES.fullmatch(name) and not _HARMLESS.fullmatch(name)
    ]
    if names:
        raise refusals.unsigned_headers(Dialect.S3, names)


def _string_to_sign(
    request: HttpRequest, query: Query, headers: dict[str, str], expires: str
) -> str:
    standard = (_standard(request, query, name) for name in ("content-md5", "content-type"))
    custom = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    resources = [
        f"{name}={value}" if value or f"{name}=" in request.query else name
        for name in sorted(filter(_RESOURCES.fullmatch, query))
        for value in query[name]
    ]
    resource = request.path + ("?" + "&".join(resources) if resources else "")
    return "\n".join([request.method, *standard, expires, custom + resource])


def _standard(request: HttpRequest, query: Query, name: str) -> str:
    return request.headers.get(name, query.get(name, [""])[0]).strip()


def _amz_headers(request: HttpRequest, query: Query) -> dict[str, str]:
    """Headers that are under the signature; the signer may have put them into the query."""
    moved = {
        name.lower(): values[0] for name, values in query.items() if name[:6].lower() == "x-amz-"
    }
    sent = {
        name: value.strip() for name, value in request.headers.items() if name.startswith("x-amz-")
    }
    return moved | sent
