"""An instance's answer while it comes in: what httptools' parser makes of the bytes."""

from collections import deque

import httptools

# An answer up to this size is handed on whole; a longer one as it comes.
WHOLE_BYTES = 256 << 10


class IncomingAnswer:
    """One answer.

    Attributes:
        status: HTTP status code; 0 until the head is complete.
        headers: names in lower case; repeated ones joined with `,`.
        chunks: the body's parts that nobody has taken yet.
        unread_bytes: their size.
        has_begun: whether a byte of it came.
        is_head_complete: whether status and headers are there.
        is_complete: whether all of it came.
        is_short: whether its length is known and small.
        lasts_until_close: whether its end is the connection's.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: deque[bytes] = deque()
        self.unread_bytes = 0
        self.has_begun = False
        self.is_head_complete = False
        self.is_complete = False
        self.is_short = False
        self.lasts_until_close = False
        self._keeps_alive = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_clean(self) -> bool:
        """Whether the connection can carry another exchange after this."""
        return self.is_complete and self._keeps_alive and not self.chunks

    def feed(self, data: bytes) -> None:
        """Takes what the socket gave.

        Raises:
            httptools.HttpParserError: it is not HTTP.
        """
        self.has_begun = True
        self._parser.feed_data(data)

    def take(self) -> bytes:
        """The oldest chunk."""
        chunk = self.chunks.popleft()
        self.unread_bytes -= len(chunk)
        return chunk

    def take_all(self) -> bytes:
        """All chunks as one."""
        whole = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self.unread_bytes = 0
        return whole

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A head begins; after an interim one (1xx) the final one."""
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]},{text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is there."""
        status = self._parser.get_status_code()
        if status < 200:
            return
        self.status = status
        self.is_head_complete = True
        length = self.headers.get("content-length")
        self.is_short = length is not None and int(length) <= WHOLE_BYTES
        self.lasts_until_close = length is None and "transfer-encoding" not in self.headers

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self.chunks.append(body)
        self.unread_bytes += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one."""
        if self.is_head_complete:
            self.is_complete = True
            self.lasts_until_close = False
            self._keeps_alive = self._parser.should_keep_alive()
