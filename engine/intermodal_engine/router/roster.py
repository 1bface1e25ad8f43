"""Which instances there are, how they are, and where traffic is meant to go.

Asked and changed from any thread; one lock guards it, and nobody waits while holding it.
"""

import threading
from collections.abc import Callable, Iterable

from intermodal_engine.router.errors import ComponentRequiredError, RouterError
from intermodal_engine.router.instance import Direction, Health, Route, Watched


class Roster:
    """What a router knows of all endpoints.

    Args:
        now: epoch seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._targets: dict[str, dict[str, Watched]] = {}
        self._directions: dict[str, Direction] = {}

    def direct(
        self, target: str, routes: Iterable[Route], refusal: type[RouterError] | None = None
    ) -> None:
        """Sends the traffic of a target along these routes, by their weights, from now on.

        Before the first call for a target it gets none.

        Args:
            target: an endpoint, or one of its inference components, see `target_of`.
            routes: where its requests go.
            refusal: why they go nowhere, if that is meant to be.
        """
        wanted = tuple(routes)
        with self._lock:
            present = self._directions.get(target)
            if present is None or (present.routes, present.refusal) != (wanted, refusal):
                self._directions[target] = Direction(wanted, refusal)

    def drain(self, backend_id: str) -> None:
        """Gives an instance no new requests."""
        with self._lock:
            if backend_id in self._watched:
                self._watched[backend_id].is_draining = True

    def health(self, backend_id: str) -> Health:
        """How an instance is; STARTING for an unknown one."""
        with self._lock:
            watched = self._watched.get(backend_id)
            return watched.health if watched is not None else Health.STARTING

    def is_known(self, target: str) -> bool:
        """Whether any traffic goes there, or is meant to go nowhere."""
        with self._lock:
            return target in self._directions

    def has_components(self, endpoint: str) -> bool:
        """Whether an endpoint's inference components serve, instead of its instances."""
        with self._lock:
            found = self._directions.get(endpoint)
            return found is not None and found.refusal is ComponentRequiredError

    def ready(self, target: str, variant: str) -> int:
        """How many instances of a variant get requests."""
        with self._lock:
            there = self._targets.get(target, {}).values()
            return sum(one.is_ready and one.backend.variant == variant for one in there)

    def asynchronous_targets(self) -> list[str]:
        """The endpoints that take asynchronous invocations alone."""
        with self._lock:
            return [name for name, one in self._directions.items() if one.is_asynchronous]

    def asynchronous_capacity(self, target: str) -> int:
        """How many asynchronous requests the instances that get any may work on at once."""
        with self._lock:
            found = self._directions.get(target)
            each = (
                {(one.generation, one.variant): one.each for one in found.routes} if found else {}
            )
            ready = [one for one in self._targets.get(target, {}).values() if one.is_ready]
            keys = [(one.backend.generation, one.backend.variant) for one in ready]
            return sum(each.get(key) or 0 for key in keys)

    def ready_instances(self, target: str) -> int:
        """How many instances of all variants get requests."""
        with self._lock:
            return sum(one.is_ready for one in self._targets.get(target, {}).values())

    def in_flight(self, backend_id: str) -> int:
        """How many requests an instance is working on."""
        with self._lock:
            watched = self._watched.get(backend_id)
            return watched.in_flight if watched is not None else 0

    def idle_s(self, backend_id: str) -> float:
        """For how long an instance has had nothing to do."""
        with self._lock:
            watched = self._watched.get(backend_id)
            if watched is None or watched.in_flight or watched.health is not Health.HEALTHY:
                return 0.0
            return self._now() - watched.used_at

    def loaded_models(self, backend_id: str) -> int | None:
        """How many models an instance holds in memory; None for one that serves one."""
        with self._lock:
            watched = self._watched.get(backend_id)
        return watched.models.count if watched is not None and watched.models else None
