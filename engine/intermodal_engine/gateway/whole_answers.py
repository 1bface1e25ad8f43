"""The head of an answer and what follows, in one system call."""

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "
_JOINED_BYTES = 64 << 10
"""A longer body goes by itself: copying it costs more than the call."""


class WholeAnswers:
    """A transport that holds a head back until its body begins, or the loop's next turn.

    uvicorn writes the two one after the other. A kill -9 in between would leave a head without a
    body, which clients do not all notice: boto3 takes it for an answer without members.

    Args:
        transport: the connection's own; whatever is not said here goes to it.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.BaseTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport: Any = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends a body's piece, and the head with it; a head waits."""
        if self._head:
            head, self._head = self._head, b""
            if len(data) > _JOINED_BYTES:
                self._transport.write(head)
            else:
                data = head + data
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._send_head)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Closes it once all is sent."""
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
