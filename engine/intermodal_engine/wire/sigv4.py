"""AWS Signature Version 4: who sent a request, and whether it is what they signed.

    verify          the headers, at once: key, clock, scope, signature
    Identity.body   the body, while it arrives

Services other than S3 put the body's hash under the signature without telling it in a header. Then
`verify` checks all but the signature, and `Identity.body` the signature when the body has ended.
"""

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from intermodal_engine.wire import refusals, sigv2
from intermodal_engine.wire.body_check import BodyCheck, BodyReader, HashedReader
from intermodal_engine.wire.canonical import (
    ALGORITHM,
    EMPTY_SHA256,
    canonical_head,
    signature,
    signing_key,
    string_to_sign,
)
from intermodal_engine.wire.chunked import ChunkedReader, ChunkSigner
from intermodal_engine.wire.dialect import Dialect, dialect_of
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.identity import Credentials, Identity, Lookup

__all__ = ["Credentials", "Identity", "verify"]

CLOCK_SKEW_S = 15 * 60.0
LONGEST_EXPIRY_S = 7 * 24 * 3600

UNSIGNED = "UNSIGNED-PAYLOAD"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

_HEX_SHA256 = re.compile(r"[0-9a-f]{64}")
_AMZ_DATE = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says about its own signature."""

    access_key_id: str
    day: str
    region: str
    signing_name: str
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    token: str | None
    expires_s: int | None
    content_sha256: str | None

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.signing_name}/aws4_request"


def verify(request: HttpRequest, lookup: Lookup, now: float) -> Identity:
    """Check the signature of a request's headers or of a presigned URL.

    Args:
        request: its body is not looked at.
        lookup: the credentials of an access key; None if there are none.
        now: seconds since the epoch.

    Raises:
        ServiceError: the request is not signed, or not by one of those keys, or not like this.
    """
    if "authorization" not in request.headers and sigv2.is_presigned(request):
        return sigv2.verify_presigned(request, lookup, now)
    dialect = dialect_of(request)
    claim = _read_claim(request, dialect)
    credentials = lookup(claim.access_key_id)
    if credentials is None:
        raise refusals.unknown_key(dialect, claim.access_key_id)
    _check_token(claim, credentials, dialect)
    _check_time(claim, dialect, now)
    _check_signed_headers(request, claim, dialect)
    key = signing_key(credentials.secret_access_key, claim.day, claim.region, claim.signing_name)
    judge = _Judge(request, claim, dialect, key)
    return Identity(
        claim.access_key_id, claim.signing_name, claim.region, _body_check(request, judge)
    )


class _Judge:
    """Compares the signature, once the hash that ends the canonical request is known."""

    def __init__(self, request: HttpRequest, claim: _Claim, dialect: Dialect, key: bytes) -> None:
        self.claim = claim
        self.dialect = dialect
        self.key = key
        self.is_s3 = claim.signing_name == "s3"
        self._head = canonical_head(
            request.method,
            request.path,
            request.query,
            request.headers,
            claim.signed_headers,
            is_s3=self.is_s3,
        )

    def compare(self, body_hash: str) -> None:
        """Raise unless the signature fits this hash (or word) for the body."""
        claim, canonical_request = self.claim, self._head + body_hash
        text = string_to_sign(claim.amz_date, claim.scope, canonical_request)
        expected = signature(self.key, text)
        if not hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "replace")):
            raise refusals.mismatch(
                self.dialect,
                {
                    "AWSAccessKeyId": claim.access_key_id,
                    "StringToSign": text,
                    "SignatureProvided": claim.signature,
                    "CanonicalRequest": canonical_request,
                },
            )


def _body_check(request: HttpRequest, judge: _Judge) -> BodyCheck:
    declared = request.headers.get("x-amz-content-sha256") or judge.claim.content_sha256
    if declared is None:
        if judge.is_s3 and judge.claim.expires_s is None:
            message = "Missing required header for this request: x-amz-content-sha256"
            raise ServiceError("MissingSecurityHeader", message, status=400)
        return _undeclared_body(request, judge)
    if _HEX_SHA256.fullmatch(declared):
        judge.compare(declared)
        return BodyCheck(lambda: HashedReader(lambda digest: _same(judge, declared, digest)))
    if not judge.is_s3:
        raise refusals.mismatch(judge.dialect, {})
    return _declared_s3_body(request, judge, declared)


def _undeclared_body(request: HttpRequest, judge: _Judge) -> BodyCheck:
    if judge.is_s3:
        judge.compare(UNSIGNED)
        return BodyCheck(lambda: HashedReader(None))
    if request.headers.get("content-length", "0") == "0" and (
        "transfer-encoding" not in request.headers
    ):
        judge.compare(EMPTY_SHA256)
        return BodyCheck(lambda: HashedReader(lambda digest: _same(judge, EMPTY_SHA256, digest)))
    return BodyCheck(lambda: HashedReader(judge.compare))


def _same(judge: _Judge, declared: str, computed: str) -> None:
    if not hmac.compare_digest(declared, computed):
        raise refusals.wrong_content_hash(judge.dialect, declared, computed)


def _declared_s3_body(request: HttpRequest, judge: _Judge, declared: str) -> BodyCheck:
    if declared == UNSIGNED:
        judge.compare(declared)
        return BodyCheck(lambda: HashedReader(None))
    if declared not in (UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER):
        raise ServiceError(
            "InvalidArgument",
            f"x-amz-content-sha256 must be {UNSIGNED}, {UNSIGNED_TRAILER}, {SIGNED_CHUNKS}, "
            f"{SIGNED_CHUNKS_TRAILER} or a valid sha256 value.",
            status=400,
            fields={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": declared},
        )
    judge.compare(declared)
    size_bytes = _decoded_size(request)
    claim = judge.claim
    signer = ChunkSigner(judge.key, claim.amz_date, claim.scope)
    trailers = request.headers.get("x-amz-trailer", "").lower().split(",")
    names = frozenset(filter(None, map(str.strip, trailers)))

    def new_reader() -> BodyReader:
        return ChunkedReader(
            size_bytes,
            None if declared == UNSIGNED_TRAILER else signer,
            claim.signature,
            None if declared == SIGNED_CHUNKS else names,
        )

    return BodyCheck(new_reader, request.headers)


def _decoded_size(request: HttpRequest) -> int:
    text = request.headers.get("x-amz-decoded-content-length", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        message = "You must provide the x-amz-decoded-content-length HTTP header."
        raise ServiceError("MissingContentLength", message, status=411)
    return int(text)


def _read_claim(request: HttpRequest, dialect: Dialect) -> _Claim:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return _read_header_claim(request, authorization, dialect)
    if "X-Amz-Algorithm=" in request.query:
        return _read_query_claim(request, dialect)
    raise refusals.missing(dialect)


def _read_header_claim(request: HttpRequest, authorization: str, dialect: Dialect) -> _Claim:
    algorithm, _, rest = authorization.partition(" ")
    _check_algorithm(algorithm, dialect)
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise refusals.malformed(
                dialect, f"Authorization header requires '{name}' parameter. {authorization[:200]}"
            )
    amz_date = request.headers.get("x-amz-date") or _from_date_header(request, dialect)
    token = request.headers.get("x-amz-security-token")
    return _claim(parts, amz_date, token, dialect)


def _read_query_claim(request: HttpRequest, dialect: Dialect) -> _Claim:
    pairs = (pair.partition("=") for pair in request.query.split("&"))
    query = {name: unquote(value) for name, _, value in pairs if name.startswith("X-Amz-")}
    _check_algorithm(query.get("X-Amz-Algorithm", ""), dialect)
    names = ("Credential", "SignedHeaders", "Signature", "Date", "Expires")
    missing = [f"X-Amz-{name}" for name in names if not query.get(f"X-Amz-{name}")]
    if missing and (dialect is Dialect.S3 or missing != ["X-Amz-Expires"]):
        why = f"Query-string authentication requires {', '.join(missing)}"
        raise refusals.malformed(dialect, why, presigned=True)
    expires = query.get("X-Amz-Expires", str(int(CLOCK_SKEW_S)))
    is_number = expires.isascii() and expires.isdecimal() and len(expires) <= 9
    if not (is_number and int(expires) <= LONGEST_EXPIRY_S):
        why = f"X-Amz-Expires must be a number of seconds up to a week, {LONGEST_EXPIRY_S}"
        raise refusals.malformed(dialect, why, presigned=True)
    parts = {name: query[f"X-Amz-{name}"] for name in names[:3]}
    token = query.get("X-Amz-Security-Token")
    content_sha256 = query.get("X-Amz-Content-Sha256")
    return _claim(parts, query["X-Amz-Date"], token, dialect, int(expires), content_sha256)


def _check_algorithm(algorithm: str, dialect: Dialect) -> None:
    if algorithm == ALGORITHM:
        return
    why = f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
    if algorithm == "AWS4-ECDSA-P256-SHA256":
        why = (
            "intermodal's engine does not verify Signature Version 4A (asymmetric, as of "
            f"multi-Region access points). Please use {ALGORITHM}."
        )
    raise refusals.unsupported_algorithm(dialect, why)


def _claim(
    parts: dict[str, str],
    amz_date: str,
    token: str | None,
    dialect: Dialect,
    expires_s: int | None = None,
    content_sha256: str | None = None,
) -> _Claim:
    is_presigned = expires_s is not None
    scope = parts["Credential"].rsplit("/", 4)
    if len(scope) != 5 or scope[4] != "aws4_request":
        why = "the Credential is mal-formed; expecting KEY/YYYYMMDD/REGION/SERVICE/aws4_request"
        raise refusals.malformed(dialect, why, presigned=is_presigned)
    if not _AMZ_DATE.fullmatch(amz_date) or not amz_date.startswith(scope[1]):
        why = f"the date '{amz_date[:40]}' is not in ISO 8601 or not that of the credential scope"
        raise refusals.malformed(dialect, why, presigned=is_presigned)
    signed_headers = tuple(parts["SignedHeaders"].lower().split(";"))
    return _Claim(
        scope[0],
        scope[1],
        scope[2],
        scope[3],
        signed_headers,
        parts["Signature"],
        amz_date,
        token,
        expires_s,
        content_sha256,
    )


def _from_date_header(request: HttpRequest, dialect: Dialect) -> str:
    try:
        moment = parsedate_to_datetime(request.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        why = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        raise refusals.malformed(dialect, why) from None
    return f"{moment:%Y%m%dT%H%M%SZ}"


def _check_token(claim: _Claim, credentials: Credentials, dialect: Dialect) -> None:
    if not hmac.compare_digest(
        (claim.token or "").encode(), (credentials.session_token or "").encode()
    ):
        raise refusals.wrong_session_token(dialect)


def _check_time(claim: _Claim, dialect: Dialect, now: float) -> None:
    signed_at = _seconds(claim, dialect)
    if claim.expires_s is None:
        if abs(now - signed_at) > CLOCK_SKEW_S:
            raise refusals.skewed(dialect, claim.amz_date, now, CLOCK_SKEW_S)
    elif now > signed_at + claim.expires_s:
        raise refusals.expired(dialect, claim.expires_s, signed_at + claim.expires_s, now)
    elif signed_at > now + CLOCK_SKEW_S:
        raise refusals.skewed(dialect, claim.amz_date, now, CLOCK_SKEW_S)


def _seconds(claim: _Claim, dialect: Dialect) -> float:
    text = claim.amz_date
    try:
        return datetime(
            int(text[0:4]),
            int(text[4:6]),
            int(text[6:8]),
            int(text[9:11]),
            int(text[11:13]),
            int(text[13:15]),
            tzinfo=UTC,
        ).timestamp()
    except ValueError:
        why = f"there is no such date as '{text}'"
        raise refusals.malformed(dialect, why, presigned=claim.expires_s is not None) from None


def _check_signed_headers(request: HttpRequest, claim: _Claim, dialect: Dialect) -> None:
    signed = claim.signed_headers
    missing = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed:
        missing.insert(0, "host")
    if missing:
        raise refusals.unsigned_headers(dialect, missing)
