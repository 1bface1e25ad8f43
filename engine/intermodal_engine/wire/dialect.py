"""Which of AWS's manners a request expects before anything about it is known for certain.

An error can arise before the request is routed (a wrong signature, an unknown service); it must
still be put so that the client's SDK understands it.
"""

import re
from enum import StrEnum

from intermodal_engine.wire.http import HttpRequest

_SCOPE = re.compile(r"Credential=[^/,\s]*/[^/,\s]*/[^/,\s]*/([^/,\s]*)/aws4_request")
_QUERY_SCOPE = re.compile(
    r"(?:^|&)X-Amz-Credential=[^&]*?(?:/|%2F)([^/%&]*)(?:/|%2F)aws4_request", re.IGNORECASE
)
_ACTION = re.compile(r"(?:^|&)Action=")


class Dialect(StrEnum):
    """A family of error codes and error bodies."""

    JSON = "json"
    REST_JSON = "rest-json"
    QUERY = "query"
    S3 = "s3"
    CBOR = "smithy-rpc-v2-cbor"


def claimed_signing_name(request: HttpRequest) -> str | None:
    """The service in the credential scope, not verified."""
    authorization = request.headers.get("authorization")
    found = _SCOPE.search(authorization) if authorization else _QUERY_SCOPE.search(request.query)
    return found[1] if found else None


def is_form(request: HttpRequest) -> bool:
    """Whether the body is a form, so that the operation's name may be in it."""
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def dialect_of(request: HttpRequest, signing_name: str | None = None) -> Dialect:
    """The best guess at what the client understands."""
    signing_name = signing_name or claimed_signing_name(request)
    if signing_name == "s3":
        return Dialect.S3
    if "x-amz-target" in request.headers:
        return Dialect.JSON
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return Dialect.CBOR
    if is_form(request) or _ACTION.search(request.query):
        return Dialect.QUERY
    if signing_name is None and not request.path.startswith("/endpoints/"):
        return Dialect.S3
    return Dialect.REST_JSON
