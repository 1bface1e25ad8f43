"""Requests signed by botocore's own signers, and bodies framed as S3's clients frame them."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as ClientCredentials

from intermodal_engine.wire.chunked import ChunkSigner
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.sigv4 import Credentials
from tests.helpers.wire_clients import ENDPOINT, on_the_wire

KEYS = Credentials("AKIAENGINE", "the-secret")
SESSION = Credentials("ASIASESSION", "another-secret", "the/token==")
REGION = "eu-central-1"


def lookup(access_key_id: str) -> Credentials | None:
    """The engine's side."""
    return {one.access_key_id: one for one in (KEYS, SESSION)}.get(access_key_id)


def signed(
    request: AWSRequest,
    signing_name: str,
    credentials: Credentials = KEYS,
    *,
    expires_s: int | None = None,
) -> HttpRequest:
    """A request as it comes off the socket, signed in its headers or, with an expiry, presigned."""
    request.context.setdefault("client_config", None)
    _signer(signing_name, credentials, expires_s).add_auth(request)
    return on_the_wire(request)


def _signer(signing_name: str, credentials: Credentials, expires_s: int | None) -> Any:
    name = "S3SigV4" if signing_name == "s3" else "SigV4"
    keys = ClientCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
    if expires_s is None:
        return getattr(botocore.auth, f"{name}Auth")(keys, signing_name, REGION)
    return getattr(botocore.auth, f"{name}QueryAuth")(keys, signing_name, REGION, expires_s)


def aws_request(
    method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> AWSRequest:
    """An unsigned request."""
    return AWSRequest(method=method, url=ENDPOINT + target, data=body, headers=headers or {})


def framed(
    chunks: Iterable[bytes],
    signer: ChunkSigner | None,
    seed_signature: str,
    trailers: dict[str, str] | None = None,
) -> bytes:
    """A body as `aws-chunked`, signed chunk by chunk if there is a signer."""
    written, previous = b"", seed_signature
    for chunk in [*chunks, b""]:
        extension = ""
        if signer is not None:
            previous = signer.chunk(previous, hashlib.sha256(chunk).hexdigest())
            extension = f";chunk-signature={previous}"
        written += f"{len(chunk):x}{extension}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    lines = "".join(f"{name}:{value}\n" for name, value in (trailers or {}).items())
    written += lines.replace("\n", "\r\n").encode()
    if signer is not None and trailers is not None:
        signature = signer.trailer(previous, hashlib.sha256(lines.encode()).hexdigest())
        written += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return written + b"\r\n"


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A body as it arrives."""
    for piece in pieces:
        yield piece


def pieces_of(body: bytes, size_bytes: int) -> list[bytes]:
    """A body cut into pieces of one size."""
    return [body[start : start + size_bytes] for start in range(0, len(body), size_bytes)]


def epoch(amz_date: str) -> float:
    """Seconds since the epoch of a date such as `20130524T000000Z`."""
    return datetime.strptime(amz_date + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
