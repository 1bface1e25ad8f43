"""Clients that keep a server at full load and know of every request what became of it.

A request counts as failed if it was sent on an open connection and no whole answer with status 200
came back: the connection was reset or ended, or the answer was another. That holds whoever was at
fault, also for a connection that the server ended while the request was under way to it.

A connection that cannot be made is no failed request: nothing was sent. It is counted apart.
A client that is told `Connection: close` sends nothing more on that connection and makes another.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import httptools

from benchmarks.serving.servers import HOST

_RETRY_S = 0.01
_CONNECT_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without its answer.

    Attributes:
        at_s: when that was known (`time.monotonic`).
        client_port: the connection's own port, which tells it from all others.
        why: in words.
    """

    at_s: float
    client_port: int
    why: str


@dataclass(slots=True)
class Tally:
    """What became of all requests.

    Attributes:
        answered: requests that were answered with 200.
        failures: the others.
        refused: attempts to connect that led nowhere.
    """

    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    refused: int = 0


class Clients:
    """Some clients in a closed loop: each has one request under way at any time.

    Args:
        port: the server's, on loopback.
        body: what is sent.
        lasting: clients that keep their connection as long as the server does.
        fleeting: clients that make a connection for each request.
    """

    def __init__(self, port: int, body: bytes, *, lasting: int, fleeting: int) -> None:
        self.tally = Tally()
        self._port = port
        self._requests = {keep: _request(body, keep) for keep in (True, False)}
        self._kinds = [True] * lasting + [False] * fleeting
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False
        self._ends_when_refused = False

    def start(self) -> None:
        """Begins the load; a loop must run."""
        self._tasks = [asyncio.ensure_future(self._run(keep)) for keep in self._kinds]

    async def stop(self) -> None:
        """Lets each client end with the request that is under way; what hangs has failed."""
        self._is_over = True
        _, hanging = await asyncio.wait(self._tasks, timeout=_ANSWER_WITHIN_S)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    async def until_refused(self, timeout_s: float) -> bool:
        """Goes on until nobody can connect any more; whether that came about in time."""
        self._ends_when_refused = True
        _, left = await asyncio.wait(self._tasks, timeout=timeout_s)
        return not left

    async def _run(self, keep: bool) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_over:
            make = partial(Connection, self._requests[keep], self.tally, self._goes_on)
            try:
                connecting = loop.create_connection(make, HOST, self._port)
                _, connection = await asyncio.wait_for(connecting, _CONNECT_WITHIN_S)
            except OSError:  # refused, reset or not in time
                self.tally.refused += 1
                if self._ends_when_refused:
                    return
                await asyncio.sleep(_RETRY_S)
            else:
                try:
                    await connection.ended
                finally:
                    connection.give_up()

    def _goes_on(self) -> bool:
        return not self._is_over


class Connection(asyncio.Protocol):
    """Sends a request as soon as the last one is answered.

    Args:
        request: all of its bytes.
        tally: where it is counted.
        goes_on: whether another request shall follow.
    """

    def __init__(self, request: bytes, tally: Tally, goes_on: Callable[[], bool]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._tally = tally
        self._goes_on = goes_on
        self._is_waiting = False
        self._transport: asyncio.Transport | None = None
        self._port = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Sends the first request."""
        self._transport = transport
        self._port = int(transport.get_extra_info("sockname")[1])
        self._send()

    def data_received(self, data: bytes) -> None:
        """Reads an answer, or a part of one."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"what came is no HTTP: {error}")
            self._close()

    def on_message_complete(self) -> None:
        """Counts an answer that is whole (called by the parser)."""
        status, lives = self._parser.get_status_code(), self._parser.should_keep_alive()
        if status == 200:
            self._tally.answered += 1
            self._is_waiting = False
        else:
            self._fail(f"status {status}")
        if lives and self._goes_on():
            asyncio.get_running_loop().call_soon(self._send)
        else:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends; a request that still waits has failed."""
        if self._is_waiting:
            self._fail(f"no answer: {exc!r}" if exc else "no answer: the connection was ended")
        if not self.ended.done():
            self.ended.set_result(None)

    def give_up(self) -> None:
        """Ends the connection; a request that still waits has failed."""
        if self._is_waiting:
            self._fail("no answer in time")
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._parser = httptools.HttpResponseParser(self)
        self._is_waiting = True
        self._transport.write(self._request)

    def _fail(self, why: str) -> None:
        self._is_waiting = False
        self._tally.failures.append(Failure(time.monotonic(), self._port, why))

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _request(body: bytes, keep: bool) -> bytes:
    lines = [
        "POST /invocations HTTP/1.1",
        f"Host: {HOST}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([] if keep else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
