"""How the bytes of one client become requests: httptools' parser, and what goes past it.

Small bodies come through the parser. A body that is announced as large is read by the socket
straight into a buffer of its own, which the model then views: no copy. What is too long, too slow
or no HTTP at all becomes a request that is refused.
"""

import contextlib
import mmap
from typing import TYPE_CHECKING

import httptools

from intermodal_serving.messages import Body, Request
from intermodal_serving.pace import Pace

if TYPE_CHECKING:
    from intermodal_serving.connection import Connection, Service

DIRECT_BYTES = 64 * 1024
"""From this size on a body has a buffer of its own and is not copied."""

URL_LIMIT_BYTES = 8 * 1024
HEADERS_LIMIT_BYTES = 64 * 1024
HEADERS_LIMIT = 200
DISCARD_LIMIT_BYTES = 256 * 2**20
"""So much of a refused body is read, so that the client sees the answer and not a reset."""


class Reader:
    """What comes on one connection.

    Args:
        connection: takes the requests, and says whether it still wants any.
        service: the server that it belongs to.
    """

    # Of the request that is coming; set anew by `_start`.
    _url: bytes
    _headers: list[tuple[bytes, bytes]]
    _headers_bytes: int
    _has_headers: bool
    _announced: int | None
    _body: bytes | bytearray
    _direct: mmap.mmap | None
    _refused: Request | None
    _received: int
    _progress: int
    _silent_bytes: int

    is_receiving: bool
    """Whether a request has begun to come and is not whole."""
    expects: bool
    """Whether its client waits to be told to send the body."""
    buffer: memoryview
    """Where the next bytes go: what is free of a large body's own buffer, or what all share."""

    def __init__(self, connection: "Connection", service: "Service") -> None:
        self._connection = connection
        self._time = service.time
        self._scratch = service.scratch
        self._max_body_bytes = service.max_body_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._began_at = 0.0
        self._spare: mmap.mmap | None = None
        self._discard = 0
        self.is_deaf = False
        """Whether it takes no request any more."""
        self.is_http_10: bool | None = None
        """Whether the client speaks HTTP/1.0, which has no chunks; None until it spoke."""
        self._start()

    # What the connection calls.

    def receive(self, nbytes: int) -> None:
        """So many bytes came into the buffer."""
        if self._direct is not None:
            self.buffer = self.buffer[nbytes:]
            if not self.buffer:
                self._end_direct()
        elif self._discard:
            self._discard -= nbytes
            if self._discard:
                self.buffer = self._scratch[: self._discard]
            else:
                self._anew()
        elif not (self.is_deaf or self._connection.is_closing):
            if self._connection.upgraded is None:
                self._feed(self._scratch[:nbytes])
            else:
                self._connection.upgraded.receive(bytes(self._scratch[:nbytes]))

    def end(self) -> None:
        """No more bytes will come: refuse a request that is not whole."""
        if self.is_receiving and self._refused is None:
            self._refuse(400, "the request ended before it was whole")

    def be_deaf(self) -> None:
        """Take no further request, nor the rest of the one that is coming."""
        self.is_deaf = True
        self.is_receiving = False
        self._direct = None
        self._discard = 0
        self.buffer = self._scratch

    def invite(self) -> None:
        """Tell a client that waits for it to send its body, if it is its turn."""
        is_asking = self.is_receiving and self._has_headers and self.expects
        if not is_asking or self._refused is not None or not self._connection.is_free:
            return
        if self._parser.get_http_version() == "1.1":
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def check_pace(self, now: float, pace: Pace) -> None:
        """Refuse the request that is coming if it comes too slowly."""
        took_s = now - self._began_at
        if not self._has_headers:
            if took_s > pace.headers_s:
                self._refuse(408, f"the headers were not there within {pace.headers_s:g} s")
            return
        is_slow = took_s > pace.body_s and self._body_bytes < took_s * pace.body_bytes_per_s
        if not is_slow and now - self._connection.changed_at <= pace.body_s:
            return
        self._refuse(408, f"the body came too slowly, or stood still for {pace.body_s:g} s")

    def take_back(self, body: memoryview) -> None:
        """Use a body's buffer again for the next one, if it has one of its own."""
        if isinstance(body.obj, mmap.mmap):
            self._spare = body.obj

    def free_memory(self) -> None:
        """Keep no buffer for the next body."""
        self._spare = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """httptools': a request begins."""
        self._start()
        self.is_receiving = True
        self._began_at = self._time()

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
            self.expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """httptools': the body comes next, if there is one."""
        self._has_headers = True
        announced = self._announced or 0
        if announced > self._max_body_bytes:
            self._refuse_body()
        elif self.expects:
            self.invite()
        if announced > DIRECT_BYTES and self._refused is None:
            self._direct = self._take_buffer(announced)
            self.buffer = memoryview(self._direct)[:announced]

    def on_body(self, chunk: bytes) -> None:
        """httptools': a piece of the body."""
        if self._refused is not None:
            self._received += len(chunk)
            return
        if self._direct is not None:
            self.buffer[: len(chunk)] = chunk
            self.buffer = self.buffer[len(chunk) :]
            return
        if not self._body:
            self._body = chunk
        else:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += chunk
        if len(self._body) > self._max_body_bytes:
            self._received = len(self._body)
            self._refuse_body()
            self._body = b""

    def on_message_complete(self) -> None:
        """httptools': the request is whole."""
        self.is_receiving = False
        if self._refused is None:
            body: Body = self._body
            if self._direct is not None:
                body = memoryview(self._direct)[: self._announced]
            self._connection.take(self._new_request(body))
        self._start()

    # The rest is ours.

    def _start(self) -> None:
        self._url = b""
        self._headers = []
        self._headers_bytes = 0
        self._announced = None
        self.expects = False
        self._has_headers = False
        self._body = b""
        self._direct = None
        self.buffer = self._scratch
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
                if data and not self._connection.is_closing:
                    if self._connection.upgraded is None:
                        continue
                    self._connection.upgraded.receive(bytes(data))
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

    @property
    def _body_bytes(self) -> int:
        """How much of the body has come."""
        if self._direct is not None:
            return (self._announced or 0) - len(self.buffer)
        if self._discard:
            return (self._announced or 0) - self._discard
        return len(self._body) + self._received

    def _end_direct(self) -> None:
        assert self._direct is not None  # noqa: S101 - the buffer was its
        self.buffer = self._scratch
        self.is_receiving = False
        self._connection.take(self._new_request(memoryview(self._direct)[: self._announced]))
        self._anew()

    def _new_request(self, body: Body = b"") -> Request:
        path, _, query = self._url.decode("latin-1").partition("?")
        if not path.startswith("/"):
            path = _origin_form(path)
        stays = self._parser.should_keep_alive()
        if not stays or self.is_http_10 is None:  # else it is what it was before
            self.is_http_10 = self._parser.get_http_version() == "1.0"
        return Request(
            self._connection,
            self._parser.get_method().decode("latin-1"),
            path,
            query,
            self._headers,
            self._began_at,
            body,
            is_last=not stays,
        )

    def _refuse_body(self) -> None:
        request = self._new_request()
        request.refusal = (413, f"the body is over the limit of {self._max_body_bytes} bytes")
        # A client that waits for `100 Continue` may never send the body.
        request.is_last |= self.expects or (self._announced or 0) > DISCARD_LIMIT_BYTES
        self._refused = request
        self._connection.take(request)

    def _discard_body(self) -> None:
        """Reads what is left of a body that nobody wants."""
        if self._announced is None:
            if self._received > DISCARD_LIMIT_BYTES:
                self._connection.abort()
            return  # it comes in chunks, which the parser knows
        left = self._announced - self._received
        if 0 < left <= DISCARD_LIMIT_BYTES:
            self._discard = left
            self.buffer = self._scratch[:left]

    def _refuse(self, status: int, message: str) -> None:
        """Answers bytes that are no request, after all that came before them."""
        if self._connection.is_closing:
            return
        if self._refused is not None:  # one answer is enough
            self.be_deaf()
            self._refused.is_last = True
            if self._connection.active is None:
                self._connection.close()
            return
        request = Request(self._connection, "GET", "", "", (), self._began_at, is_last=True)
        request.refusal = (status, message)
        self.be_deaf()
        self._connection.take(request)

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
