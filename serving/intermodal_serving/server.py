"""The listening socket, its connections and its end.

uvicorn's httptools protocol speaks HTTP on uvloop; the life of the server is ours, because
uvicorn's own shutdown drops requests that had been sent before SIGTERM but not been read yet.
"""

import asyncio
import contextlib
import ctypes
import logging
import signal
import socket
import struct
import sys
import time
from email.utils import formatdate

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from intermodal_contract import env
from intermodal_serving.app import App
from intermodal_serving.errors import SettingError
from intermodal_serving.pipeline import Pipeline
from intermodal_serving.settings import Settings

logger = logging.getLogger("serve")

BACKLOG = 2048
KEEP_ALIVE_S = 75
"""Longer than a load balancer or a connection pool keeps an idle connection: it closes first."""

ACCEPT_AFTER_TERM_S = 0.1
"""Connections that reach the socket within this time after SIGTERM are still taken."""

SETTLE_S = 0.01
"""The loop's own acceptor has ended by then, and what it accepted has become connections."""

IDLE_AFTER_TERM_S = 0.25
"""Requests under way to an open connection have this time to arrive."""

DRAIN_TIMEOUT_S = 25.0
"""Requests in flight have this time to end; the platform kills 30 s after SIGTERM."""

_SO_ATTACH_FILTER = 26
_BPF_RETURN = 0x06


def listen(settings: Settings) -> socket.socket:
    """The socket that the container serves on, not accepting yet.

    Raises:
        SettingError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        raise SettingError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
            hint=f"`{env.BIND_TO_HOST}` and `{env.BIND_TO_PORT}` choose another address",
        ) from error
    listener.setblocking(False)
    return listener


class Server:
    """One process: HTTP server and model.

    Args:
        settings: how to serve.
        listener: where to serve, from `listen`.
    """

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._listener = listener
        self._connections = _Connections()
        self.pipeline = Pipeline(settings)
        self._app = App(settings, self.pipeline)
        self._config = _uvicorn_config(self._app)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            ModelLoadError: the model cannot be served.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        # The loop closes the socket that it is given; the last connections are taken from ours.
        shared = self._listener.dup()
        accepting = await loop.create_server(self._connect, sock=shared, backlog=BACKLOG)
        self._connections.tell_time(loop)
        host, port = self._listener.getsockname()[:2]
        logger.info("listening on %s:%d, loading the model", host, port)
        await self._load_unless(stop)
        await stop.wait()
        await self._drain(accepting)

    async def _load_unless(self, stop: asyncio.Event) -> None:
        loading = asyncio.ensure_future(self.pipeline.load())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if loading.done():
            loading.result()

    async def _drain(self, accepting: asyncio.Server) -> None:
        logger.info("draining")
        self._app.is_draining = True
        ends_at = time.monotonic() + DRAIN_TIMEOUT_S
        await asyncio.sleep(ACCEPT_AFTER_TERM_S)
        accepting.close()
        await asyncio.sleep(SETTLE_S)
        await self._take_the_last()
        await self._connections.wait_until_none(IDLE_AFTER_TERM_S)
        for connection in list(self._connections.connections):
            connection.shutdown()
        if not await self._connections.wait_until_none(ends_at - time.monotonic()):
            left = len(self._connections.connections)
            logger.warning("%d requests did not end within %g s", left, DRAIN_TIMEOUT_S)
        logger.info("drained")

    async def _take_the_last(self) -> None:
        """Accept what the kernel has connected already, and refuse all that comes later."""
        loop = asyncio.get_running_loop()
        _drop_new_connections(self._listener)
        taken = []
        with contextlib.suppress(BlockingIOError):
            while True:
                taken.append(self._listener.accept()[0])
        self._listener.close()
        for connected in taken:
            await loop.connect_accepted_socket(self._connect, connected)

    def _connect(self) -> "_Connection":
        return _Connection(self._config, self._connections, {})


def _uvicorn_config(app: App) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    return config


def _drop_new_connections(listener: socket.socket) -> None:
    """Let the kernel ignore whoever now asks to connect.

    Closing a listening socket resets every connection that it holds ready, also those that became
    ready a microsecond ago. A filter that drops all packets to the listener (man 7 socket,
    SO_ATTACH_FILTER) ends that race: a client asks again a second later, and is refused then.
    """
    if sys.platform != "linux":
        return
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    with contextlib.suppress(OSError):  # not every sandbox has filters; the race is then short
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


class _Connections(ServerState):
    """The open connections, what they all say, and when the last one is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._none_left = asyncio.Event()

    def tell_time(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep the `Date` header of all responses, from now on every second."""
        self.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        loop.call_later(1.0, self.tell_time, loop)

    def one_is_gone(self) -> None:
        """Wake who waits for the last connection."""
        if not self.connections:
            self._none_left.set()

    async def wait_until_none(self, timeout_s: float) -> bool:
        """Whether all connections were gone within a time."""
        self._none_left.clear()
        self.one_is_gone()
        try:
            await asyncio.wait_for(self._none_left.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


class _Connection(HttpToolsProtocol):
    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own type; uvicorn narrows
        """Whether to stay: a client that only ended its side still waits for its answer."""
        last = self.cycle
        if last is None or last.response_complete or last.more_body:
            return False
        last.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if isinstance(self.server_state, _Connections):
            self.server_state.one_is_gone()
