"""A worker's connections: how they are taken, watched over and brought to an end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from email.utils import formatdate
from time import monotonic

from intermodal_serving.connection import Connection
from intermodal_serving.listener import BACKLOG
from intermodal_serving.messages import Request
from intermodal_serving.pace import Pace

logger = logging.getLogger("serve")

SCRATCH_BYTES = 256 * 1024

SETTLE_S = 0.01
"""The loop's own acceptor has ended by then, and what it accepted has become connections."""

IDLE_AFTER_TERM_S = 0.25
"""Requests under way to an open connection have this time to arrive."""

UNUSED_AFTER_TERM_S = 2.0
"""The same for a connection that was made and has not said anything yet: its client surely will."""

DRAIN_TIMEOUT_S = 25.0
"""Requests in flight have this time to end; the platform kills 30 s after SIGTERM."""


class Server:
    """The connections of one worker.

    Args:
        listener: where clients connect; shared with other workers.
        handle: answers a request, now or later.
        max_body_bytes: the largest body that is taken.
        pace: how slow clients may be; None: as slow as `Pace` has it.
    """

    def __init__(
        self,
        listener: socket.socket,
        handle: Callable[[Request], None],
        max_body_bytes: int,
        pace: Pace | None = None,
    ) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._pace = pace or Pace()
        self._acceptor: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._none_left = asyncio.Event()
        self.time = monotonic  # the loop's own clock stands still within a turn
        self.handle = handle
        self.max_body_bytes = max_body_bytes
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self.date_header = ""
        self.is_draining = False

    async def start(self) -> None:
        """Take connections from now on."""
        self._watch()
        # The loop closes the socket that it is given; the last connections are taken from ours.
        self._acceptor = await self._loop.create_server(
            lambda: Connection(self), sock=self._listener.dup(), backlog=BACKLOG
        )

    def opened(self, connection: Connection) -> None:
        """A connection is there."""
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._none_left.set()

    async def drain(self) -> None:
        """Take no more connections, answer what was sent, close.

        The kernel must have been told before to ignore whoever newly asks to connect.
        """
        ends_at = self.time() + DRAIN_TIMEOUT_S
        self.is_draining = True
        if self._acceptor is not None:
            self._acceptor.close()
        await asyncio.sleep(SETTLE_S)
        await self._take_the_last()
        await self._end_all(ends_at)

    async def retire(self, timeout_s: float) -> None:
        """Leave new connections to the other workers, answer what was sent, close.

        Nobody waits for that, so a stream may go on for as long as streams may.
        """
        ends_at = self.time() + timeout_s
        self.is_draining = True
        if self._acceptor is not None:
            self._acceptor.close()
        # A client that uses its connection learns with the next answer that it ends.
        await self._end_all(ends_at)

    async def _end_all(self, ends_at: float) -> None:
        began_at = self.time()
        await self._wait_until_none(IDLE_AFTER_TERM_S)
        while self._connections and self.time() < ends_at:
            waited_s = self.time() - began_at
            for connection in list(self._connections):
                is_awaited = connection.is_unused and waited_s < UNUSED_AFTER_TERM_S
                if connection.is_idle and not is_awaited:
                    connection.close()
                else:
                    connection.go_away()
            await self._wait_until_none(min(0.05, max(0.0, ends_at - self.time())))
        if self._connections:
            logger.warning("%d requests did not end in time", len(self._connections))
        for connection in list(self._connections):
            connection.abort()

    async def _take_the_last(self) -> None:
        """Accept what the kernel has connected already."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            client.setblocking(False)
            with contextlib.suppress(OSError):  # gone meanwhile
                await self._loop.connect_accepted_socket(lambda: Connection(self), client)

    async def _wait_until_none(self, timeout_s: float) -> None:
        self._none_left.clear()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), timeout_s)

    def _watch(self) -> None:
        """Every second: the date, and connections whose time is over."""
        self.date_header = f"date: {formatdate(usegmt=True)}\r\n"
        now = self.time()
        for connection in list(self._connections):
            connection.check_pace(now, self._pace)
        self._loop.call_later(self._pace.check_s, self._watch)
