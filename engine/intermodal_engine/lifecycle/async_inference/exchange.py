"""One asynchronous request: its input out of S3, the answer into S3, both streamed."""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_contract.serving_http import INVOCATIONS_PATH
from intermodal_engine.lifecycle.async_inference.outcome import RESPONSE_LIMIT_BYTES, Outcome
from intermodal_engine.router.heads import headers_of
from intermodal_engine.router.router import (
    AnswerTimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    Invocation,
    InvocationResult,
    NoCapacityError,
    NoHealthyInstanceError,
    OverloadedError,
    Router,
    RouterError,
    UnknownEndpointError,
)
from intermodal_engine.store.async_requests import AsyncRequest
from intermodal_engine.store.objects import Details, ObjectStore, ObjectStoreError
from intermodal_engine.store.objects.errors import StorageFullError
from intermodal_engine.store.objects.incoming import Announcement

BODY_LIMIT_BYTES = 1 << 30
"""Of a request, as on AWS."""

_CHUNK_BYTES = 1 << 20
_ERROR_LIMIT_BYTES = 64 << 10


# Nobody has worked on the request: it waits on.
_UNSERVED = (
    ConnectFailedError,
    NoCapacityError,
    NoHealthyInstanceError,
    OverloadedError,
    UnknownEndpointError,
)


class NotNowError(Exception):
    """Nothing is wrong with the request, and it cannot be done now; the message says why not."""


class InstanceLostError(NotNowError):
    """The instance that worked on it is gone."""


async def perform(request: AsyncRequest, router: Router, objects: ObjectStore) -> Outcome:
    """Has an instance answer a request, and stores the answer durably.

    Raises:
        NotNowError: it should be tried again.
    """
    try:
        body, size_bytes, content_type = await _input(request, objects)
    except (ObjectStoreError, InvalidS3UriError) as error:
        where = request.parameters.get("InputLocation")
        return Outcome(f"ClientError: Failed to download input from {where}: {error}")
    if size_bytes > BODY_LIMIT_BYTES:
        _close(body)
        return Outcome(
            f"ClientError: The input has {size_bytes} bytes; an asynchronous request has "
            f"{BODY_LIMIT_BYTES} at most"
        )
    try:
        invocation = _invocation(request, body, size_bytes, content_type)
        result = await router.invoke(request.endpoint, invocation)
        if result.status >= 400:
            return await _refused(result)
        return await _stored(request, result, objects)
    except AnswerTimeoutError as error:
        return Outcome(
            f"ClientError: The model did not answer within {request.places['timeout_s']} s "
            f"(InvocationTimeoutSeconds): {error}"
        )
    except _UNSERVED as error:
        raise NotNowError(str(error) or type(error).__name__) from error
    except ConnectionLostError as error:
        raise InstanceLostError(str(error)) from error
    except RouterError as error:
        return Outcome(f"ClientError: {error}")
    finally:
        _close(body)


def _invocation(
    request: AsyncRequest, body: bytes | BinaryIO, size_bytes: int, content_type: str | None
) -> Invocation:
    return Invocation(
        path=INVOCATIONS_PATH,
        headers=headers_of({"ContentType": content_type, **request.parameters}),
        body=body if isinstance(body, bytes) else _chunks(body),
        content_length=size_bytes,
        timeout_s=float(request.places["timeout_s"]),
        is_asynchronous=True,
    )


async def _input(
    request: AsyncRequest, objects: ObjectStore
) -> tuple[bytes | BinaryIO, int, str | None]:
    """The body, its size, and the type that it has in S3, for a request that names none.

    A small one is read whole, so that it can be sent again.
    """
    if request.body is not None:
        return request.body, len(request.body), None
    uri = parse_s3_uri(request.parameters["InputLocation"])
    info, file = await asyncio.to_thread(objects.open, uri.bucket, uri.key)
    if info.size_bytes > _CHUNK_BYTES:
        return file, info.size_bytes, info.details.content_type
    with file:
        whole = await asyncio.to_thread(file.read)
    return whole, len(whole), info.details.content_type


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
        yield chunk


async def _refused(result: InvocationResult) -> Outcome:
    """The model's own failure, in AWS's words."""
    text = b""
    async for chunk in _parts(result):
        text += chunk[: _ERROR_LIMIT_BYTES - len(text)]
    side = "client" if result.status < 500 else "server"
    who = result.container or "model"
    said = text.decode("utf-8", "replace")
    return Outcome(
        f'ClientError: Received {side} error ({result.status}) from {who} with message "{said}"',
        result.headers.get("content-type"),
        text,
    )


async def _stored(request: AsyncRequest, result: InvocationResult, objects: ObjectStore) -> Outcome:
    """The answer, on its way into S3; a small one is kept for the notification."""
    uri = parse_s3_uri(request.places["output"])
    content_type = result.headers.get("content-type")
    kept: list[bytes] = []
    size_bytes = 0

    async def copied() -> AsyncIterator[bytes]:
        nonlocal size_bytes
        async for chunk in _parts(result):
            size_bytes += len(chunk)
            if size_bytes <= RESPONSE_LIMIT_BYTES:
                kept.append(chunk)
            yield chunk

    try:
        await objects.receive(
            *(uri.bucket, uri.key, copied()),
            announcement=Announcement(),
            details=Details(content_type),
        )
    except StorageFullError as error:
        raise NotNowError(str(error)) from error
    except ObjectStoreError as error:
        return Outcome(f"ClientError: Failed to upload the output to {uri}: {error}")
    finally:
        aclose = getattr(result.body, "aclose", None)
        if aclose is not None:
            await aclose()
    answer = b"".join(kept) if size_bytes <= RESPONSE_LIMIT_BYTES else None
    return Outcome("", content_type, answer)


async def _parts(result: InvocationResult) -> AsyncIterator[bytes]:
    if isinstance(result.body, bytes):
        yield result.body
        return
    async for chunk in result.body:
        yield chunk


def _close(body: bytes | BinaryIO) -> None:
    if not isinstance(body, bytes):
        body.close()
