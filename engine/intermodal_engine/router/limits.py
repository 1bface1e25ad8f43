"""How much an endpoint takes at once, and who waits while it is busy."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intermodal_engine.router.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Limits:
    """What one endpoint takes.

    Attributes:
        in_flight: requests that one instance works on at once.
        waiting: requests that wait for an instance at once.
        patience_s: how long one of them waits.
    """

    in_flight: int = 256
    waiting: int = 1024
    patience_s: float = 10.0

    def of(self, most: int | None, each: int | None) -> int:
        """What one instance of a route works on at once; see `Route`."""
        return 1 if most is not None else each or self.in_flight


class Waiting:
    """Requests that wait for room, first come, first served. Used on the event loop only.

    Args:
        limits: how many, and for how long.

    Attributes:
        on_room: told of the endpoint that may have room, whether anybody waits here or not.
    """

    def __init__(self, limits: Limits) -> None:
        self.on_room: Callable[[str], None] = lambda _endpoint: None
        self._limits = limits
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    async def wait(self, endpoint: str, why: str, patience_s: float | None = None) -> None:
        """Until an instance may have room.

        Args:
            endpoint: whose instance.
            why: what is in the way.
            patience_s: how long; None: as the limits say.

        Raises:
            OverloadedError: too many wait already, or it took too long.
        """
        queue = self._queues.setdefault(endpoint, deque())
        if len(queue) >= self._limits.waiting:
            raise OverloadedError(f"{why} and {self._limits.waiting} requests wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(patience_s or self._limits.patience_s):
                await turn
        except TimeoutError:
            waited_s = patience_s or self._limits.patience_s
            raise OverloadedError(f"for {waited_s:g} s {why}") from None
        finally:
            if turn in queue:
                queue.remove(turn)
            if not queue:
                self._queues.pop(endpoint, None)

    def wake_all(self, endpoint: str) -> None:
        """Something has changed: everybody looks again."""
        self.on_room(endpoint)
        for turn in list(self._queues.get(endpoint, ())):
            if not turn.done():
                turn.set_result(None)

    def wake(self, endpoint: str) -> None:
        """There is room for one more."""
        self.on_room(endpoint)
        queue = self._queues.get(endpoint)
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
