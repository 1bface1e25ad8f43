"""The endpoints' data plane: which instances there are, and which of them gets a request.

Invocations run on the event loop. The methods that add, drain and remove instances are called
from other threads; one lock guards what both touch, and nobody waits while holding it.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from intermodal_engine.router.connection import request_head
from intermodal_engine.router.errors import (
    AnswerTimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidAnswerError,
    NoHealthyInstanceError,
    RouterError,
    UnknownEndpointError,
    UnknownVariantError,
)
from intermodal_engine.router.health import Rhythm, watch
from intermodal_engine.router.instance import (
    Backend,
    Direction,
    Health,
    Route,
    Watched,
    choose_instance,
    choose_route,
)
from intermodal_engine.router.invocation import Invocation, InvocationResult

__all__ = [
    "AnswerTimeoutError",
    "Backend",
    "ConnectFailedError",
    "ConnectionLostError",
    "Health",
    "InvalidAnswerError",
    "Invocation",
    "InvocationResult",
    "NoHealthyInstanceError",
    "Rhythm",
    "Route",
    "Router",
    "RouterError",
    "UnknownEndpointError",
    "UnknownVariantError",
]

INVOCATION_TIMEOUT_S = 60.0

OnHealth = Callable[[str, str, Health], None]
"""`(endpoint, backend id, health)`; called from a thread of its own, in the order of changes."""

_log = logging.getLogger(__name__)


class Router:
    """All endpoints' traffic.

    Args:
        on_health: told of every change.
        timeout_s: how long an instance may take for one answer.
        rhythm: how often instances are pinged.
    """

    def __init__(
        self,
        on_health: OnHealth,
        timeout_s: float = INVOCATION_TIMEOUT_S,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._on_health = on_health
        self._timeout_s = timeout_s
        self._rhythm = rhythm or Rhythm()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[str, Watched] = {}
        self._endpoints: dict[str, dict[str, Watched]] = {}
        self._directions: dict[str, Direction] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._requests = 0
        self._reports = ThreadPoolExecutor(1, thread_name_prefix="router-health")

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to ping; called on the event loop that invocations run on."""
        with self._lock:
            self._loop = loop
            waiting = list(self._watched.values())
        for watched in waiting:
            self._start_watch(watched)

    def close(self) -> None:
        """Ends what `bind` began. Called on that event loop, at its end."""
        for task in self._watches.values():
            task.cancel()
        with self._lock:
            watched = list(self._watched.values())
        for one in watched:
            one.pool.close()
        self._reports.shutdown(wait=False)

    def add(self, backend: Backend) -> None:
        """Begins to watch an instance. Adding it once more changes nothing."""
        with self._lock:
            known = self._watched.get(backend.backend_id)
            if known is not None and known.backend == backend:
                return
            watched = Watched(backend)
            self._watched[backend.backend_id] = watched
            self._endpoints.setdefault(backend.endpoint, {})[backend.backend_id] = watched
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._start_watch, watched)

    def direct(self, endpoint: str, routes: Iterable[Route]) -> None:
        """Sends an endpoint's traffic along these routes, by their weights, from now on.

        Before the first call for an endpoint it gets none.
        """
        wanted = tuple(routes)
        with self._lock:
            present = self._directions.get(endpoint)
            if present is None or present.routes != wanted:
                self._directions[endpoint] = Direction(wanted)

    def drain(self, backend_id: str) -> None:
        """Gives an instance no new requests."""
        with self._lock:
            if backend_id in self._watched:
                self._watched[backend_id].is_draining = True

    def remove(self, backend_id: str) -> None:
        """Stops to watch an instance; requests under way go on."""
        with self._lock:
            watched = self._watched.pop(backend_id, None)
            if watched is None:
                return
            watched.is_draining = True
            self._endpoints[watched.backend.endpoint].pop(backend_id, None)
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._stop_watch, watched)

    def forget(self, endpoint: str) -> None:
        """Drops an endpoint with all its instances."""
        with self._lock:
            backend_ids = list(self._endpoints.get(endpoint, {}))
        for backend_id in backend_ids:
            self.remove(backend_id)
        with self._lock:
            self._endpoints.pop(endpoint, None)
            self._directions.pop(endpoint, None)

    def health(self, backend_id: str) -> Health:
        """How an instance is; STARTING for an unknown one."""
        with self._lock:
            watched = self._watched.get(backend_id)
            return watched.health if watched is not None else Health.STARTING

    def in_flight(self, backend_id: str) -> int:
        """How many requests an instance is working on."""
        with self._lock:
            watched = self._watched.get(backend_id)
            return watched.in_flight if watched is not None else 0

    async def invoke(self, endpoint: str, invocation: Invocation) -> InvocationResult:
        """Sends a request to a healthy instance and returns what that answered.

        Another instance is tried where none of the request has reached the first: it could not be
        connected to, or a kept connection turned out to be dead.

        Raises:
            UnknownEndpointError, UnknownVariantError, NoHealthyInstanceError: nobody got it.
            ConnectFailedError: nobody could be reached.
            ConnectionLostError, InvalidAnswerError, AnswerTimeoutError: an instance has failed,
                and may or may not have worked on it.
        """
        if not isinstance(invocation.body, bytes) and invocation.content_length is None:
            invocation = replace(invocation, body=b"".join([c async for c in invocation.body]))
        tried: dict[str, str] = {}
        failure: ConnectFailedError | None = None
        while True:
            try:
                watched = self._choose(endpoint, invocation.target_variant, tried)
            except NoHealthyInstanceError as error:
                raise failure or error from None
            try:
                return await self._attempt(watched, invocation)
            except ConnectFailedError as error:
                failure = error
                watched.suspect()
                tried[watched.backend.backend_id] = watched.backend.zone
            except ConnectionLostError as error:
                watched.suspect()
                watched.pool.flush()  # what else is idle there has most likely ended as well
                if not error.is_stale:
                    raise

    def _choose(
        self, endpoint: str, target_variant: str | None, tried: Mapping[str, str]
    ) -> Watched:
        with self._lock:
            direction = self._directions.get(endpoint)
            if direction is None:
                raise UnknownEndpointError(endpoint)
            routes = {
                (route.generation, route.variant): route
                for route in direction.routes
                if target_variant in (None, route.variant)
            }
            if not routes:
                raise UnknownVariantError(target_variant)
            available: dict[Route, list[Watched]] = {}
            for one in self._endpoints.get(endpoint, {}).values():
                route = routes.get((one.backend.generation, one.backend.variant))
                if route and one.is_ready and one.backend.backend_id not in tried:
                    available.setdefault(route, []).append(one)
            if not available:
                raise NoHealthyInstanceError(endpoint)
            route = choose_route(direction, available)
            watched = choose_instance(available[route], set(tried.values()))
            self._requests += 1
            watched.last_used = self._requests
            watched.in_flight += 1
            return watched

    async def _attempt(self, watched: Watched, invocation: Invocation) -> InvocationResult:
        """One exchange with one instance, which `_choose` has counted as under way."""
        backend = watched.backend
        is_stream = not isinstance(invocation.body, bytes)
        try:
            # A stream cannot be sent twice, so it never goes over a connection that may be dead.
            connection = await watched.pool.acquire(fresh=is_stream)
            answer = await connection.exchange(
                _head(backend, invocation), invocation.body, self._timeout_s
            )
        except BaseException:
            self._finish(watched)
            raise
        if isinstance(answer.body, bytes):
            self._finish(watched)
        else:
            answer.body.on_end(lambda: self._finish(watched))
        return InvocationResult(
            answer.status,
            answer.headers,
            answer.body,
            backend.variant,
            backend.backend_id,
            backend.zone,
        )

    def _finish(self, watched: Watched) -> None:
        with self._lock:
            watched.in_flight -= 1

    # Health, on the event loop.

    def _start_watch(self, watched: Watched) -> None:
        backend_id = watched.backend.backend_id
        self._cancel_watch(backend_id)
        with self._lock:
            if self._watched.get(backend_id) is not watched:
                return
        self._watches[backend_id] = asyncio.ensure_future(
            watch(watched, self._rhythm, self._report)
        )

    def _stop_watch(self, watched: Watched) -> None:
        self._cancel_watch(watched.backend.backend_id)
        watched.pool.close()

    def _cancel_watch(self, backend_id: str) -> None:
        task = self._watches.pop(backend_id, None)
        if task is not None:
            task.cancel()

    def _report(self, watched: Watched, health: Health) -> None:
        with self._lock:
            watched.health = health
        backend = watched.backend
        self._reports.submit(self._tell, backend.endpoint, backend.backend_id, health)

    def _tell(self, endpoint: str, backend_id: str, health: Health) -> None:
        try:
            self._on_health(endpoint, backend_id, health)
        except Exception:  # noqa: BLE001 - a listener must not end the reports to it
            _log.exception("endpoint `%s`: the news that `%s` is %s", endpoint, backend_id, health)


def _head(backend: Backend, invocation: Invocation) -> bytes:
    body = invocation.body
    length = len(body) if isinstance(body, bytes) else invocation.content_length or 0
    host = f"{backend.host}:{backend.port}"
    return request_head("POST", invocation.path, host, invocation.headers, length)
