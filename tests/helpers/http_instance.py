"""A small real HTTP server in a thread, which stands for a serving instance and can misbehave."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

PATIENCE_S = 10.0


@dataclass
class Seen:
    """A request that an instance got whole."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


@dataclass
class Reply:
    """What it answers.

    Attributes:
        headers: further lines of the head, each with its line break.
        raw: all bytes of it, where they are not what a sound server sends.
        close: whether the connection ends with it.
    """

    body: bytes = b""
    status: int = 200
    headers: str = ""
    raw: bytes | None = None
    close: bool = False


Handler = Callable[[Seen], Awaitable[Reply]]


async def _echo(seen: Seen) -> Reply:
    return Reply(seen.body)


class HttpInstance:
    """A serving instance.

    Args:
        handler: answers invocations.
        port: 0 for any.
    """

    def __init__(self, handler: Handler = _echo, port: int = 0) -> None:
        self.handler = handler
        self.ping_status = 200
        self.pings_answered = True
        self.pings = 0
        self.closes_silently = False
        self.seen: list[Seen] = []
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._open: set[asyncio.Task[None]] = set()
        self._begun: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def close(self) -> None:
        """Ends at once, with all its connections, like a killed process."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE_S)
            self._loop.close()

    def drop_connections(self) -> None:
        """Closes what is open and goes on listening, like a server that tires of idle clients."""
        done = threading.Event()

        def drop() -> None:
            for writer in self._writers:
                writer.close()
            done.set()

        self._loop.call_soon_threadsafe(drop)
        assert done.wait(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        # Not `asyncio.start_server`: closed while a connection is coming in, it forgets its socket.
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        self._ready.set()
        await self._stop.wait()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await self._end_connections()

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            accepted, _ = self._listener.accept()
            accepted.setblocking(False)
            task = self._loop.create_task(self._connection(accepted))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _end_connections(self) -> None:
        """Ends what has begun; what has not begun yet must begin, to have its socket closed."""
        while True:
            for writer in self._writers:
                writer.transport.abort()
            for task in self._begun:
                task.cancel()
            await asyncio.sleep(0)  # the transports close their sockets
            if not self._open:
                return
            await asyncio.wait(self._open)

    async def _connection(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        self.connections += 1
        self._writers.append(writer)
        if self._stop.is_set():
            return
        task = asyncio.current_task()
        assert task is not None
        self._begun.add(task)
        try:
            while True:
                seen = await _read(reader)
                if not await self._answer(seen, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._begun.discard(task)
            writer.close()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if seen.path == "/ping":
            self.pings += 1
            if not self.pings_answered:
                await asyncio.sleep(PATIENCE_S)
            reply = Reply(status=self.ping_status)
        else:
            self.seen.append(seen)
            reply = await self.handler(seen)
        head = (
            f"HTTP/1.1 {reply.status} X\r\nContent-Length: {len(reply.body)}\r\n{reply.headers}\r\n"
        )
        writer.write(head.encode() + reply.body if reply.raw is None else reply.raw)
        await writer.drain()
        return not (reply.close or self.closes_silently)


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Seen(path, headers, body, method)
