"""The canonical request of AWS Signature Version 4: what is really under a signature."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

_UNRESERVED = "-_.~"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]*")
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9\-._~=&]*")


def canonical_head(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed_headers: Iterable[str],
    *,
    is_s3: bool,
) -> str:
    """Everything of the canonical request but the hash of the body, which ends it."""
    names = list(signed_headers)
    lines = "".join(f"{name}:{_fold(headers.get(name, ''))}\n" for name in names)
    where = canonical_path(path, is_s3=is_s3)
    return f"{method}\n{where}\n{canonical_query(query)}\n{lines}\n{';'.join(names)}\n"


def canonical_path(path: str, *, is_s3: bool) -> str:
    """The path, encoded once for S3, whose keys are taken literally.

    For all others what is on the wire is encoded again: an escape twice, a bare byte once.
    """
    if is_s3:
        return path if _PLAIN_PATH.fullmatch(path) else _encode_path(path)
    if "//" in path or "/." in path:
        path = _normalize(path)
    if _PLAIN_PATH.fullmatch(path):
        return path
    return quote(path.encode("latin-1", "replace"), safe="/" + _UNRESERVED)


def canonical_query(query: str) -> str:
    """The parameters, encoded anew and sorted; a presigned URL's signature is not among them."""
    if not query:
        return ""
    is_plain = _PLAIN_QUERY.fullmatch(query) is not None
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if pair and name != "X-Amz-Signature":
            pairs.append((name, value) if is_plain else (_encode(name), _encode(value)))
    pairs.sort()
    return "&".join(f"{name}={value}" for name, value in pairs)


def string_to_sign(amz_date: str, scope: str, canonical_request: str) -> str:
    """What the signing key signs."""
    digest = hashlib.sha256(canonical_request.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{ALGORITHM}\n{amz_date}\n{scope}\n{digest}"


@lru_cache(maxsize=256)
def signing_key(secret_access_key: str, day: str, region: str, signing_name: str) -> bytes:
    """The key of one day, region and service."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (day, region, signing_name, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """The signature of a string to sign."""
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha256").hex()


def _fold(value: str) -> str:
    return " ".join(value.split())


def _encode(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ")), safe=_UNRESERVED)


def _encode_path(path: str) -> str:
    return "/".join(
        quote(unquote_to_bytes(segment), safe=_UNRESERVED) for segment in path.split("/")
    )


def _normalize(path: str) -> str:
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return "/" + "/".join(segments) + end
