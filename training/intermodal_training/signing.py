"""AWS's signature version 4 for GET requests to S3.

AWS page: sig-v4-header-based-auth.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_EMPTY_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key pair, with a token if it is a temporary one."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def signed_headers(
    url: str, query: str, credentials: Credentials, region: str, now: float
) -> dict[str, str]:
    """Headers that authorise a GET without a body.

    Args:
        url: without the query, its path encoded as sent.
        query: encoded as sent, sorted by name.
        credentials: whose.
        region: of the bucket.
        now: epoch seconds.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {"x-amz-content-sha256": _EMPTY_HASH, "x-amz-date": stamp}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    parts = urlsplit(url)
    to_sign = {"host": parts.netloc, **headers}
    names = ";".join(sorted(to_sign))
    canonical = "\n".join(
        [
            "GET",
            parts.path or "/",
            query,
            *(f"{name}:{to_sign[name]}" for name in sorted(to_sign)),
            "",
            names,
            _EMPTY_HASH,
        ]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={_hmac(key, text).hex()}"
    )
    return headers


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
