"""WebSockets: messages of a client to `stream_fn` of the model, and back.

The bytes are the business of the library `websockets`, whose protocol does no input and output of
its own; nobody else here imports it, and only a model that takes WebSockets does so at all. AWS
page: your-algorithms-inference-code (accepted within 250 ms, pings are answered; the service tells
its client the close code).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol

from intermodal_contract.serving_http import REQUEST_ID_HEADER
from intermodal_serving.context import Context
from intermodal_serving.errors import RequestError
from intermodal_serving.messages import Request
from intermodal_serving.streaming import close_async
from intermodal_serving.tracebacks import describe, user_traceback

if TYPE_CHECKING:
    from intermodal_serving.connection import Connection

logger = logging.getLogger("serve")
_quiet_logger = logging.getLogger("serve.websockets")

WAITING_LIMIT_BYTES = 2**20
WAITING_LIMIT = 256
"""When so much waits for the handler, the client is read no further."""

GRACE_S = 10.0
"""A handler has this time to end once no message can come any more."""

CLOSE_TIMEOUT_S = 5.0
"""A client has this time to close the connection after the last frame."""

PING_S = 60.0
"""A client that is silent for so long is asked whether it is there."""

SILENCE_LIMIT_S = 3 * PING_S
MAX_REASON_BYTES = 123

NORMAL, GOING_AWAY, NOT_TEXT, REFUSED, FAILED = 1000, 1001, 1007, 1008, 1011
"""Close codes of RFC 6455, section 7.4.1."""

_HANDSHAKE_HEADERS = (b"connection", b"host", b"origin", b"upgrade")


class HandshakeError(RequestError):
    """What the client sent does not open a WebSocket."""

    status = 400


class Messages:
    """What a client sends, for `async for`: `str` for text, `bytes` for the rest.

    Args:
        taken: called when the handler has taken one.
    """

    def __init__(self, taken: Callable[[], None]) -> None:
        self._taken = taken
        self._waiting: deque[str | bytes] = deque()
        self._arrived = asyncio.Event()
        self._is_over = False
        self.waiting_bytes = 0

    def put(self, message: str | bytes) -> None:
        """One more; nothing happens after the end."""
        if not self._is_over:
            self._waiting.append(message)
            self.waiting_bytes += len(message)
            self._arrived.set()

    def end(self) -> None:
        """There will be no more."""
        self._is_over = True
        self._arrived.set()

    @property
    def are_too_many(self) -> bool:
        """Whether the client shall wait."""
        return self.waiting_bytes > WAITING_LIMIT_BYTES or len(self._waiting) > WAITING_LIMIT

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        message = self._waiting.popleft()
        self.waiting_bytes -= len(message)
        self._taken()
        return message


class Conversation:
    """One WebSocket, from its handshake to its end.

    Args:
        request: asks for it.
        context: the request's.
        max_message_bytes: a client that sends a longer message is closed with 1009.
        ended: called on the event loop at the end.

    Raises:
        HandshakeError: the request does not open a WebSocket.
    """

    def __init__(
        self,
        request: Request,
        context: Context,
        max_message_bytes: int,
        ended: "Callable[[Conversation], None]",
    ) -> None:
        _quiet_logger.setLevel(logging.WARNING)
        self.request = request
        self.request_id = context.request_id
        self.bytes_in = self.bytes_out = self.messages_in = self.messages_out = 0
        self.close_code = NORMAL
        self._connection: Connection = request.connection
        self._context = context
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._messages = Messages(self._has_taken)
        self._fragments: list[bytes] = []
        self._is_text = False
        self._is_leaving = False
        self._grace: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._protocol = ServerProtocol(max_size=max_message_bytes, logger=_quiet_logger)
        self._shake_hands()

    def start(self, converse: Callable[[AsyncIterator[str | bytes], Context], Any]) -> None:
        """Give the messages to the handler and its own to the client, until one of them ends."""
        self.request.on_gone = self._has_lost
        self._connection.upgrade(self)
        self._flush()
        self._loop.call_later(PING_S, self._keep_alive)
        self._task = asyncio.ensure_future(self._run(converse))

    # What the connection calls.

    def receive(self, data: bytes) -> None:
        """Bytes came."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        self._flush()
        if self._protocol.state is not State.OPEN:
            self._has_ended()
        elif self._messages.are_too_many:
            self._connection.pause_reading()

    def receive_eof(self) -> None:
        """No more bytes will come."""
        self._protocol.receive_eof()
        self._has_ended()

    def go_away(self) -> None:
        """Take no more messages; the handler may answer those that are there."""
        self._is_leaving = True
        self._has_ended()

    # The rest is ours.

    def _shake_hands(self) -> None:
        """Have the library check the request, as it does from its bytes, and answer it."""
        request = self.request
        target = request.path + ("?" + request.query if request.query else "")
        lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), target.encode("latin-1"))]
        lines += [
            b"%b: %b\r\n" % (name, value)
            for name, value in request.headers
            if name in _HANDSHAKE_HEADERS or name.startswith(b"sec-websocket-")
        ]
        self._protocol.receive_data(b"".join([*lines, b"\r\n"]))
        asked = next(iter(self._protocol.events_received()), None)
        if not isinstance(asked, Handshake):
            raise HandshakeError("the request does not open a WebSocket")
        response = self._protocol.accept(asked)
        if response.status_code != 101:
            raise HandshakeError(
                f"the request does not open a WebSocket: {self._protocol.handshake_exc}",
                hint="this server speaks version 13 of the protocol (RFC 6455)",
            )
        response.headers[REQUEST_ID_HEADER] = self.request_id
        self._protocol.send_response(response)

    async def _run(self, converse: Callable[[AsyncIterator[str | bytes], Context], Any]) -> None:
        code, reason = NORMAL, ""
        replies: Any = None
        try:
            replies = converse(self._messages, self._context)
            if not hasattr(replies, "__aiter__"):
                replies = await replies
            if replies is not None:
                async for reply in replies:
                    if not await self._send(reply):
                        break
        except asyncio.CancelledError:
            reason = f"the model did not end within {GRACE_S:g} s"
            logger.warning("request %s: %s", self.request_id, reason)
        except RequestError as error:
            code, reason = REFUSED, error.message
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            code, reason = FAILED, describe(error)
            self._log(error)
        try:
            await close_async(replies)
        except BaseException as error:  # noqa: BLE001 - as above
            self._log(error)
        self.request.on_gone = None
        self._close(GOING_AWAY if self._is_leaving and code == NORMAL else code, reason)
        self._ended(self)

    async def _send(self, reply: Any) -> bool:
        """Whether the client still listens."""
        if self._protocol.state is not State.OPEN or not self._connection.is_open:
            return False
        if isinstance(reply, str):
            data = reply.encode()
            self._protocol.send_text(data)
        elif isinstance(reply, bytes | bytearray | memoryview):
            data = bytes(reply)
            self._protocol.send_binary(data)
        else:
            raise TypeError(
                f"stream_fn yielded a {type(reply).__name__}; it must yield bytes or str"
            )
        self.messages_out += 1
        self.bytes_out += len(data)
        self._flush()
        await self._connection.drained()
        await asyncio.sleep(0)  # an iterator that never waits must not keep the loop
        return True

    def _take(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._is_text = frame.opcode is Opcode.TEXT
            self._fragments = []
        elif frame.opcode is not Opcode.CONT:
            return
        if frame.data:
            self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        data, self._fragments = b"".join(self._fragments), []
        self.messages_in += 1
        self.bytes_in += len(data)
        if not self._is_text:
            self._messages.put(data)
            return
        try:
            self._messages.put(data.decode())
        except UnicodeDecodeError:
            if self._protocol.state is State.OPEN:
                self._protocol.fail(NOT_TEXT, "a text message is not UTF-8")

    def _has_taken(self) -> None:
        if not self._messages.are_too_many:
            self._connection.resume_reading()

    def _has_lost(self) -> None:
        """The connection is gone."""
        self._has_ended()

    def _has_ended(self) -> None:
        """No message can come any more."""
        self._messages.end()
        if self._grace is None and self._task is not None and not self._task.done():
            self._grace = self._loop.call_later(GRACE_S, self._task.cancel)

    def _close(self, code: int, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            # The library takes no reason that is too long; none may end within a character.
            short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
            try:
                self._protocol.send_close(code, short)
            except ProtocolError:
                self._protocol.fail(code)
            self._flush()
        sent = self._protocol.close_rcvd or self._protocol.close_sent
        self.close_code = sent.code if sent is not None else 1006
        if self._grace is not None:
            self._grace.cancel()
        self._connection.resume_reading()  # or the client's last frame would not be seen
        self._loop.call_later(CLOSE_TIMEOUT_S, self._connection.abort)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._connection.write(data)
            else:
                # Not closed yet: a reset would take the close frame from a client that still sends.
                self._connection.end_writing()

    def _keep_alive(self) -> None:
        if not self._connection.is_open or self._protocol.state is not State.OPEN:
            return
        silent_s = monotonic() - self._connection.changed_at
        if silent_s > SILENCE_LIMIT_S and not self._messages.are_too_many:
            logger.warning("request %s: the client is silent", self.request_id)
            self._connection.abort()
            return
        if silent_s > PING_S / 2:
            self._protocol.send_ping(b"")
            self._flush()
        self._loop.call_later(PING_S, self._keep_alive)

    def _log(self, error: BaseException) -> None:
        logger.error("request %s failed\n%s", self.request_id, user_traceback(error))
