"""Serverless targets on the event loop: how many requests are admitted, and instances asked for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from intermodal_engine.router.errors import ThrottledError

PATIENCE_S = 60.0
"""How long a request waits for the instance that is started for it."""

OnDemand = Callable[[str, str, int], None]
"""`(target, variant, count)`: so many instances are needed now. Called from a thread."""


class Demand:
    """All requests that have no instance yet.

    Args:
        on_demand: told how many instances are needed.
    """

    def __init__(self, on_demand: OnDemand) -> None:
        self._on_demand = on_demand
        self._pending: dict[str, int] = {}
        self._calls = ThreadPoolExecutor(1, thread_name_prefix="router-demand")

    def enter(self, target: str, in_flight: int, most: int) -> None:
        """Admits a request.

        Args:
            target: what it is for.
            in_flight: requests that the target's instances work on.
            most: how many there may be at once.

        Raises:
            ThrottledError: there are as many.
        """
        pending = self._pending.get(target, 0)
        if pending + in_flight >= most:
            raise ThrottledError(f"{most} requests are under way")
        self._pending[target] = pending + 1

    def leave(self, target: str) -> None:
        """A request that was admitted has its instance, or has given up."""
        self._pending[target] -= 1
        if not self._pending[target]:
            del self._pending[target]

    def ask(self, target: str, variant: str, in_flight: int) -> None:
        """Has an instance brought for each request that is admitted or worked on."""
        count = self._pending.get(target, 0) + in_flight
        self._calls.submit(self._on_demand, target, variant, count)

    def close(self) -> None:
        """Asks for nothing any more."""
        self._calls.shutdown(wait=False, cancel_futures=True)
