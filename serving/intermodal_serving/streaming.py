"""Answers that go out piece by piece while the model makes them.

A handler that is a generator, or returns an iterator, makes a `Stream`. A plain iterator is
advanced on the model's thread, one chunk a turn, so that other requests come in between; an async
one on the event loop. A chunk is asked for once the client has taken the one before: a slow reader
holds up its own stream and nobody else, and one that leaves ends it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from time import monotonic, perf_counter
from typing import Any

from intermodal_serving.context import Context
from intermodal_serving.invocation import Invocation
from intermodal_serving.messages import BODILESS, Answer
from intermodal_serving.tracebacks import user_traceback

logger = logging.getLogger("serve")

WHOLE, LEFT, FAILED, LATE = "whole", "client left", "failed", "timed out"
"""How a stream may end; the access log says it."""

InTurn = Callable[[Callable[[], Any]], Awaitable[Any]]


def is_iterator(value: Any) -> bool:
    """Whether a handler's result is to be read piece by piece."""
    return hasattr(value, "__next__") or hasattr(value, "__anext__")


class Stream:
    """A response body in pieces.

    Args:
        chunks: the pieces, none of them empty.
        context: says status and headers, up to the first piece.
    """

    __slots__ = ("busy_s", "chunks", "context", "first")

    def __init__(self, chunks: Iterator[bytes] | AsyncIterator[bytes], context: Context) -> None:
        self.chunks = chunks
        self.context = context
        self.first: bytes | None = None
        """The first piece, once there is one."""
        self.busy_s = 0.0
        """How long the model has worked on the pieces after the first."""

    @property
    def is_async(self) -> bool:
        """Whether it is advanced on the event loop."""
        return isinstance(self.chunks, AsyncIterator)

    def begin(self) -> "Stream | Answer":
        """Itself with its first chunk, or an empty answer; on the model's thread."""
        assert isinstance(self.chunks, Iterator)  # noqa: S101 - the caller has asked
        self.first = next(self.chunks, None)
        if self.context.status in BODILESS:
            close(self.chunks)
        return self._begun()

    async def begin_async(self) -> "Stream | Answer":
        """The same on the event loop."""
        assert isinstance(self.chunks, AsyncIterator)  # noqa: S101 - the caller has asked
        self.first = await anext(self.chunks, None)
        if self.context.status in BODILESS:
            await close_async(self.chunks)
        return self._begun()

    def advance(self) -> bytes | BaseException | None:
        """The next chunk, what was raised instead, or None at the end; on the model's thread."""
        assert isinstance(self.chunks, Iterator)  # noqa: S101 - the caller has asked
        started = perf_counter()
        try:
            return next(self.chunks, None)
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            return error
        finally:
            self.busy_s += perf_counter() - started

    async def advance_async(self) -> bytes | None:
        """The next chunk, or None at the end; on the event loop."""
        assert isinstance(self.chunks, AsyncIterator)  # noqa: S101 - the caller has asked
        started = perf_counter()
        try:
            return await anext(self.chunks, None)
        finally:
            self.busy_s += perf_counter() - started

    async def close(self, in_turn: InTurn) -> None:
        """Let the handler clean up; nothing happens if it has ended."""
        try:
            if self.is_async:
                await close_async(self.chunks)
            else:
                await in_turn(lambda: close(self.chunks))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            logger.error(  # noqa: TRY400 - the user's frames only
                "request %s failed while its stream was closed\n%s",
                self.context.request_id,
                user_traceback(error),
            )

    def _begun(self) -> "Stream | Answer":
        if self.first is None or self.context.status in BODILESS:
            return Answer(self.context.status, b"", self.context.response_headers)
        return self


class Outgoing:
    """One stream on its way to its client.

    Args:
        invocation: what it answers.
        stream: with its first chunk.
        in_turn: runs a function on the model's thread, after what waits already.
        ended: called on the event loop at the end.
    """

    def __init__(
        self,
        invocation: Invocation,
        stream: Stream,
        in_turn: InTurn,
        ended: "Callable[[Outgoing], None]",
    ) -> None:
        self.invocation = invocation
        self.status = stream.context.status
        self.size_bytes = 0
        self.end = WHOLE
        self._stream = stream
        self._in_turn = in_turn
        self._ended = ended
        self._asked_at: float | None = None
        self._began_at = monotonic()
        self._has_begun = False
        self._task = asyncio.ensure_future(self._run())
        invocation.request.on_gone = lambda: self._stop(LEFT)

    def judge(self, now: float, chunk_timeout_s: float, stream_timeout_s: float) -> None:
        """End it if one chunk, or all of them, took too long."""
        identity = self._stream.context.request_id
        if now - self._began_at > stream_timeout_s:
            logger.warning("request %s: streamed for over %g s", identity, stream_timeout_s)
            self._stop(LATE)
        elif self._asked_at is not None and now - self._asked_at > chunk_timeout_s:
            logger.warning("request %s: no chunk within %g s", identity, chunk_timeout_s)
            self._stop(LATE)

    def _stop(self, end: str) -> None:
        if self.end == WHOLE:
            self.end = end
            if self._has_begun:  # a task that is cancelled before would never close the stream
                self._task.cancel()

    async def _run(self) -> None:
        request, stream = self.invocation.request, self._stream
        connection, context = request.connection, stream.context
        chunk = stream.first
        self._has_begun = True
        try:
            connection.begin_stream(request, Answer(self.status, b"", context.response_headers))
            while chunk is not None and self.end == WHOLE:
                self.size_bytes += len(chunk)
                connection.send_chunk(request, chunk)
                await connection.drained()
                chunk = await self._next()
        except asyncio.CancelledError:
            pass  # the client left, or the time is over: `_stop` has said which
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            self.end = FAILED
            logger.error(  # noqa: TRY400 - the user's frames only
                "request %s failed after %d bytes of its answer\n%s",
                context.request_id,
                self.size_bytes,
                user_traceback(error),
            )
        request.on_gone = None
        self._ended(self)
        if self.end == WHOLE:
            connection.end_stream(request)
        else:
            connection.break_off(request)
            await stream.close(self._in_turn)

    async def _next(self) -> bytes | None:
        stream = self._stream
        asked_at, busy_s = monotonic(), stream.busy_s
        self._asked_at = asked_at
        if stream.is_async:
            await asyncio.sleep(0)  # an iterator that never waits must not keep the loop
            chunk = await stream.advance_async()
        else:
            chunk = await self._in_turn(stream.advance)
            if isinstance(chunk, BaseException):
                raise chunk
        self._asked_at = None
        worked_s = stream.busy_s - busy_s
        self.invocation.predict_s += worked_s
        self.invocation.queue_s += max(0.0, monotonic() - asked_at - worked_s)
        return chunk


def encoded(items: Iterator[Any], encode: Callable[[Any], bytes]) -> Iterator[bytes]:
    """The chunks of plain items; closes the items when it is closed."""
    try:
        for item in items:
            if chunk := encode(item):
                yield chunk
    finally:
        close(items)


async def encoded_async(
    items: AsyncIterator[Any], encode: Callable[[Any], Awaitable[bytes]]
) -> AsyncIterator[bytes]:
    """The chunks of items that are awaited; closes the items when it is closed."""
    try:
        async for item in items:
            if chunk := await encode(item):
                yield chunk
    finally:
        await close_async(items)


async def in_turns(items: Iterator[Any], in_turn: InTurn) -> AsyncIterator[Any]:
    """Plain items, each made on the model's thread, for those who await."""
    try:
        while (item := await in_turn(lambda: next(items, _END))) is not _END:
            yield item
    finally:
        await in_turn(lambda: close(items))


def as_chunk(item: Any, name: str) -> bytes:
    """What a handler yielded, in bytes.

    Raises:
        TypeError: it is neither text nor bytes.
    """
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    raise TypeError(f"{name} yielded a {type(item).__name__}; it must yield bytes or str")


def close(items: Any) -> None:
    """Close an iterator, if it can be closed."""
    if hasattr(items, "close"):
        items.close()


async def close_async(items: Any) -> None:
    """Close an async iterator, if it can be closed."""
    if hasattr(items, "aclose"):
        await items.aclose()


_END = object()
