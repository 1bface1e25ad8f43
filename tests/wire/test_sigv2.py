"""Presigned URLs of Signature Version 2, as boto3 makes them for S3 in us-east-1 by default."""

import time

import pytest
from botocore.auth import HmacV1QueryAuth
from botocore.credentials import Credentials as ClientCredentials

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.parse import parse
from intermodal_engine.wire.route import resolve
from intermodal_engine.wire.sigv4 import Credentials, verify
from tests.helpers.signed_requests import KEYS, SESSION, aws_request, lookup
from tests.helpers.wire_clients import on_the_wire


def presigned(
    method: str,
    target: str,
    credentials: Credentials = KEYS,
    headers: dict[str, str] | None = None,
) -> HttpRequest:
    request = aws_request(method, target, b"", headers)
    keys = ClientCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
    HmacV1QueryAuth(keys, expires=60).add_auth(request)
    wire = on_the_wire(request)
    # The URL is all that is handed on.
    wire.headers = {"host": wire.headers["host"]}
    return wire


@pytest.mark.parametrize("credentials", [KEYS, SESSION])
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/data/a%20b/%C3%A9%2Bc"),
        ("GET", "/data/a?versionId=1&response-content-type=text%2Fcsv"),
        ("GET", "/data?list-type=2&prefix=a%2Fb"),
        ("POST", "/data/a?uploads"),
        ("PUT", "/data/a?partNumber=1&uploadId=u"),
    ],
)
def test_what_botocore_presigns_is_accepted_until_it_expires(
    credentials: Credentials, method: str, target: str
) -> None:
    request = presigned(method, target, credentials)
    identity = verify(request, lookup, time.time())
    assert (identity.access_key_id, identity.signing_name) == (credentials.access_key_id, "s3")
    assert identity.body.check(b"anything") == b"anything"
    with pytest.raises(ServiceError, match="AccessDenied: Request has expired"):
        verify(request, lookup, time.time() + 62)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("/data/a", "/data/b", "SignatureDoesNotMatch"),
        ("versionId=1", "versionId=2", "SignatureDoesNotMatch"),
        ("versionId=1", "", "SignatureDoesNotMatch"),
        ("Expires=", "Expires=9", "SignatureDoesNotMatch"),
        ("Expires=", "Expires=x", "AuthorizationQueryParametersError"),
        ("Signature=", "Signatur=", "AuthorizationQueryParametersError"),
        ("AKIAENGINE", "AKIAOTHER", "InvalidAccessKeyId"),
        ("text%2Fcsv", "text%2Fhtml", "SignatureDoesNotMatch"),
        ("x-amz-acl=private", "x-amz-acl=public-read", "SignatureDoesNotMatch"),
        ("versionId=1", "versionId=1&acl", "SignatureDoesNotMatch"),
        ("versionId=1", "versionId=1&attributes", "AccessDenied"),
        ("versionId=1", "versionId=1&X-Amz-Acl=public-read", "AccessDenied"),
    ],
)
def test_such_a_url_cannot_be_bent(old: str, new: str, code: str) -> None:
    headers = {"x-amz-acl": "private", "Content-Type": "text/csv"}
    request = presigned("PUT", "/data/a?versionId=1", headers=headers)
    verify(request, lookup, time.time())
    assert old in request.path + request.query
    request.path = request.path.replace(old, new)
    request.query = request.query.replace(old, new)
    with pytest.raises(ServiceError) as caught:
        verify(request, lookup, time.time())
    assert caught.value.code == code


def test_a_session_key_needs_its_token() -> None:
    bare = Credentials(SESSION.access_key_id, SESSION.secret_access_key)
    with pytest.raises(ServiceError, match="InvalidToken"):
        verify(presigned("GET", "/data/a", bare), lookup, time.time())


def test_headers_that_the_signer_moved_into_the_url_count() -> None:
    headers = {"x-amz-meta-note": "a b", "x-amz-storage-class": "STANDARD_IA"}
    request = presigned("PUT", "/data/a", SESSION, headers)
    verify(request, lookup, time.time())
    assert parse(resolve(request, "s3"), request) == {
        "Bucket": "data",
        "Key": "a",
        "Metadata": {"note": "a b"},
        "StorageClass": "STANDARD_IA",
        "Body": b"",
    }
