"""HTTP/1.1 to one instance: connections that are kept, one exchange at a time on each.

Written on httptools' parser: a general HTTP client costs several times what is needed here.
"""

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import httptools

from intermodal_engine.router.answer import IncomingAnswer
from intermodal_engine.router.errors import (
    AnswerTimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidAnswerError,
    RouterError,
)

CONNECT_TIMEOUT_S = 5.0
# How much of an answer may wait for a slow client before the instance is made to wait.
_HIGH_WATER_BYTES = 512 << 10
_IDLE_LIMIT = 64
_SURE_S = 1.0  # servers close what is idle after two seconds and more
_JOINED_BYTES = 64 << 10

Body = bytes | AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an instance answered.

    Attributes:
        status: HTTP status code.
        headers: names in lower case; repeated ones joined with `,`.
        body: whole, or a stream that must be read to its end or closed.
    """

    status: int
    headers: dict[str, str]
    body: "bytes | AnswerStream"


class AnswerStream:
    """The chunks of a long answer. Read it to its end or close it.

    Args:
        connection: where it comes from; nobody else reads there meanwhile.
    """

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def __aiter__(self) -> "AnswerStream":
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            ConnectionLostError: it ended too early.
            AnswerTimeoutError: the time was up.
            InvalidAnswerError: what came is not HTTP.
        """
        chunk = await self._connection.next_chunk()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Lets go of it; what has not been read is dropped, with the connection."""
        self._connection.end()

    def on_end(self, callback: Callable[[], None]) -> None:
        """Has a function called once, when it was read, closed, or failed."""
        self._connection.on_end = callback


class ConnectionPool:
    """The connections to one address.

    Args:
        host: an IP address.
        port: TCP port.
        on_lost: called when an idle connection ends, which may be the first sign of a death.
    """

    def __init__(self, host: str, port: int, on_lost: Callable[[], None]) -> None:
        self._host = host
        self._port = port
        self._on_lost = on_lost
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._is_closed = False
        self._is_heard = False

    async def acquire(self, *, fresh: bool = False, sound: bool = False) -> "Connection":
        """A connection that nobody else uses.

        Args:
            fresh: never one that carried a request before.
            sound: none that the instance may have closed, or is about to close.

        Raises:
            ConnectFailedError: there is none to be had.
        """
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.is_sound if sound else connection.is_open:
                self._busy.add(connection)
                return connection
            connection.abort()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._host, self._port
                )
        except (OSError, TimeoutError) as error:
            raise ConnectFailedError(
                f"{self._host}:{self._port}: {error or 'no answer'}"
            ) from error
        self._busy.add(connection)
        return connection

    def release(self, connection: "Connection") -> None:
        """Takes back a connection that can carry another request."""
        self._busy.discard(connection)
        if self._is_closed or len(self._idle) >= _IDLE_LIMIT:
            connection.abort()
        else:
            self._idle.append(connection)

    def lose(self, connection: "Connection") -> None:
        """Drops a connection that has ended."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            self._on_lost()

    def hear(self) -> None:
        """Notes that something came from the address."""
        self._is_heard = True

    def take_heard(self) -> bool:
        """Whether anything came since the last call."""
        was_heard, self._is_heard = self._is_heard, False
        return was_heard

    def flush(self) -> None:
        """Closes what is idle."""
        while self._idle:
            self._idle.pop().abort()

    def close(self) -> None:
        """Closes everything, now and later: nobody is there any more.

        Of a machine that has vanished not even an end of the stream may come: who waits for an
        answer is told here.
        """
        self._is_closed = True
        self.flush()
        for connection in list(self._busy):
            connection.vanish()


class Connection(asyncio.Protocol):
    """One connection. `exchange` is called for one request after the other, never for two at once.

    Args:
        pool: gets it back after each exchange.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self.on_end: Callable[[], None] | None = None
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ended_at = 0.0
        self._is_used = False
        self._is_repeatable = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._incoming = IncomingAnswer()
        self._head_came: asyncio.Future[None] = self._loop.create_future()
        self._more_came: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: RouterError | None = None
        self._is_paused = False
        self._is_sent = False
        self._has_ended = True
        self._has_vanished = False

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_sound(self) -> bool:
        """Whether it was used just now, and nothing has come since: not its end either."""
        if self._transport is None or self._loop.time() - self._ended_at > _SURE_S:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return self.is_open and not poll.poll(0)

    def abort(self) -> None:
        """Closes it at once."""
        if self._transport is not None:
            self._transport.abort()

    def vanish(self) -> None:
        """Ends the exchange under way: whoever had the request is gone, and may have begun it."""
        self._has_vanished = True
        self.abort()

    async def exchange(self, head: bytes, body: Body, timeout_s: float) -> Answer:
        """Sends a request and returns its answer.

        Args:
            head: request line and headers, with the empty line at their end, see `request_head`.
            body: bytes, or chunks that make up the length that the head names.
            timeout_s: for everything until the answer's last byte.

        Raises:
            ConnectFailedError: it ended before anything was sent.
            ConnectionLostError: it ended before the answer's head, or a whole short answer, came.
            AnswerTimeoutError: the time was up.
            InvalidAnswerError: what came is not HTTP.
        """
        self._begin(timeout_s, can_repeat=isinstance(body, bytes))
        incoming = self._incoming
        try:
            await self._write(head, body)
            await self._head_came
            while incoming.is_short and not incoming.is_complete:
                await self._until_more()
        except BaseException:
            self.end()
            raise
        if not incoming.is_complete:
            return Answer(incoming.status, incoming.headers, AnswerStream(self))
        whole = incoming.take_all()
        self.end()
        return Answer(incoming.status, incoming.headers, whole)

    async def next_chunk(self) -> bytes:
        """The answer's next part; empty after the last one.

        Raises:
            RouterError: as `exchange` does.
        """
        incoming = self._incoming
        while not incoming.chunks:
            if incoming.is_complete:
                self.end()
                return b""
            self._read_on()
            await self._until_more()
        return incoming.take()

    def end(self) -> None:
        """Ends the exchange: keeps the connection if it is as good as new, else closes it."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self.on_end is not None:
            callback, self.on_end = self.on_end, None
            callback()
        if self._is_sent and self._incoming.is_clean and self.is_open:
            self._ended_at = self._loop.time()
            self._read_on()  # the whole answer may have come before any of it was taken
            self._pool.release(self)
        else:
            self.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, then wakes who waits."""
        self._pool.hear()
        incoming = self._incoming
        try:
            incoming.feed(data)
        except httptools.HttpParserError as error:
            self._fail(InvalidAnswerError(f"the instance's answer is not HTTP: {error}"))
            self.abort()
            return
        self._wake()
        if incoming.unread_bytes > _HIGH_WATER_BYTES and self._transport and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends an answer that lasts until the close; anything else unfinished has failed."""
        self._transport = None
        self._may_write.set()
        self._pool.lose(self)
        if self._has_ended:
            return
        incoming = self._incoming
        if incoming.lasts_until_close and exc is None:
            incoming.is_complete = True
            self._wake()
        elif not incoming.is_complete:
            self._fail(
                ConnectionLostError(
                    f"the instance closed the connection: {exc or 'end of stream'}",
                    is_stale=self._is_repeatable
                    and not incoming.has_begun
                    and not self._has_vanished,
                )
            )

    def pause_writing(self) -> None:
        """The instance reads more slowly than the client sends."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The instance has caught up."""
        self._may_write.set()

    # Ours.

    def _begin(self, timeout_s: float, *, can_repeat: bool) -> None:
        self._is_repeatable = self._is_used and can_repeat
        self._is_used = True
        self._incoming = IncomingAnswer()
        self._head_came = self._loop.create_future()
        self._more_came = None
        self._failure = None
        self._is_paused = self._is_sent = self._has_ended = False
        self._timer = self._loop.call_later(timeout_s, self._on_timeout)

    async def _write(self, head: bytes, body: Body) -> None:
        transport = self._transport
        if transport is None:
            raise ConnectFailedError("the connection was closed before it was used")
        if not isinstance(body, bytes):
            transport.write(head)
            await self._write_stream(body)
        elif len(body) < _JOINED_BYTES:
            transport.write(head + body)
            self._is_sent = True
        else:
            transport.write(head)
            transport.write(body)
            self._is_sent = True

    async def _write_stream(self, body: AsyncIterator[bytes]) -> None:
        async for chunk in body:
            if self._transport is None or self._head_came.done():  # lost, or refused half-way
                return
            self._transport.write(chunk)
            await self._may_write.wait()
        self._is_sent = True

    def _read_on(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def _on_timeout(self) -> None:
        self._fail(AnswerTimeoutError("the instance did not answer in time"))
        self.abort()

    def _fail(self, failure: RouterError) -> None:
        if self._failure is None:
            self._failure = failure
        if not self._head_came.done():
            self._head_came.set_exception(failure)
            self._head_came.exception()  # who awaits it gets it; nobody may be awaiting it yet
        self._wake()
        if self._incoming.is_head_complete and not self._incoming.is_short:
            self.end()  # a stream that perhaps nobody is reading

    def _wake(self) -> None:
        if self._incoming.is_head_complete and not self._head_came.done():
            self._head_came.set_result(None)
        if self._more_came is not None and not self._more_came.done():
            self._more_came.set_result(None)

    async def _until_more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._more_came = self._loop.create_future()
        await self._more_came
