"""Clients as they ought not to be: slow ones, and connections that only one side still thinks of.

Each holds its connection until the engine cuts it or the time is over, and then begins anew. None
may cost the others anything. Which of them the engine has to cut, and when, `ENDS_S` says.
"""

import asyncio
import contextlib
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.load.stage import BUCKET, ENDPOINT, SHARED_KEY, Stage
from tests.load.wire import Body

PAUSE_S = 1.0
"""Between two bytes of a slow client."""

Act = Callable[[socket.socket], Awaitable[None]]
"""What is done with a connection, until the engine closes it."""

_BODY = Body.of(bytes(1 << 20))
_LONG_BODY = Body.of(bytes(2 << 20))  # a shorter one would not be with an instance before its end
_SIP_BYTES = 2048
_UNREAD_S = 100.0
"""After so long whoever did not read looks whether the engine has cut the connection."""

ENDS_S = {
    "slow head": 45.0,
    "silent": 45.0,
    "half a head": 45.0,
    "half a body": 90.0,
    "half an invocation": 150.0,
    "unread answer": _UNREAD_S,
}
"""How long the engine may keep it: its own patience, and what a busy machine adds."""

GETS_ON = ("slow upload", "slow reader")
"""As slow as they are, they are not to be cut. An invocation may take a minute, as on AWS."""


@dataclass(slots=True)
class Holds:
    """What became of connections that were held.

    Attributes:
        begun: how many, by kind.
        cut: how many of them the engine has cut.
        longest_s: how long one was held.
        faults: what must not be.
    """

    begun: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    longest_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    faults: Counter[str] = field(default_factory=Counter)


class Holders:
    """Slow clients and half-open connections.

    Args:
        stage: what there is.
        seed: of when each begins.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self.holds = Holds()
        self._stage = stage
        self._random = random.Random(seed)
        self.slow: dict[str, Act] = {
            "slow head": lambda s: self._drip(s, b"", self._put()[:-2] + b"X-Slow: " + b"x" * 999),
            "slow upload": lambda s: self._drip(s, self._put() + _BODY.data[:300_000], _BODY.data),
            "slow invocation": lambda s: self._drip(
                s, self._invoke() + _BODY.data[:300_000], _BODY.data
            ),
            "slow reader": lambda s: self._read_slowly(s),
        }
        self.half_open: dict[str, Act] = {
            "silent": lambda s: self._say(s, b""),
            "half a head": lambda s: self._say(s, self._put()[:200]),
            "half a body": lambda s: self._say(s, self._put() + _BODY.data[:300_000]),
            "half an invocation": lambda s: self._say(s, self._invoke() + _BODY.data[:300_000]),
            "unread answer": lambda s: self._leave_unread(s),
        }

    async def hold(
        self,
        number: int,
        kinds: dict[str, Act],
        ended: asyncio.Event,
    ) -> None:
        """Holds one connection after the other until the end."""
        kind, act = list(kinds.items())[number % len(kinds)]
        ending = asyncio.create_task(ended.wait())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ending), self._random.uniform(0, 2 * PAUSE_S))
        while not ended.is_set():
            await self._hold_once(kind, act, ending)

    def _put(self) -> bytes:
        return self._stage.signer.head("s3", "PUT", f"/{BUCKET}/slow", _BODY, {})

    def _invoke(self) -> bytes:
        path = f"/endpoints/{ENDPOINT}/invocations"
        return self._stage.signer.head("sagemaker", "POST", path, _LONG_BODY, {})

    async def _hold_once(self, kind: str, act: Act, ending: asyncio.Task[bool]) -> None:
        self.holds.begun[kind] += 1
        began = time.monotonic()
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            held = asyncio.create_task(self._begin(connection, act))
            await asyncio.wait([held, ending], return_when=asyncio.FIRST_COMPLETED)
            if held.done():
                self.holds.cut[kind] += 1
                if kind in GETS_ON:
                    self.holds.faults[f"{kind}: the engine cut the connection"] += 1
                if held.exception() is not None:
                    self.holds.faults[f"{kind}: {held.exception()!r}"] += 1
            held.cancel()
            await asyncio.wait([held])
        took_s = time.monotonic() - began
        self.holds.longest_s[kind] = max(self.holds.longest_s[kind], took_s)
        if took_s > ENDS_S.get(kind, took_s):
            self.holds.faults[f"{kind}: the engine kept the connection for {took_s:.0f} s"] += 1

    async def _begin(self, connection: socket.socket, act: Act) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", self._stage.signer.port))
        with contextlib.suppress(ConnectionError):
            await act(connection)

    async def _drip(self, connection: socket.socket, at_once: bytes, slowly: bytes) -> None:
        """Sends a byte a second, until the engine closes."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, at_once)
        reading = asyncio.create_task(self._until_closed(connection))
        try:
            for byte in slowly:
                await loop.sock_sendall(connection, bytes([byte]))
                if (await asyncio.wait([reading], timeout=PAUSE_S))[0]:
                    return
        finally:
            reading.cancel()

    async def _say(self, connection: socket.socket, beginning: bytes) -> None:
        """Sends a beginning and nothing more, until the engine closes."""
        await asyncio.get_running_loop().sock_sendall(connection, beginning)
        await self._until_closed(connection)

    async def _until_closed(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while await loop.sock_recv(connection, 1 << 16):
                pass

    async def _read_slowly(self, connection: socket.socket) -> None:
        await self._ask(connection)
        while await asyncio.get_running_loop().sock_recv(connection, _SIP_BYTES):
            await asyncio.sleep(PAUSE_S)

    async def _leave_unread(self, connection: socket.socket) -> None:
        """Asks and does not read; later looks whether the whole answer is still coming."""
        await self._ask(connection)
        await asyncio.sleep(_UNREAD_S - 5)
        loop, size = asyncio.get_running_loop(), 0
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(connection, 1 << 20):
                size += len(data)
                if size >= len(self._stage.shared.data):
                    self.holds.faults["unread answer: the engine still had it whole"] += 1
                    return

    async def _ask(self, connection: socket.socket) -> None:
        head = self._stage.signer.head("s3", "GET", f"/{BUCKET}/{SHARED_KEY}", Body.of(b""), {})
        await asyncio.get_running_loop().sock_sendall(connection, head)
