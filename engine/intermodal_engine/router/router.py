"""The endpoints' data plane: which of an endpoint's instances gets a request.

Invocations run on the event loop; what other threads change as well is under the roster's lock.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from intermodal_engine.router.attempts import Attempts
from intermodal_engine.router.captures import Captures
from intermodal_engine.router.demand import PATIENCE_S, Demand, OnDemand
from intermodal_engine.router.disturbances import Disturbances
from intermodal_engine.router.errors import (
    AnswerTimeoutError,
    AsynchronousError,
    ComponentRequiredError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidAnswerError,
    NoCapacityError,
    NoHealthyInstanceError,
    OverloadedError,
    RouterError,
    ThrottledError,
    UnknownEndpointError,
    UnknownSessionError,
    UnknownVariantError,
)
from intermodal_engine.router.health import Rhythm
from intermodal_engine.router.instance import (
    Backend,
    Health,
    Route,
    Strategy,
    Watched,
    choose_holders,
    choose_instance,
    choose_route,
)
from intermodal_engine.router.invocation import Invocation, InvocationResult
from intermodal_engine.router.limits import Limits, Waiting
from intermodal_engine.router.measurements import Measurements
from intermodal_engine.router.model import ModelFiles
from intermodal_engine.router.multi_model import InstanceModels, asker
from intermodal_engine.router.roster import Roster
from intermodal_engine.router.sessions import NEW_SESSION, Sessions
from intermodal_engine.router.shadows import Shadows
from intermodal_engine.router.watches import OnHealth, Watches

__all__ = [
    "AnswerTimeoutError",
    "AsynchronousError",
    "Backend",
    "ComponentRequiredError",
    "ConnectFailedError",
    "ConnectionLostError",
    "Health",
    "InvalidAnswerError",
    "Invocation",
    "InvocationResult",
    "Limits",
    "NoCapacityError",
    "NoHealthyInstanceError",
    "OnHealth",
    "OverloadedError",
    "Rhythm",
    "Route",
    "Router",
    "RouterError",
    "Strategy",
    "ThrottledError",
    "UnknownEndpointError",
    "UnknownSessionError",
    "UnknownVariantError",
]

INVOCATION_TIMEOUT_S = 60.0

_log = logging.getLogger(__name__)

SETTLING_S = 10.0
"""After a start, requests wait so long for an instance that was healthy before it."""

_UNSERVED = (NoCapacityError, NoHealthyInstanceError, OverloadedError, ConnectFailedError)


class _BusyError(Exception):
    """No instance can take a request now, and one will soon; the message says why not now.

    Args:
        why: what is in the way.
        patience_s: how long to wait for it; None: as long as for anything.
    """

    def __init__(self, why: str, patience_s: float | None = None) -> None:
        super().__init__(why)
        self.patience_s = patience_s


class Router(Roster):
    """All endpoints' traffic.

    Args:
        on_health: told of every change.
        timeout_s: how long an instance may take for one answer.
        rhythm: how often instances are pinged.
        limits: how much an endpoint takes at once.
        now: epoch seconds.
        settling_s: how long after `bind` requests wait for an instance to be found healthy.
        sessions: the open ones.
        model_files: gets the models of multi-model endpoints.
        on_demand: told how many instances a serverless variant needs.
    """

    def __init__(
        self,
        on_health: OnHealth,
        timeout_s: float = INVOCATION_TIMEOUT_S,
        rhythm: Rhythm | None = None,
        limits: Limits | None = None,
        now: Callable[[], float] = time.time,
        settling_s: float = 0.0,
        sessions: Sessions | None = None,
        model_files: ModelFiles | None = None,
        on_demand: OnDemand = lambda *_: None,
    ) -> None:
        super().__init__(now)
        self._demand = Demand(on_demand)
        self._model_files = model_files
        self.measurements = Measurements(now)
        self.captures = Captures(now)
        self._limits = limits or Limits()
        self._waiting = Waiting(self._limits)
        self._sessions = sessions or Sessions(now)
        self._shadows = Shadows(self._send_copy)
        self._settling_s = settling_s
        self._settled_at = 0.0
        self.disturbances = Disturbances(now)
        self._attempts = Attempts(
            self.captures, self.measurements, self.disturbances, timeout_s, self._finish
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watches = Watches(rhythm or Rhythm(), self._is_known, self._on_change, on_health)
        self._requests = 0

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to ping; called on the event loop that invocations run on."""
        self._settled_at = time.monotonic() + self._settling_s
        with self._lock:
            self._loop = loop
            waiting = list(self._watched.values())
        for watched in waiting:
            self._watches.start(watched)

    def close(self) -> None:
        """Ends what `bind` began. Called on that event loop, at its end."""
        with self._lock:
            watched = list(self._watched.values())
        self._watches.close()
        self._demand.close()
        for one in watched:
            one.close()

    def add(self, backend: Backend) -> None:
        """Begins to watch an instance. Adding it once more changes nothing."""
        with self._lock:
            known = self._watched.get(backend.backend_id)
            if known is not None and known.backend == backend:
                return
            watched = self._watched_of(backend)
            self._watched[backend.backend_id] = watched
            self._targets.setdefault(backend.target, {})[backend.backend_id] = watched
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._watches.start, watched)

    def _watched_of(self, backend: Backend) -> Watched:
        watched = Watched(backend)
        for link in watched.links:
            source = link.container.models
            if source is not None and self._model_files is not None:
                record = partial(self.measurements.record, backend)
                ask = asker(link.pool, link.host)
                link.models = InstanceModels(source, self._model_files, ask, record)
        return watched

    def remove(self, backend_id: str) -> None:
        """Stops to watch an instance that has ended; requests under way have failed."""
        with self._lock:
            watched = self._watched.pop(backend_id, None)
            if watched is None:
                return
            watched.is_draining = True
            self._targets[watched.backend.target].pop(backend_id, None)
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._watches.stop, watched)

    def forget(self, target: str) -> None:
        """Drops an endpoint, or a component, with all its instances."""
        self.captures.follow(target, {})
        with self._lock:
            backend_ids = list(self._targets.get(target, {}))
        for backend_id in backend_ids:
            self.remove(backend_id)
        with self._lock:
            self._targets.pop(target, None)
            self._directions.pop(target, None)

    def watch_room(self, on_room: Callable[[str], None]) -> None:
        """Has somebody told, on the event loop, of each endpoint that may have room."""
        self._waiting.on_room = on_room

    async def invoke(self, target: str, invocation: Invocation) -> InvocationResult:
        """Sends a request to a healthy instance and returns what that answered.

        Another instance is tried where none of the request has reached the first: it could not be
        connected to, or a kept connection turned out to be dead.

        Raises:
            UnknownEndpointError, UnknownVariantError, NoHealthyInstanceError: nobody got it.
            ComponentRequiredError, NoCapacityError: nobody is meant to get it.
            ConnectFailedError: nobody could be reached.
            ConnectionLostError, InvalidAnswerError, AnswerTimeoutError: an instance has failed,
                and may or may not have worked on it.
        """
        if not isinstance(invocation.body, bytes) and invocation.content_length is None:
            invocation = replace(invocation, body=b"".join([c async for c in invocation.body]))
        began = time.perf_counter()
        try:
            result = await self._invoke(target, invocation, began)
        except _UNSERVED as error:
            with self._lock:
                direction = self._directions.get(target)
            if direction is not None:
                self._attempts.count_unserved(target, direction, error)
            raise
        await self._sessions.take(target, result.backend_id, result.headers)
        return result

    async def _invoke(self, target: str, invocation: Invocation, began: float) -> InvocationResult:
        tried: dict[str, str] = {}
        failure: ConnectFailedError | None = None
        while True:
            try:
                watched = await self._choose_in_turn(target, invocation, tried, began)
            except NoHealthyInstanceError as error:
                raise failure or error from None
            try:
                return await self._attempts.make(watched, invocation, began)
            except ConnectFailedError as error:
                failure = error
                watched.suspect()
                tried[watched.backend.backend_id] = watched.backend.zone
            except ConnectionLostError as error:
                watched.suspect()
                watched.flush()  # what else is idle there has most likely ended as well
                if not error.is_stale:
                    raise

    async def _choose_in_turn(
        self, target: str, invocation: Invocation, tried: Mapping[str, str], began: float
    ) -> Watched:
        """An instance for a request, once there is one that can take it."""
        most = self._most(target)
        if most is not None:
            self._demand.enter(target, self._under_way(target), most)
        has_waited = False
        try:
            while True:
                try:
                    watched = self._choose(target, invocation, tried)
                    break
                except _BusyError as busy:
                    await self._waiting.wait(target, str(busy), busy.patience_s)
                    has_waited = True
        finally:
            if most is not None:
                self._demand.leave(target)
        if most is not None and has_waited:
            setup_s = time.perf_counter() - began
            self.measurements.record(watched.backend, "ModelSetupTime", setup_s * 1e6)
        return watched

    def _most(self, target: str) -> int | None:
        """How many requests at once a serverless target takes; None for any other."""
        with self._lock:
            direction = self._directions.get(target)
        if direction is None:
            return None
        found = [route.most for route in direction.routes if route.most is not None]
        return max(found, default=None)

    def _under_way(self, target: str) -> int:
        with self._lock:
            return sum(one.in_flight for one in self._targets.get(target, {}).values())

    def _choose(self, target: str, invocation: Invocation, tried: Mapping[str, str]) -> Watched:
        holder = self._holder(target, invocation.session_id)
        target_variant = invocation.target_variant
        with self._lock:
            direction = self._directions.get(target)
            if direction is None:
                raise UnknownEndpointError(target)
            if direction.refusal is not None:
                raise direction.refusal(target)
            if direction.is_asynchronous and not invocation.is_asynchronous:
                raise AsynchronousError(target)
            routes = {
                (route.generation, route.variant): route
                for route in direction.routes
                if target_variant in (None, route.variant) and not route.is_shadow
            }
            if not routes:
                raise UnknownVariantError(target_variant)
            available: dict[Route, list[Watched]] = {}
            is_busy = False
            for one in self._targets.get(target, {}).values():
                route = routes.get((one.backend.generation, one.backend.variant))
                if not route or not one.is_ready or one.backend.backend_id in tried:
                    continue
                if holder not in (None, one.backend.backend_id):
                    continue
                if one.in_flight >= self._limits.of(route.most, route.each):
                    is_busy = True
                else:
                    available.setdefault(route, []).append(one)
            on_demand = next((one for one in routes.values() if one.most is not None), None)
            if not available and on_demand is not None:
                in_flight = sum(one.in_flight for one in self._targets.get(target, {}).values())
                self._demand.ask(target, on_demand.variant, in_flight)
                raise _BusyError("no instance has come", PATIENCE_S)
            if not available:
                raise self._none_available(target, invocation, holder, is_busy=is_busy)
            route = choose_route(direction, available)
            holders = choose_holders(available[route], invocation.target_model)
            watched = choose_instance(holders, set(tried.values()), route.strategy)
            self._take(watched)
            shadow = self._shadows.chosen(direction, invocation, self._targets[target].values())
            if shadow is not None:
                self._take(shadow)
        if shadow is not None:
            self._shadows.send(shadow, invocation)
        return watched

    def _holder(self, target: str, session_id: str | None) -> str | None:
        """The instance that holds the request's session; None for a request without one."""
        if session_id in (None, NEW_SESSION):
            return None
        holder = self._sessions.find(target, str(session_id))
        if holder is None:
            raise UnknownSessionError(session_id)
        return holder

    def _none_available(
        self, target: str, invocation: Invocation, holder: str | None, *, is_busy: bool
    ) -> Exception:
        if is_busy:
            return _BusyError("all instances are busy")
        if holder is not None:
            return UnknownSessionError(invocation.session_id)
        if time.monotonic() < self._settled_at:
            return _BusyError("no instance was healthy yet")
        return NoHealthyInstanceError(target)

    def _take(self, watched: Watched) -> None:
        self._requests += 1
        watched.last_used = self._requests
        watched.in_flight += 1

    async def _send_copy(self, watched: Watched, invocation: Invocation) -> None:
        """A shadow's exchange, whose answer nobody gets."""
        try:
            result = await self._attempts.make(watched, invocation, time.perf_counter())
            if not isinstance(result.body, bytes):
                async for _ in result.body:
                    pass
        except RouterError as error:
            watched.suspect()
            _log.info("shadow `%s`: %s", watched.backend.backend_id, error)

    def _finish(self, watched: Watched) -> None:
        with self._lock:
            watched.in_flight -= 1
            watched.used_at = self._now()
        self._waiting.wake(watched.backend.target)

    def _is_known(self, watched: Watched) -> bool:
        with self._lock:
            return self._watched.get(watched.backend.backend_id) is watched

    def _on_change(self, watched: Watched, health: Health) -> None:
        with self._lock:
            watched.health = health
            watched.used_at = self._now()
        self._waiting.wake_all(watched.backend.target)
