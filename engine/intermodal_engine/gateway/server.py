"""The HTTP server under the gateway: sockets, keep-alive, and an end that finishes what began.

uvicorn with uvloop and httptools does the work; this module says how it is set and how it stops.
"""

import asyncio
import contextlib
import errno
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast

import uvicorn

from intermodal_contract.errors import IntermodalError
from intermodal_engine.gateway.connection import Bounds, Connection

# AWS clients keep idle connections for about a minute; theirs must end first, or a request
# crosses the server's close on the wire.
KEEP_ALIVE_S = 75
SHUTDOWN_GRACE_S = 10
OPEN_FILES = 65_536
"""What containers of SageMaker may open; each connection counts as one."""

_BACKLOG = 1024
_IP_FREEBIND = 15  # `socket` has no name for it before Python 3.14


class PortBusyError(IntermodalError):
    """Another program listens on the port."""


def listen(port: int, host: str = "127.0.0.1", *, may_be_absent: bool = False) -> socket.socket:
    """Opens the listening socket.

    Args:
        port: 0 lets the kernel choose.
        host: address to listen on.
        may_be_absent: no interface need have the address yet, for example of a network that docker
            makes when it is first used.

    Raises:
        PortBusyError: another program listens there.
        IntermodalError: the port cannot be had for another reason.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if may_be_absent and sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortBusyError(
                f"port {port} on {host} is in use by another program, perhaps an engine with "
                f"another home (`ss -ltnp 'sport = :{port}'` names it)",
                hint="choose another port with `--port N`; `--port 0` takes any that is free",
            ) from error
        raise IntermodalError(
            f"port {port} on {host} cannot be opened: {error.strerror}",
            hint="choose a port above 1023 with `--port N`",
        ) from error
    return listener


def allow_connections() -> None:
    """Has this process, and those that it starts, open as many files as the system lets it.

    What a shell allows by itself, often 1024, a few hundred clients with their files come near.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(ValueError, OSError):  # macOS has a limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(uvicorn.Server):
    """Serves an ASGI application until SIGTERM or SIGINT.

    Args:
        application: the ASGI application.
        on_ready: called on the event loop once requests are answered.
        let_go: called when no more are, unless a successor takes over: the port is others' then,
            even while requests under way are answered.
        bounds: what one connection may cost.
    """

    def __init__(
        self,
        application: Any,
        on_ready: Callable[[], None],
        let_go: Callable[[], None],
        bounds: Bounds | None = None,
    ) -> None:
        protocol = partial(Connection, bounds=bounds or Bounds())
        super().__init__(
            uvicorn.Config(
                application,
                loop="uvloop",
                http=cast("type[asyncio.Protocol]", protocol),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
            )
        )
        self._on_ready = on_ready
        self._let_go = let_go
        self.has_successor = False
        """Whether another engine takes over the port, after SIGHUP."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops to listen, and answers what is under way."""
        if not self.has_successor:
            self._let_go()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stops at a signal without raising it again, so that the caller can tidy up."""
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            loop.add_signal_handler(signal.SIGHUP, self.make_way)
        yield

    def make_way(self) -> None:
        """Ends the server for a successor, in whose queue clients wait meanwhile."""
        self.has_successor = True
        self.stop()

    def stop(self) -> None:
        """Ends the server: no new connections, requests under way get `SHUTDOWN_GRACE_S`."""
        self.should_exit = True
