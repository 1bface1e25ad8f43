"""The errors of a signature that does not hold, in the words of each family of services."""

from datetime import UTC, datetime
from typing import Any

from intermodal_engine.wire.dialect import Dialect
from intermodal_engine.wire.errors import ServiceError

_S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key "
    "and signing method."
)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - words


def missing(dialect: Dialect) -> ServiceError:
    """The request is not signed."""
    if dialect is Dialect.S3:
        return ServiceError("AccessDenied", "Access Denied", status=403)
    return _plain(dialect, "MissingAuthenticationToken", "Missing Authentication Token")


def malformed(dialect: Dialect, why: str, *, presigned: bool = False) -> ServiceError:
    """The signature is there, but cannot be read."""
    if dialect is Dialect.S3 and presigned:
        return ServiceError("AuthorizationQueryParametersError", why, status=400)
    if dialect is Dialect.S3:
        message = f"The authorization header is malformed; {why}"
        return ServiceError("AuthorizationHeaderMalformed", message, status=400)
    return _plain(dialect, "IncompleteSignature", why)


def unsupported_algorithm(dialect: Dialect, why: str) -> ServiceError:
    """Signed in a way that the engine does not verify."""
    if dialect is Dialect.S3:
        return ServiceError("InvalidRequest", why, status=400)
    return _plain(dialect, "IncompleteSignature", why)


def unknown_key(dialect: Dialect, access_key_id: str) -> ServiceError:
    """The engine has not issued that access key."""
    if dialect is Dialect.S3:
        return ServiceError(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            status=403,
            fields={"AWSAccessKeyId": access_key_id},
        )
    return _invalid_client(dialect)


def wrong_session_token(dialect: Dialect) -> ServiceError:
    """The session token is not the one that belongs to the access key."""
    if dialect is Dialect.S3:
        message = "The provided token is malformed or otherwise invalid."
        return ServiceError("InvalidToken", message, status=400)
    return _invalid_client(dialect)


def expired_session(dialect: Dialect) -> ServiceError:
    """The session token was good once; what it was issued to has ended."""
    if dialect is Dialect.S3:
        return ServiceError("ExpiredToken", "The provided token has expired.", status=400)
    code = "ExpiredToken" if dialect is Dialect.QUERY else "ExpiredTokenException"
    message = "The security token included in the request is expired"
    return ServiceError(code, message, status=403)


def unsigned_headers(dialect: Dialect, names: list[str]) -> ServiceError:
    """Headers that must be under the signature are not."""
    listed = ", ".join(names)
    if dialect is Dialect.S3:
        return ServiceError(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            status=403,
            fields={"HeadersNotSigned": listed},
        )
    return _signature(dialect, f"`{listed}` must be a 'SignedHeader' in the AWS Authorization.")


def mismatch(dialect: Dialect, fields: dict[str, Any]) -> ServiceError:
    """The signature is not what the engine calculates; `fields` show S3's clients why."""
    if dialect is Dialect.S3:
        return ServiceError("SignatureDoesNotMatch", _S3_MISMATCH, status=403, fields=fields)
    return _signature(dialect, _MISMATCH)


def skewed(dialect: Dialect, amz_date: str, now: float, limit_s: float) -> ServiceError:
    """The client's clock differs too much from the engine's."""
    moment = datetime.fromtimestamp(now, UTC)
    if dialect is Dialect.S3:
        return ServiceError(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            status=403,
            fields={
                "RequestTime": amz_date,
                "ServerTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                "MaxAllowedSkewMilliseconds": int(limit_s * 1000),
            },
        )
    ours, minutes = f"{moment:%Y%m%dT%H%M%SZ}", int(limit_s // 60)
    if amz_date < ours:
        edge = datetime.fromtimestamp(now - limit_s, UTC)
        return _signature(
            dialect,
            f"Signature expired: {amz_date} is now earlier than {edge:%Y%m%dT%H%M%SZ} "
            f"({ours} - {minutes} min.)",
        )
    edge = datetime.fromtimestamp(now + limit_s, UTC)
    return _signature(
        dialect,
        f"Signature not yet current: {amz_date} is still later than {edge:%Y%m%dT%H%M%SZ} "
        f"({ours} + {minutes} min.)",
    )


def expired(dialect: Dialect, expires_s: int, end: float, now: float) -> ServiceError:
    """A presigned URL's time is over."""
    at, ours = datetime.fromtimestamp(end, UTC), datetime.fromtimestamp(now, UTC)
    if dialect is Dialect.S3:
        return ServiceError(
            "AccessDenied",
            "Request has expired",
            status=403,
            fields={
                "X-Amz-Expires": expires_s,
                "Expires": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "ServerTime": f"{ours:%Y-%m-%dT%H:%M:%SZ}",
            },
        )
    return _signature(
        dialect,
        f"Signature expired: {at:%Y%m%dT%H%M%SZ} is now earlier than {ours:%Y%m%dT%H%M%SZ}",
    )


def wrong_content_hash(dialect: Dialect, claimed: str, computed: str) -> ServiceError:
    """The body is not the one that was signed."""
    if dialect is Dialect.S3:
        return ServiceError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            status=400,
            fields={
                "ClientComputedContentSHA256": claimed,
                "S3ComputedContentSHA256": computed,
            },
        )
    return _signature(dialect, _MISMATCH)


def _invalid_client(dialect: Dialect) -> ServiceError:
    if dialect is Dialect.QUERY:
        return ServiceError("InvalidClientTokenId", _INVALID_TOKEN, status=403)
    return ServiceError("UnrecognizedClientException", _INVALID_TOKEN, status=_status(dialect))


def _signature(dialect: Dialect, message: str) -> ServiceError:
    if dialect is Dialect.QUERY:
        return ServiceError("SignatureDoesNotMatch", message, status=403)
    return ServiceError("InvalidSignatureException", message, status=_status(dialect))


def _plain(dialect: Dialect, code: str, message: str) -> ServiceError:
    if dialect is Dialect.QUERY:
        return ServiceError(code, message, status=400 if code == "IncompleteSignature" else 403)
    return ServiceError(f"{code}Exception", message, status=_status(dialect))


def _status(dialect: Dialect) -> int:
    return 403 if dialect is Dialect.REST_JSON else 400
