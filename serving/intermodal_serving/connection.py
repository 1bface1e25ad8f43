"""One client's connection: HTTP/1.1 between the socket and the application.

What comes is the business of `reader`. Requests of one connection are answered in their order, one
at a time; a client that sends too much or takes too little is read no further. A connection that is
upgraded hands all bytes that come to whoever speaks the other protocol.
"""

import asyncio
import logging
import os
import socket
import struct
from collections import deque
from typing import Protocol

from intermodal_serving.messages import BODILESS, Answer, Request
from intermodal_serving.pace import Pace
from intermodal_serving.reader import DIRECT_BYTES, Reader

logger = logging.getLogger("serve")

PIPELINE_LIMIT = 16
"""So many requests may wait on one connection before it is read no further."""

_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    408: "Request Timeout", 409: "Conflict", 413: "Content Too Large", 414: "URI Too Long",
    415: "Unsupported Media Type", 422: "Unprocessable Content", 424: "Failed Dependency",
    426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
    504: "Gateway Timeout", 507: "Insufficient Storage", 530: "Model Error",
}  # fmt: skip


class Service(Protocol):
    """What a connection needs of the server it belongs to."""

    max_body_bytes: int
    scratch: memoryview
    """Where all connections read to; used up before the loop goes on."""

    date_header: str
    """The `date` line, with its end."""

    is_draining: bool

    def time(self) -> float:
        """`time.monotonic`, in seconds."""

    def opened(self, connection: "Connection") -> None:
        """A connection is there."""

    def closed(self, connection: "Connection") -> None:
        """A connection is gone."""

    def handle(self, request: Request) -> None:
        """Answer a request, now or later, by `request.connection.answer`."""


class Upgraded(Protocol):
    """Who speaks on a connection after its upgrade."""

    def receive(self, data: bytes) -> None:
        """Bytes came."""

    def receive_eof(self) -> None:
        """No more bytes will come."""

    def go_away(self) -> None:
        """The server ends soon; called again and again until the connection is gone."""


class Connection(asyncio.BufferedProtocol):
    """One connection.

    Args:
        service: whom it asks.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = Reader(self, service)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Request] = deque()
        self.active: Request | None = None
        """The request that is being answered."""
        self.is_closing = False
        self.is_unused = True
        """Whether nothing has come yet."""
        self.changed_at = service.time()
        """When bytes last came or an answer was last given, by that clock."""
        self.stalled_at: float | None = None
        """Since when the client takes no bytes, although there are some for it."""
        self._resumed: asyncio.Future[None] | None = None
        self._is_full = False
        self._is_held = False
        self._is_paused = False
        self._is_advancing = False
        self._has_eof = False
        self._lingers_since: float | None = None
        self._is_streaming = False
        self._is_chunked = False
        self.upgraded: Upgraded | None = None
        """Who speaks here after an upgrade."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the connection is open."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio's: the connection is gone."""
        self.is_closing = True
        self._transport = None
        self._waiting.clear()
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        if self.active is not None and self.active.on_gone is not None:
            self.active.on_gone()
        self._service.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """asyncio's: where the next bytes go."""
        return self._reader.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio's: so many bytes came."""
        self.changed_at = self._service.time()
        self.is_unused = False
        self._reader.receive(nbytes)

    def eof_received(self) -> bool:
        """asyncio's: whether to stay open; a client that ended its side may wait for its answer."""
        self._has_eof = True
        if self.upgraded is not None:
            self.upgraded.receive_eof()
            return False
        if self.is_closing:
            return False
        if self._is_streaming:  # it may have left, and a stream can be long: so it has
            self.abort()
            return False
        last = self._waiting[-1] if self._waiting else self.active
        if last is not None:
            self._reader.be_deaf()
            last.is_last = True
        else:
            self._reader.end()
        return self.active is not None

    def pause_writing(self) -> None:
        """asyncio's: the client is slower than we are."""
        self.stalled_at = self._service.time()
        self._read_or_pause()

    def resume_writing(self) -> None:
        """asyncio's: the client took what waited."""
        self.stalled_at = None
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        self._read_or_pause()

    # What the reader calls.

    def take(self, request: Request) -> None:
        """Have a request, which is whole or refused, answered in its turn."""
        if self.is_closing:
            return
        if self.active is None and not self._waiting:
            self.active = request
            self._service.handle(request)
            return
        self._waiting.append(request)
        if len(self._waiting) >= PIPELINE_LIMIT:
            self._is_full = True
            self._read_or_pause()

    @property
    def is_free(self) -> bool:
        """Whether a request that comes now would be answered at once."""
        return self.active is None and not self._waiting

    @property
    def _ends_soon(self) -> bool:
        """Whether the connection ends with the active request, after which nothing waits."""
        return self._service.is_draining and not self._waiting

    # What the application calls.

    def answer(self, request: Request, answer: Answer) -> None:
        """Send the answer of the active request; nothing happens if it has one or nobody waits."""
        if request is not self.active:
            return
        transport = self._transport
        if transport is None or self.is_closing:
            self._done(request)
            return
        is_last = request.is_last or self._ends_soon
        try:
            head = self._head(answer, len(answer.body), is_last=is_last)
        except ValueError as error:
            logger.error("an answer of the model cannot be sent: %s", error)  # noqa: TRY400
            answer = Answer(500)
            head = self._head(answer, 0, is_last=is_last)
        if request.method == "HEAD" or not answer.body or answer.status in BODILESS:
            transport.write(head)
        elif len(answer.body) < DIRECT_BYTES:
            transport.write(head + answer.body)
        else:
            transport.writelines((head, answer.body))
        request.is_last = is_last
        self._done(request)

    def begin_stream(self, request: Request, answer: Answer) -> None:
        """Send the head of an answer whose body comes in chunks."""
        if request is not self.active or not self.is_open or self._transport is None:
            return
        self._is_streaming = True
        self._is_chunked = not self._reader.is_http_10
        request.is_last |= self._ends_soon or not self._is_chunked
        self._transport.write(self._head(answer, None, is_last=request.is_last))

    def send_chunk(self, request: Request, chunk: bytes) -> None:
        """Send a piece of a body, which is not empty."""
        if request is not self.active or not self.is_open or self._transport is None:
            return
        if not self._is_chunked:
            self._transport.write(chunk)
        elif len(chunk) < DIRECT_BYTES:
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))

    def end_stream(self, request: Request) -> None:
        """Say that the body is whole."""
        if request is not self.active:
            return
        if self._is_chunked and self.is_open and self._transport is not None:
            self._transport.write(b"0\r\n\r\n")
        self._is_streaming = False
        request.is_last |= self._ends_soon
        self._done(request)

    def break_off(self, request: Request) -> None:
        """End the connection so that the client knows that the body is not whole."""
        if request is not self.active or self._transport is None:
            return
        if self._is_chunked:
            self.close()  # what was sent arrives, but the last chunk is missing
            return
        # HTTP/1.0 ends a body by the end of the connection: only a reset tells the difference.
        number = self._transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    async def drained(self) -> None:
        """Wait until the client has taken most of what was sent, or is gone."""
        while self.stalled_at is not None and self.is_open:
            self._resumed = asyncio.get_running_loop().create_future()
            await self._resumed

    def upgrade(self, upgraded: Upgraded) -> None:
        """Give all bytes that come from now on to someone else; the active request stays so."""
        self.upgraded = upgraded

    def write(self, data: bytes) -> None:
        """Send bytes that are no answer."""
        if self._transport is not None and not self.is_closing:
            self._transport.write(data)

    def end_writing(self) -> None:
        """Say that nothing more is sent; what the client sends is still read."""
        if self._transport is not None and not self.is_closing:
            self._transport.write_eof()

    def pause_reading(self) -> None:
        """Read no more, so that the client must wait, until `resume_reading`."""
        self._is_held = True
        self._read_or_pause()

    def resume_reading(self) -> None:
        """Read on."""
        self._is_held = False
        self._read_or_pause()

    def go_away(self) -> None:
        """Tell whoever speaks another protocol here that the server ends soon."""
        if self.upgraded is not None:
            self.upgraded.go_away()

    def close(self) -> None:
        """End the connection once all that was written is sent."""
        self.is_closing = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self.is_closing = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether no request is there or coming."""
        is_receiving = self._reader.is_receiving and not self._reader.is_deaf
        return self.is_free and not is_receiving

    @property
    def is_open(self) -> bool:
        """Whether an answer would still reach anybody."""
        return self._transport is not None and not self.is_closing

    def check_pace(self, now: float, pace: Pace) -> None:
        """End a connection whose client is too slow, or idle for too long."""
        quiet_s = now - self.changed_at
        if self.stalled_at is not None and now - self.stalled_at > pace.stall_s:
            self.abort()
        elif self._lingers_since is not None:
            if now - self._lingers_since > pace.linger_s:
                self.close()
        elif self._reader.is_receiving:
            self._reader.check_pace(now, pace)
        elif self.active is None and quiet_s > pace.keep_alive_s:
            self.close()
        elif self.active is None and quiet_s > pace.spare_memory_s:
            self._reader.free_memory()

    # The rest is ours.

    def _done(self, request: Request) -> None:
        self.active = None
        self.changed_at = self._service.time()
        body, request.body = request.body, b""
        if isinstance(body, memoryview):
            self._reader.take_back(body)
        if request.is_last:
            is_receiving = self._reader.is_receiving
            sends_more = request.refusal is not None or bool(self._waiting) or is_receiving
            self._waiting.clear()
            if sends_more and not self._has_eof:
                self._linger()
            else:
                self.close()
        elif (self._waiting or self._is_full or self._reader.expects) and not self._is_advancing:
            self._advance()

    def _advance(self) -> None:
        """Has what waits answered: a loop, since an answer may be there at once."""
        self._is_advancing = True
        while self._waiting and self.active is None:
            self.active = self._waiting.popleft()
            self._service.handle(self.active)
        self._is_advancing = False
        if self.active is not None or self._transport is None or self.is_closing:
            return
        self._is_full = False
        self._read_or_pause()
        self._reader.invite()

    def _read_or_pause(self) -> None:
        """Reads nothing more from a client that has sent enough, or does not take its answers."""
        pause = self._is_full or self._is_held or self.stalled_at is not None
        if pause is self._is_paused or self._transport is None or self._transport.is_closing():
            return
        self._is_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _linger(self) -> None:
        """Ends our side and reads on: bytes that nobody read would turn into a reset.

        A client that still sends would lose the answer to it.
        """
        self._reader.be_deaf()
        self.is_closing = True
        self._lingers_since = self.changed_at
        self._is_full = False
        self._read_or_pause()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def _head(self, answer: Answer, size_bytes: int | None, *, is_last: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}\r\n",
            self._service.date_header,
        ]
        for name, value in answer.headers.items():
            line = f"{name}: {value}"
            if "\n" in line or "\r" in line:
                raise ValueError(f"its header {name!r} has more than one line")
            lines.append(line + "\r\n")
        if size_bytes is None:
            lines.append("transfer-encoding: chunked\r\n" if self._is_chunked else "")
        elif answer.status not in BODILESS:
            lines.append(f"content-length: {size_bytes}\r\n")
        lines.append("connection: close\r\n\r\n" if is_last else "\r\n")
        return "".join(lines).encode("latin-1")
