"""The connections of a worker in the test's own process, with a few answers instead of a model."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

from intermodal_serving.messages import Answer, Request
from intermodal_serving.pace import Pace
from intermodal_serving.server import Server

MAX_BODY_BYTES = 1_000_000


class HttpServer:
    """Answers a body by itself, and `/now`, `/later` (after 50 ms), `/never`, `/large` (1 MB)."""

    def __init__(self, pace: Pace | None) -> None:
        self.requests: list[str] = []
        """Methods and paths in the order of their coming."""
        self._pace = pace
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._ready = threading.Event()
        self._server: Server | None = None

    def start(self) -> None:
        """Take connections from now on."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """Drain and end."""
        assert self._server is not None
        asyncio.run_coroutine_threadsafe(self._server.drain(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._listener.close()

    def connect(self) -> socket.socket:
        """A client's side."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def say(self, *pieces: bytes, half_close: bool = True) -> bytes:
        """All that comes back until the server ends the connection, on a connection of its own."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._serve())
        self._loop.run_forever()

    async def _serve(self) -> None:
        self._server = Server(self._listener, self._handle, MAX_BODY_BYTES, self._pace)
        await self._server.start()
        self._ready.set()

    def _handle(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.path}")
        if request.refusal is not None:
            status, message = request.refusal
            request.connection.answer(request, Answer(status, message.encode()))
            return
        answer = Answer(200, bytes(request.body) or request.path.encode())
        match request.path:
            case "/later":
                self._loop.call_later(0.05, request.connection.answer, request, answer)
            case "/never":
                pass
            case "/large":
                request.connection.answer(request, Answer(200, bytes(1_000_000)))
            case "/empty":
                request.connection.answer(request, Answer(204, b"a body that must not be"))
            case "/injected":
                headers = {"x-a": "1\r\nx-b: 2"}
                request.connection.answer(request, Answer(200, b"ok", headers))
            case "/not-latin":
                request.connection.answer(request, Answer(200, b"ok", {"x-a": "\u20ac"}))
            case _:
                request.connection.answer(request, answer)


def read_all(client: socket.socket) -> bytes:
    """What comes until the other side ends."""
    received = bytearray()
    while chunk := client.recv(262_144):
        received += chunk
    return bytes(received)


@contextmanager
def http_server(pace: Pace | None = None) -> Iterator[HttpServer]:
    """A server that runs."""
    server = HttpServer(pace)
    server.start()
    try:
        yield server
    finally:
        server.stop()
