"""One request at one instance: captured, exchanged, measured, and over when its answer is."""

import time
from collections.abc import Callable
from dataclasses import replace

from intermodal_engine.router.captures import Captures
from intermodal_engine.router.disturbances import Disturbances
from intermodal_engine.router.errors import (
    ConnectFailedError,
    NoCapacityError,
    RouterError,
    status_of,
)
from intermodal_engine.router.exchanges import Exchanged, exchange, nothing
from intermodal_engine.router.instance import Backend, Direction, Watched
from intermodal_engine.router.invocation import Invocation, InvocationResult
from intermodal_engine.router.measurements import Measurements


class Attempts:
    """All requests that are with instances.

    Args:
        captures: keeps some of them.
        measurements: what is measured of them.
        disturbances: what drills do to them.
        timeout_s: how long an instance may take for one answer.
        finish: called once for each, when the instance has one less to work on.
    """

    def __init__(
        self,
        captures: Captures,
        measurements: Measurements,
        disturbances: Disturbances,
        timeout_s: float,
        finish: Callable[[Watched], None],
    ) -> None:
        self._captures = captures
        self._measurements = measurements
        self._disturbances = disturbances
        self._timeout_s = timeout_s
        self._finish = finish

    async def make(
        self, watched: Watched, invocation: Invocation, began: float
    ) -> InvocationResult:
        """Sends a request to an instance that counts it as under way already.

        Args:
            watched: the instance.
            invocation: the request.
            began: when the router got it, by `time.perf_counter`.

        Raises:
            RouterError: as `exchange` does.
        """
        return await self._captures.around(
            watched.backend, invocation, lambda sent: self._make(watched, sent, began)
        )

    def count_unserved(self, target: str, direction: Direction, error: RouterError) -> None:
        """A request that no instance got counts against the endpoint's variant all the same.

        Args:
            target: what it was for.
            direction: where that one's traffic goes.
            error: why nobody got it.
        """
        if not direction.routes:
            return
        route = direction.routes[0]
        endpoint, _, component = target.partition("/")
        nobody = Backend(
            "", endpoint, route.variant, route.generation, "", "", 0, component=component
        )
        if isinstance(error, NoCapacityError):
            self._measurements.record(nobody, "NoCapacityInvocationFailures", 1.0)
        else:
            self._measurements.count_unserved(nobody)

    async def _make(
        self, watched: Watched, invocation: Invocation, began: float
    ) -> InvocationResult:
        backend = watched.backend
        sent = time.perf_counter()
        try:
            exchanged = await self._exchange(watched, invocation, sent)
        except ConnectFailedError:
            self._finish(watched)
            raise
        except BaseException as error:
            self._finish(watched)
            if isinstance(error, RouterError):
                self._measurements.count(backend, began, sent, status_of(error))
                self._measurements.count_containers(backend, error.steps)
            raise
        answer = exchanged.answer

        def end() -> None:
            exchanged.finish()
            self._finish(watched)
            self._measurements.count(backend, began, exchanged.sent, answer.status)
            self._measurements.count_containers(backend, exchanged.steps)

        if isinstance(answer.body, bytes):
            end()
        else:
            answer.body.on_end(end)
        return InvocationResult(
            answer.status,
            answer.headers,
            answer.body,
            backend.variant,
            backend.backend_id,
            backend.zone,
            exchanged.container,
        )

    async def _exchange(self, watched: Watched, invocation: Invocation, sent: float) -> Exchanged:
        """Through what disturbs it; what that costs counts as the model's latency."""
        timeout_s = invocation.timeout_s or self._timeout_s
        if not self._disturbances.go_on:
            return await exchange(watched, invocation, timeout_s)
        instead = await self._disturbances.meet(watched.backend, timeout_s)
        if instead is not None:
            return Exchanged(instead, sent, nothing)
        held_s = time.perf_counter() - sent
        exchanged = await exchange(watched, invocation, max(0.0, timeout_s - held_s))
        return replace(exchanged, sent=exchanged.sent - held_s)
