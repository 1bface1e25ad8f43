"""What AWS's signers sign is accepted; whatever is changed afterwards is refused."""

import time
from collections.abc import Callable

import pytest

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.sigv4 import Credentials, Identity, verify
from tests.helpers.signed_requests import (
    KEYS,
    REGION,
    SESSION,
    aws_request,
    epoch,
    lookup,
    signed,
)

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def accept(request: HttpRequest, now: float | None = None) -> Identity:
    identity = verify(request, lookup, time.time() if now is None else now)
    assert identity.body.check(request.body) == request.body
    return identity


def refuse(request: HttpRequest, now: float | None = None) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        accept(request, now)
    return caught.value


def with_headers(request: HttpRequest, **changes: str | None) -> HttpRequest:
    headers = dict(request.headers)
    for name, value in changes.items():
        name = name.replace("_", "-")
        headers.pop(name, None)
        if value is not None:
            headers[name] = value
    return HttpRequest(request.method, request.path, request.query, headers, request.body)


@pytest.mark.parametrize(
    ("method", "target", "headers", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"range": "bytes=0-9", "x-amz-content-sha256": EMPTY},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-content-sha256": (
                    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
                ),
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            {"x-amz-content-sha256": EMPTY},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?prefix=J&max-keys=2",
            {"x-amz-content-sha256": EMPTY},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_that_aws_publishes_for_s3_are_accepted(
    method: str, target: str, headers: dict[str, str], signature: str
) -> None:
    all_headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
    } | headers
    all_headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={';'.join(sorted(all_headers))},Signature={signature}"
    )
    path, _, query = target.partition("?")
    body = b"Welcome to Amazon S3." if method == "PUT" else b""
    request = HttpRequest(method, path, query, all_headers, body)
    identity = verify(request, lambda _: EXAMPLE, epoch("20130524T000000Z"))
    assert identity.body.check(body) == body


def test_the_example_that_aws_publishes_for_presigned_urls_is_accepted_for_a_day() -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = HttpRequest("GET", "/test.txt", query, {"host": "examplebucket.s3.amazonaws.com"})
    verify(request, lambda _: EXAMPLE, epoch("20130524T235959Z"))
    with pytest.raises(ServiceError, match="AccessDenied: Request has expired"):
        verify(request, lambda _: EXAMPLE, epoch("20130525T000001Z"))


@pytest.mark.parametrize("signing_name", ["s3", "sagemaker", "sts"])
@pytest.mark.parametrize("credentials", [KEYS, SESSION])
@pytest.mark.parametrize(
    ("method", "target", "body", "headers"),
    [
        ("GET", "/", b"", {}),
        ("POST", "/", b'{"a": 1}', {"X-Amz-Target": "SageMaker.ListModels"}),
        ("PUT", "/data/a%20b/%E4%B8%AD%2Bc//d/./e", b"body", {}),
        ("PUT", "/data/key", b"x" * 100_000, {"x-amz-meta-Note": "  two   spaces "}),
        ("GET", "/data?prefix=a%2Fb&list-type=2&delimiter=&Zulu=1&alpha=%C3%A9", b"", {}),
        ("GET", "/data?uploads", b"", {}),
        ("POST", "/endpoints/my-model%20x/invocations", b"1,2", {"Content-Type": "text/csv"}),
    ],
)
def test_what_botocore_signs_is_accepted(
    signing_name: str,
    credentials: Credentials,
    method: str,
    target: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    request = signed(aws_request(method, target, body, headers), signing_name, credentials)
    identity = accept(request)
    assert identity.access_key_id == credentials.access_key_id
    assert (identity.signing_name, identity.region) == (signing_name, REGION)


@pytest.mark.parametrize("credentials", [KEYS, SESSION])
@pytest.mark.parametrize(
    ("signing_name", "method", "target"),
    [
        ("s3", "GET", "/data/a%20b?versionId=1"),
        ("s3", "PUT", "/data/key"),
        ("sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15"),
    ],
)
def test_what_botocore_presigns_is_accepted_until_it_expires(
    signing_name: str, credentials: Credentials, method: str, target: str
) -> None:
    request = signed(aws_request(method, target), signing_name, credentials, expires_s=60)
    accept(request)
    accept(request, time.time() + 55)
    error = refuse(request, time.time() + 62)
    assert error.code == ("AccessDenied" if signing_name == "s3" else "SignatureDoesNotMatch")
    assert "expired" in error.message


def test_the_body_of_a_presigned_upload_to_s3_is_free() -> None:
    request = signed(aws_request("PUT", "/data/key"), "s3", expires_s=60)
    request.body = b"anything"
    accept(request)


MUTATIONS: dict[str, Callable[[HttpRequest], HttpRequest]] = {
    "method": lambda r: HttpRequest("DELETE", r.path, r.query, r.headers, r.body),
    "path": lambda r: HttpRequest(r.method, r.path + "x", r.query, r.headers, r.body),
    "query": lambda r: HttpRequest(r.method, r.path, r.query + "&x=1", r.headers, r.body),
    "query value": lambda r: HttpRequest(
        r.method, r.path, r.query.replace("v=1", "v=2"), r.headers, r.body
    ),
    "header": lambda r: with_headers(r, x_amz_meta_note="altered"),
    "host": lambda r: with_headers(r, host="127.0.0.1:8766"),
    "date": lambda r: with_headers(r, x_amz_date=r.headers["x-amz-date"][:-2] + "xZ"),
    "later date": lambda r: with_headers(r, x_amz_date=_other_second(r.headers["x-amz-date"])),
    "body": lambda r: HttpRequest(r.method, r.path, r.query, r.headers, r.body[:-1] + b"!"),
    "longer body": lambda r: HttpRequest(r.method, r.path, r.query, r.headers, r.body + b"!"),
    "no body": lambda r: HttpRequest(r.method, r.path, r.query, r.headers, b""),
    "signature": lambda r: with_headers(
        r, authorization=r.headers["authorization"][:-1] + _other_digit(r)
    ),
    "region": lambda r: with_headers(
        r, authorization=r.headers["authorization"].replace(REGION, "us-east-1")
    ),
    "service": lambda r: with_headers(
        r, authorization=r.headers["authorization"].replace("/aws4_request", "x/aws4_request")
    ),
    "key": lambda r: with_headers(
        r, authorization=r.headers["authorization"].replace("AKIAENGINE", "AKIAOTHER")
    ),
    "added header": lambda r: with_headers(r, x_amz_acl="public-read"),
    "token": lambda r: with_headers(r, x_amz_security_token="x"),
    "no header": lambda r: with_headers(r, authorization=None),
}


def _other_second(amz_date: str) -> str:
    return amz_date[:-3] + ("1" if amz_date[-3] == "0" else "0") + amz_date[-2:]


def _other_digit(request: HttpRequest) -> str:
    return "0" if request.headers["authorization"][-1] != "0" else "1"


@pytest.mark.parametrize("signing_name", ["s3", "sagemaker", "sts"])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_whatever_is_changed_after_signing_is_refused(signing_name: str, mutation: str) -> None:
    headers = {"x-amz-meta-note": "a", "Content-Type": "application/x-www-form-urlencoded"}
    request = signed(aws_request("POST", "/data/key?v=1", b"a=body", headers), signing_name)
    accept(request)
    error = refuse(MUTATIONS[mutation](request))
    assert error.status in (400, 403)


def test_another_secret_is_refused() -> None:
    request = signed(aws_request("GET", "/data"), "s3", Credentials("AKIAENGINE", "the-secre7"))
    error = refuse(request)
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert error.fields["StringToSign"].startswith("AWS4-HMAC-SHA256\n")


def test_a_session_key_needs_its_token() -> None:
    request = signed(
        aws_request("GET", "/data"), "s3", Credentials("ASIASESSION", "another-secret")
    )
    assert refuse(request).code == "InvalidToken"


@pytest.mark.parametrize(
    ("signing_name", "headers", "codes"),
    [
        (
            "s3",
            {},
            (
                "AccessDenied 403",
                "InvalidAccessKeyId 403",
                "SignatureDoesNotMatch 403",
                "RequestTimeTooSkewed 403",
                "AuthorizationHeaderMalformed 400",
            ),
        ),
        (
            "sagemaker",
            {"X-Amz-Target": "SageMaker.ListModels"},
            (
                "MissingAuthenticationTokenException 400",
                "UnrecognizedClientException 400",
                "InvalidSignatureException 400",
                "InvalidSignatureException 400",
                "IncompleteSignatureException 400",
            ),
        ),
        (
            "sagemaker",
            {},
            (
                "MissingAuthenticationTokenException 403",
                "UnrecognizedClientException 403",
                "InvalidSignatureException 403",
                "InvalidSignatureException 403",
                "IncompleteSignatureException 403",
            ),
        ),
        (
            "sts",
            {"Content-Type": "application/x-www-form-urlencoded"},
            (
                "MissingAuthenticationToken 403",
                "InvalidClientTokenId 403",
                "SignatureDoesNotMatch 403",
                "SignatureDoesNotMatch 403",
                "IncompleteSignature 400",
            ),
        ),
    ],
)
def test_each_family_of_services_has_its_own_words(
    signing_name: str, headers: dict[str, str], codes: tuple[str, ...]
) -> None:
    path = "/data/key" if signing_name == "s3" else "/endpoints/x/invocations"
    request = signed(aws_request("POST", path, b"", headers), signing_name)
    words = [
        refuse(with_headers(request, authorization=None)),
        refuse(MUTATIONS["key"](request)),
        refuse(MUTATIONS["signature"](request)),
        refuse(request, time.time() + 901),
        refuse(
            with_headers(
                request,
                authorization=f"AWS4-HMAC-SHA256 Credential=x/y/z/{signing_name}/aws4_request",
            )
        ),
    ]
    assert tuple(f"{error.code} {error.status}" for error in words) == codes


def test_a_clock_may_be_off_by_fifteen_minutes_either_way() -> None:
    request = signed(aws_request("GET", "/data"), "s3")
    at = epoch(request.headers["x-amz-date"])
    accept(request, at + 900)
    accept(request, at - 900)
    assert refuse(request, at - 901).code == "RequestTimeTooSkewed"
    target = {"X-Amz-Target": "SageMaker.ListModels"}
    early = refuse(signed(aws_request("POST", "/", b"{}", target), "sagemaker"), at - 1000)
    assert early.message.startswith("Signature not yet current: ")
    late = refuse(signed(aws_request("POST", "/", b"{}", target), "sagemaker"), at + 1000)
    assert late.message.startswith("Signature expired: ")


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        ("AWS4-ECDSA-P256-SHA256 Credential=A/20260131/s3/aws4_request", "Signature Version 4A"),
        ("AWS AKIAENGINE:c2lnbmF0dXJl", "not supported"),
        ("Bearer token", "not supported"),
        ("AWS4-HMAC-SHA256 nonsense", "requires 'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=A, SignedHeaders=host, Signature=x", "mal-formed"),
    ],
)
def test_other_ways_of_signing_are_named(authorization: str, words: str) -> None:
    headers = {"authorization": authorization, "x-amz-date": "20260131T000000Z"}
    assert words in refuse(HttpRequest("GET", "/data", "", headers)).message


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("X-Amz-Expires=60", "X-Amz-Expires=604801", "AuthorizationQueryParametersError"),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1", "AuthorizationQueryParametersError"),
        ("X-Amz-Expires=60", "X-Amz-Expires=6000", "SignatureDoesNotMatch"),
        ("X-Amz-Expires=60&", "", "AuthorizationQueryParametersError"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=date", "AccessDenied"),
        ("/data", "/data2", "SignatureDoesNotMatch"),
    ],
)
def test_a_presigned_url_cannot_be_bent(old: str, new: str, code: str) -> None:
    request = signed(aws_request("GET", "/data"), "s3", expires_s=60)
    request.query = request.query.replace(old, new)
    request.path = request.path.replace(old, new)
    assert refuse(request).code == code


def test_a_header_that_s3_acts_on_must_be_signed_even_with_a_presigned_url() -> None:
    request = signed(aws_request("PUT", "/data/key"), "s3", expires_s=60)
    error = refuse(with_headers(request, x_amz_acl="public-read"))
    assert (error.code, error.fields["HeadersNotSigned"]) == ("AccessDenied", "x-amz-acl")


def test_s3_wants_the_hash_of_the_body_in_a_header() -> None:
    request = signed(aws_request("PUT", "/data/key", b"x"), "s3")
    assert refuse(with_headers(request, x_amz_content_sha256=None)).code == "MissingSecurityHeader"


def test_a_date_header_will_do_where_there_is_no_amz_date() -> None:
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host,Signature=0"
        ),
    }
    request = HttpRequest("GET", "/", "", headers)
    with pytest.raises(ServiceError, match="MissingSecurityHeader"):
        verify(request, lambda _: EXAMPLE, epoch("20130524T000000Z"))


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", "soon"]
)
def test_a_date_header_beyond_all_calendars_is_none(date: str) -> None:
    request = signed(aws_request("GET", "/a", headers={}), "s3")
    refuse(with_headers(request, x_amz_date=None, date=date))


@pytest.mark.parametrize("expires", ["0" * 5000, "9" * 5000, "0" * 10])
def test_an_expiry_of_more_digits_than_a_week_has_is_none(expires: str) -> None:
    request = signed(aws_request("GET", "/a"), "s3", expires_s=60)
    query = request.query.replace("X-Amz-Expires=60", f"X-Amz-Expires={expires}")
    assert query != request.query
    error = refuse(HttpRequest("GET", request.path, query, request.headers))
    assert error.code == "AuthorizationQueryParametersError"
