"""One request and its answer on an ASGI connection: bodies in, bodies out, clients that vanish.

ClientGoneError         the client closed the connection before its body was complete
BodyTooLargeError       the body is larger than the operation takes
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import FileSlice, HttpRequest, HttpResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FILE_CHUNK_BYTES = 1 << 20
# What a client may still send after it was refused, before its connection is cut: reading it lets
# the client see the answer instead of a reset.
DISCARD_LIMIT_BYTES = 256 << 20
IDLE_TIMEOUT_S = 60.0
DISCARD_TIMEOUT_S = 60.0

_log = logging.getLogger(__name__)


class ClientGoneError(ServiceError):
    """The client closed the connection before its body was complete."""

    def __init__(self) -> None:
        super().__init__("IncompleteBody", "the connection was closed before the body's end")


class BodyTooLargeError(ServiceError):
    """The body is larger than the operation takes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            "RequestEntityTooLargeException",
            f"the request's body is larger than {limit_bytes} bytes, the most that this operation "
            "takes",
            status=413,
        )


class Exchange:
    """One request and its answer.

    Args:
        scope: ASGI's description of the request.
        receive: ASGI's source of the body.
        send: ASGI's way out.
        idle_timeout_s: how long nothing of the body may come.
        discard_timeout_s: how long a refused client may go on sending before it is answered.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        discard_timeout_s: float = DISCARD_TIMEOUT_S,
    ) -> None:
        self._receive = receive
        self._send = send
        self._idle_timeout_s = idle_timeout_s
        self._discard_timeout_s = discard_timeout_s
        self._is_complete = False
        self._is_begun = False
        self._is_stuck = False
        self.is_gone = False
        self.request = _request(scope)

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: it has more than `limit_bytes`.
            ClientGoneError: the client went away.
        """
        if _content_length(self.request) > limit_bytes:
            raise BodyTooLargeError(limit_bytes)
        chunks, size_bytes = [], 0
        async for chunk in self.stream():
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > limit_bytes:
                raise BodyTooLargeError(limit_bytes)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in chunks as they come.

        Raises:
            ClientGoneError: the client went away.
            ServiceError: `RequestTimeout`, nothing came for a minute.
        """
        while not self._is_complete:
            self._is_begun = True
            message = await self._next_message()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                raise ClientGoneError
            self._is_complete = not message.get("more_body", False)
            if body := message.get("body"):
                yield body

    async def answer(self, response: HttpResponse) -> None:
        """Sends the answer, after taking what is left of the request.

        Raises:
            Exception: whatever ends the stream that the answer's body is.
        """
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
        ]
        if not await self._discard():
            headers.append((b"connection", b"close"))
        if self.is_gone:
            await _close(response)
            return
        if self.request.method == "HEAD":
            await self._answer_head(response, headers)
        elif isinstance(response.body, bytes):
            await self._start(response, headers, len(response.body))
            await self._send({"type": "http.response.body", "body": response.body})
        else:
            await self._answer_stream(response, headers)

    async def _next_message(self) -> Message:
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                return await self._receive()
        except TimeoutError as error:
            self._is_stuck = True
            raise ServiceError(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the "
                "timeout period. Idle connections will be closed.",
            ) from error

    async def _discard(self) -> bool:
        """Reads the rest of the body. Returns whether the connection can carry another request."""
        if self._is_complete or self.is_gone:
            return True
        if not self._is_begun and "expect" in self.request.headers:
            return False  # the client waits for our word and has sent nothing
        if self._is_stuck:
            return False
        if _content_length(self.request) > DISCARD_LIMIT_BYTES:
            return False
        size_bytes = 0
        with contextlib.suppress(ServiceError, TimeoutError):
            async with asyncio.timeout(self._discard_timeout_s):
                async for chunk in self.stream():
                    size_bytes += len(chunk)
                    if size_bytes > DISCARD_LIMIT_BYTES:
                        return False
        return self._is_complete

    async def _answer_head(
        self, response: HttpResponse, headers: list[tuple[bytes, bytes]]
    ) -> None:
        size_bytes = next(
            (int(value) for name, value in response.headers if name.lower() == "content-length"),
            len(response.body) if isinstance(response.body, bytes) else None,
        )
        if size_bytes is None and isinstance(response.body, FileSlice):
            size_bytes = response.body.size_bytes
        await _close(response)
        await self._start(response, headers, size_bytes)
        await self._send({"type": "http.response.body", "body": b""})

    async def _answer_stream(
        self, response: HttpResponse, headers: list[tuple[bytes, bytes]]
    ) -> None:
        """Sends chunks until they end or the client goes away; uvicorn says so only by receive."""
        body = response.body
        size_bytes = body.size_bytes if isinstance(body, FileSlice) else None
        chunks = file_chunks(body) if isinstance(body, FileSlice) else body
        assert not isinstance(chunks, bytes)  # noqa: S101 - answer() sent those already
        watch = asyncio.ensure_future(self._receive())
        try:
            await self._start(response, headers, size_bytes)
            async for chunk in chunks:
                if watch.done():
                    return
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.sleep(0)  # neither of the two may ever wait, and others must run too
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            watch.cancel()
            if hasattr(chunks, "aclose"):
                await chunks.aclose()  # a file is being read ahead
            await _close(response)

    async def _start(
        self,
        response: HttpResponse,
        headers: list[tuple[bytes, bytes]],
        size_bytes: int | None,
    ) -> None:
        if size_bytes is not None and response.status not in (204, 304):
            headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
            headers.append((b"content-length", b"%d" % size_bytes))
        await self._send(
            {"type": "http.response.start", "status": response.status, "headers": headers}
        )


async def file_chunks(part: FileSlice) -> AsyncIterator[bytes]:
    """A slice of a file, read in a worker thread, the next chunk while one is being sent.

    Raises:
        OSError: the file cannot be read, or became shorter.
    """
    loop = asyncio.get_running_loop()
    descriptor, offset, end = part.file.fileno(), part.offset, part.offset + part.size_bytes

    def read_ahead() -> "asyncio.Future[bytes]":
        return loop.run_in_executor(
            None, os.pread, descriptor, min(FILE_CHUNK_BYTES, end - offset), offset
        )

    pending = read_ahead() if offset < end else None
    try:
        while pending is not None:
            chunk = await pending
            if not chunk:
                raise OSError(f"the file ended {end - offset} bytes early")
            offset += len(chunk)
            pending = read_ahead() if offset < end else None
            yield chunk
    finally:
        if pending is not None:  # the descriptor stays open until nobody reads from it
            await asyncio.wait([pending])


def _request(scope: Scope) -> HttpRequest:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return HttpRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )


def _content_length(request: HttpRequest) -> int:
    return int(request.headers.get("content-length") or 0)


async def _close(response: HttpResponse) -> None:
    body = response.body
    if isinstance(body, FileSlice):
        body.file.close()
    elif not isinstance(body, bytes) and hasattr(body, "aclose"):
        await body.aclose()
