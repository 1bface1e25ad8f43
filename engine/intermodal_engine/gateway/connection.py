"""One client's connection, and what it may cost.

uvicorn's own waits forever for the rest of a head, keeps one of any size, and waits forever for a
client that does not read. Here each has an end. Bodies that stop are `exchange`'s to notice.
"""

import asyncio
import fcntl
import struct
import sys
import termios
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from intermodal_engine.gateway.whole_answers import WholeAnswers

_STALL_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may cost.

    Attributes:
        head_s: from the connect, or from the first byte of a later request, to the head's end.
        head_bytes: size of a head, or of the trailers of a body. One read more may come.
        stall_s: how long the client may take nothing of what is being sent.
    """

    head_s: float = 30.0
    head_bytes: int = 128 << 10
    stall_s: float = 60.0


class Connection(HttpToolsProtocol):
    """One client's connection.

    Args:
        arguments: uvicorn's own, as are the named ones.
        bounds: what it may cost.
    """

    def __init__(self, *arguments: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._bytes_of_head = 0
        self._unsent_bytes = 0
        self._looks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for a head."""
        joined = WholeAnswers(transport, self.loop)
        super().connection_made(joined)  # type: ignore[arg-type]  # uvicorn asks for the class
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all waiting."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the client reset
        self._end_wait_for_head()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and refuses a head without end."""
        self._bytes_of_head += len(data)
        super().data_received(data)
        if self._bytes_of_head > self._bounds.head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
        elif not self._is_at_work and self.timeout_keep_alive_task is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """Notes that a head has begun."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begins the request."""
        self._is_in_head = False
        self._bytes_of_head = 0
        self._end_wait_for_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a part of the body."""
        self._bytes_of_head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Notes the end of the request."""
        self._bytes_of_head = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Goes on to the next request; what the client has yet to take is watched."""
        super().on_response_complete()
        if self._is_in_head:
            self._await_head()
        self._watch_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP."""
        self._bytes_of_head = 0
        super().send_400_response(msg)
        self._watch_writing()

    def pause_writing(self) -> None:
        """Called where the client takes less than is sent."""
        super().pause_writing()
        self._watch_writing()

    @property
    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._bounds.head_s, self._on_no_head)

    def _end_wait_for_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_no_head(self) -> None:
        self._head_timer = None
        if self._is_at_work:  # the answer before it takes its time
            self._await_head()
        elif self._is_in_head:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        """Closes the connection; tells why, unless an answer is under way."""
        self._bytes_of_head = 0
        if self._is_at_work:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status
            )
            self.transport.close()
            self._watch_writing()

    def _watch_writing(self) -> None:
        if self._stall_timer is None and self.transport.get_write_buffer_size():
            self._unsent_bytes, self._looks = _untaken(self.transport), 0
            self._look_later()

    def _look_later(self) -> None:
        wait_s = self._bounds.stall_s / _STALL_LOOKS
        self._stall_timer = self.loop.call_later(wait_s, self._look_at_writing)

    def _look_at_writing(self) -> None:
        """Cuts the connection once so many looks have found that the client has taken nothing."""
        self._stall_timer = None
        if not self.transport.get_write_buffer_size():
            return
        unsent = _untaken(self.transport)
        self._looks = self._looks + 1 if unsent == self._unsent_bytes else 0
        self._unsent_bytes = unsent
        if self._looks == _STALL_LOOKS:
            self.transport.abort()
        else:
            self._look_later()


def _untaken(transport: asyncio.WriteTransport) -> int:
    """Bytes that are sent and not with the client: here, and where it can be asked in the kernel.

    The kernel asks for more only once a third of its megabytes is free: a slow reader needs long.
    """
    size = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if sys.platform != "linux" or connection is None or connection.fileno() < 0:
        return size
    queued: bytes = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return size + int(struct.unpack("i", queued)[0])
