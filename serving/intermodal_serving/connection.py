"""One client's connection: HTTP/1.1 between httptools' parser and the application.

Small bodies come through the parser. A body that is announced as large is read by the socket
straight into a buffer of its own, which the model then views: no copy. Requests of one connection
are answered in their order, one at a time. A connection that is upgraded hands all bytes that come
to whoever speaks the other protocol.
"""

import asyncio
import contextlib
import logging
import mmap
import os
import socket
import struct
from collections import deque
from typing import Protocol

import httptools

from intermodal_serving.messages import BODILESS, Answer, Body, Request
from intermodal_serving.pace import Pace

logger = logging.getLogger("serve")

DIRECT_BYTES = 64 * 1024
"""From this size on a body is read into a buffer of its own."""

URL_LIMIT_BYTES = 8 * 1024
HEADERS_LIMIT_BYTES = 64 * 1024
HEADERS_LIMIT = 200
DISCARD_LIMIT_BYTES = 256 * 2**20
"""So much of a refused body is read, so that the client sees the answer and not a reset."""

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

    # Of the request that is coming; set anew by `_start`.
    _url: bytes
    _headers: list[tuple[bytes, bytes]]
    _headers_bytes: int
    _has_headers: bool
    _announced: int | None
    _expects: bool
    _body: bytes | bytearray
    _direct: mmap.mmap | None
    _rest: memoryview | None
    _refused: Request | None
    _received: int
    _progress: int
    _silent_bytes: int

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Request] = deque()
        self.active: Request | None = None
        """The request that is being answered."""
        self.is_receiving = False
        """Whether a request has begun to come and is not whole."""
        self.is_closing = False
        self.is_unused = True
        """Whether nothing has come yet."""
        self.changed_at = service.time()
        """When bytes last came or an answer was last given, by that clock."""
        self.began_at = 0.0
        """When the request that is coming began."""
        self.stalled_at: float | None = None
        """Since when the client takes no bytes, although there are some for it."""
        self._resumed: asyncio.Future[None] | None = None
        self._spare: mmap.mmap | None = None
        self._discard = 0
        self._is_full = False
        self._is_held = False
        self._is_paused = False
        self._is_deaf = False
        self._is_advancing = False
        self._has_eof = False
        self._lingers_since: float | None = None
        self.is_http_10: bool | None = None
        """Whether the client speaks HTTP/1.0, which has no chunks; None until it spoke."""
        self._is_streaming = False
        self._is_chunked = False
        self._upgraded: Upgraded | None = None
        self._start()

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
        if self._rest is not None:
            return self._rest
        if self._discard:
            return self._service.scratch[: self._discard]
        return self._service.scratch

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio's: so many bytes came."""
        self.changed_at = self._service.time()
        self.is_unused = False
        if self._rest is not None:
            self._rest = self._rest[nbytes:]
            if not self._rest:
                self._end_direct()
        elif self._discard:
            self._discard -= nbytes
            if not self._discard:
                self._anew()
        elif not (self.is_closing or self._is_deaf):
            if self._upgraded is None:
                self._feed(self._service.scratch[:nbytes])
            else:
                self._upgraded.receive(bytes(self._service.scratch[:nbytes]))

    def eof_received(self) -> bool:
        """asyncio's: whether to stay open; a client that ended its side may wait for its answer."""
        self._has_eof = True
        if self._upgraded is not None:
            self._upgraded.receive_eof()
            return False
        if self.is_closing:
            return False
        if self._is_streaming:  # it may have left, and a stream can be long: so it has
            self.abort()
            return False
        last = self._waiting[-1] if self._waiting else self.active
        if last is not None:
            self._be_deaf()
            last.is_last = True
        elif self.is_receiving and self._refused is None:
            self._refuse(400, "the request ended before it was whole")
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

    # What the parser calls.

    def on_message_begin(self) -> None:
        """httptools': a request begins."""
        self._start()
        self.is_receiving = True
        self.began_at = self._service.time()

    def on_url(self, url: bytes) -> None:
        """httptools': a piece of the target."""
        self._url = self._url + url if self._url else url
        if len(self._url) > URL_LIMIT_BYTES:
            raise _RefusedError(414, f"the URL is longer than {URL_LIMIT_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools': one header."""
        name = name.lower()
        self._headers.append((name, value))
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > HEADERS_LIMIT_BYTES or len(self._headers) > HEADERS_LIMIT:
            raise _RefusedError(431, f"the headers are more than {HEADERS_LIMIT_BYTES} bytes")
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise _RefusedError(400, "the Content-Length is not a number")
            self._announced = int(value)
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """httptools': the body comes next, if there is one."""
        self._has_headers = True
        announced = self._announced or 0
        limit = self._service.max_body_bytes
        if announced > limit:
            self._refuse_body(limit)
        elif self._expects:
            self._invite()
        if announced > DIRECT_BYTES and self._refused is None:
            self._direct = self._take_buffer(announced)
            self._rest = memoryview(self._direct)[:announced]

    def on_body(self, chunk: bytes) -> None:
        """httptools': a piece of the body."""
        if self._refused is not None:
            self._received += len(chunk)
            return
        if self._rest is not None:
            self._rest[: len(chunk)] = chunk
            self._rest = self._rest[len(chunk) :]
            return
        if not self._body:
            self._body = chunk
        else:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += chunk
        if len(self._body) > self._service.max_body_bytes:
            self._received = len(self._body)
            self._refuse_body(self._service.max_body_bytes)
            self._body = b""

    def on_message_complete(self) -> None:
        """httptools': the request is whole."""
        self.is_receiving = False
        if self._refused is None:
            body: Body = self._body
            if self._direct is not None:
                body = memoryview(self._direct)[: self._announced]
            self._take(body)
        self._start()

    # What the application calls.

    def answer(self, request: Request, answer: Answer) -> None:
        """Send the answer of the active request; nothing happens if it has one or nobody waits."""
        if request is not self.active:
            return
        transport = self._transport
        if transport is None or self.is_closing:
            self._done(request)
            return
        is_last = request.is_last or self._service.is_draining
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
        self._is_chunked = not self.is_http_10
        request.is_last |= self._service.is_draining or not self._is_chunked
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
        request.is_last |= self._service.is_draining
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
        self._upgraded = upgraded

    def write(self, data: bytes) -> None:
        """Send bytes of another protocol."""
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
        if self._upgraded is not None:
            self._upgraded.go_away()

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
        is_receiving = self.is_receiving and not self._is_deaf
        return self.active is None and not self._waiting and not is_receiving

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
        elif self.is_receiving:
            self._check_request(now, pace)
        elif self.active is None and quiet_s > pace.keep_alive_s:
            self.close()
        elif self.active is None and quiet_s > pace.spare_memory_s:
            self._spare = None

    # The rest is ours.

    def _start(self) -> None:
        self._url = b""
        self._headers = []
        self._headers_bytes = 0
        self._announced = None
        self._expects = False
        self._has_headers = False
        self._body = b""
        self._direct = None
        self._rest = None
        self._refused = None
        self._received = self._progress = self._silent_bytes = 0
        self.is_receiving = False

    def _anew(self) -> None:
        """Begin with the next request, where this one's body went past the parser."""
        self._parser = httptools.HttpRequestParser(self)
        self._start()

    def _feed(self, data: memoryview) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Without someone who speaks the other protocol it is a request like others.
                data = data[upgrade.args[0] :]
                self._anew()
                if data and not self.is_closing:
                    if self._upgraded is None:
                        continue
                    self._upgraded.receive(bytes(data))
            except httptools.HttpParserCallbackError as error:
                cause = error.__context__
                if not isinstance(cause, _RefusedError):
                    raise
                self._refuse(cause.status, str(cause))
            except httptools.HttpParserError:
                self._refuse(400, "this is not HTTP/1.1 as RFC 9112 has it")
            break
        if self.is_receiving:
            self._check_progress(len(data))
            if self._refused is not None:
                self._discard_body()

    def _check_progress(self, size_bytes: int) -> None:
        """Refuses what the parser keeps to itself for too long: half a header, a chunk's head."""
        progress = len(self._url) + len(self._headers) + len(self._body) + self._received
        if progress != self._progress:
            self._progress, self._silent_bytes = progress, 0
            return
        self._silent_bytes += size_bytes
        if self._silent_bytes > HEADERS_LIMIT_BYTES:
            self._refuse(431, f"one line of the request is over {HEADERS_LIMIT_BYTES} bytes")

    def _check_request(self, now: float, pace: Pace) -> None:
        if not self._has_headers:
            if now - self.began_at > pace.headers_s:
                self._refuse(408, f"the headers were not there within {pace.headers_s:g} s")
            return
        took_s = now - self.began_at
        is_slow = took_s > pace.body_s and self._body_bytes < took_s * pace.body_bytes_per_s
        if not is_slow and now - self.changed_at <= pace.body_s:
            return
        self._refuse(408, f"the body came too slowly, or stood still for {pace.body_s:g} s")

    @property
    def _body_bytes(self) -> int:
        """How much of the body has come."""
        if self._rest is not None:
            return (self._announced or 0) - len(self._rest)
        if self._discard:
            return (self._announced or 0) - self._discard
        return len(self._body) + self._received

    def _invite(self) -> None:
        """Tells a client that waits for it to send its body."""
        is_next = self.active is None and not self._waiting
        if is_next and self._transport is not None and self._parser.get_http_version() == "1.1":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _end_direct(self) -> None:
        assert self._direct is not None  # noqa: S101 - the rest is a part of it
        self._rest = None
        self.is_receiving = False
        self._take(memoryview(self._direct)[: self._announced])
        self._anew()

    def _take(self, body: Body) -> None:
        self._put(self._new_request(body))

    def _new_request(self, body: Body = b"") -> Request:
        path, _, query = self._url.decode("latin-1").partition("?")
        if not path.startswith("/"):
            path = _origin_form(path)
        stays = self._parser.should_keep_alive()
        if not stays or self.is_http_10 is None:  # else it is what it was before
            self.is_http_10 = self._parser.get_http_version() == "1.0"
        return Request(
            self,
            self._parser.get_method().decode("latin-1"),
            path,
            query,
            self._headers,
            self.began_at,
            body,
            is_last=not stays,
        )

    def _put(self, request: Request) -> None:
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

    def _done(self, request: Request) -> None:
        self.active = None
        self.changed_at = self._service.time()
        body, request.body = request.body, b""
        if isinstance(body, memoryview) and isinstance(body.obj, mmap.mmap):
            self._spare = body.obj
        if request.is_last:
            sends_more = request.refusal is not None or bool(self._waiting) or self.is_receiving
            self._waiting.clear()
            if sends_more and not self._has_eof:
                self._linger()
            else:
                self.close()
        elif (self._waiting or self._is_full or self._expects) and not self._is_advancing:
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
        if self.is_receiving and self._has_headers and self._expects and self._refused is None:
            self._invite()

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
        self._be_deaf()
        self.is_closing = True
        self._lingers_since = self.changed_at
        self._is_full = False
        self._read_or_pause()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def _be_deaf(self) -> None:
        """Takes no further request, nor the rest of the one that is coming."""
        self._is_deaf = True
        self.is_receiving = False
        self._direct = self._rest = None
        self._discard = 0

    def _refuse_body(self, limit: int) -> None:
        request = self._new_request()
        request.refusal = (413, f"the body is over the limit of {limit} bytes")
        # A client that waits for `100 Continue` may never send the body.
        request.is_last |= self._expects or (self._announced or 0) > DISCARD_LIMIT_BYTES
        self._refused = request
        self._put(request)

    def _discard_body(self) -> None:
        """Reads what is left of a body that nobody wants."""
        if self._announced is None:
            if self._received > DISCARD_LIMIT_BYTES:
                self.abort()
            return  # it comes in chunks, which the parser knows
        left = self._announced - self._received
        if 0 < left <= DISCARD_LIMIT_BYTES:
            self._discard = left

    def _refuse(self, status: int, message: str) -> None:
        """Answers bytes that are no request, after all that came before them."""
        if self.is_closing:
            return
        if self._refused is not None:  # one answer is enough
            self._be_deaf()
            self._refused.is_last = True
            if self.active is None:
                self.close()
            return
        request = Request(self, "GET", "", "", (), self.began_at, is_last=True)
        request.refusal = (status, message)
        self._be_deaf()
        self._put(request)

    def _take_buffer(self, size_bytes: int) -> mmap.mmap:
        spare, self._spare = self._spare, None
        if spare is not None and size_bytes <= len(spare) <= 4 * size_bytes:
            try:
                spare.resize(len(spare))  # refuses while anybody still views it
            except (BufferError, SystemError, OSError):
                pass
            else:
                return spare
        buffer = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without large pages
                buffer.madvise(mmap.MADV_HUGEPAGE)
        return buffer

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


def _origin_form(target: str) -> str:
    """The path of a target that names the server too, as RFC 9112 section 3.2.2 has it."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        return target
    return "/" + rest.partition("/")[2]


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
