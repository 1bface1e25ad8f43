"""What the router knows of one instance, and which of several gets the next request."""

import asyncio
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from intermodal_engine.router.connection import ConnectionPool
from intermodal_engine.router.errors import RouterError
from intermodal_engine.router.model import ModelSource
from intermodal_engine.router.multi_model import InstanceModels

HOT_MODEL = 8
"""With so many requests under way on each instance that holds a model, another one may load it."""


class Health(StrEnum):
    """STARTING until the first good `/ping`; then HEALTHY and UNHEALTHY as pings say."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Container:
    """One of several containers of an instance.

    Attributes:
        name: its `ContainerHostname`, or `container-` and its place; empty for an only one.
        host: IP address.
        port: TCP port.
        models: where its models come from, if it serves many.
    """

    name: str
    host: str
    port: int
    models: ModelSource | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """An instance of an endpoint, as the router is told of it.

    Attributes:
        backend_id: unique over all endpoints.
        endpoint: the endpoint's name.
        variant: the production variant's name.
        generation: number of the deployment.
        zone: failure domain, for example `us-east-1a`.
        host: IP address.
        port: TCP port.
        models: where the models of an instance that serves many come from; None: it serves one.
        component: the inference component that it is a copy of; empty for an instance that has the
            variant's model.
        containers: where it has several, all of them in their order; each gets what the one before
            it has answered.
        is_direct: each request names the container that it is for.
        container: in a measurement, the container that was measured; empty for all of it.
    """

    backend_id: str
    endpoint: str
    variant: str
    generation: int
    zone: str
    host: str
    port: int
    models: ModelSource | None = None
    component: str = ""
    containers: tuple[Container, ...] = ()
    is_direct: bool = False
    container: str = ""

    @property
    def target(self) -> str:
        """What the router knows its traffic by."""
        return target_of(self.endpoint, self.component)


def target_of(endpoint: str, component: str = "") -> str:
    """What a request is for: an endpoint, or one of its inference components."""
    return f"{endpoint}/{component}" if component else endpoint


@dataclass(slots=True, eq=False)
class Link:
    """The way to one container.

    Attributes:
        container: where it is.
        pool: connections to it.
        models: those that it holds, where it serves many.
    """

    container: Container
    pool: ConnectionPool
    models: InstanceModels | None = None

    @property
    def host(self) -> str:
        """For the `Host` header."""
        return f"{self.container.host}:{self.container.port}"


@dataclass(slots=True, eq=False)
class Watched:
    """A backend and how it is.

    Attributes:
        backend: what the router was told.
        health: what pings say.
        failures: pings in a row that failed, without those that `silences` counts.
        silences: pings in a row that timed out while it had requests under way and sent nothing.
        is_suspect: a connection or a ping got no answer since the last good ping.
        is_draining: gets no new requests.
        in_flight: requests under way.
        last_used: number of the last request that it got; 0 for none.
        used_at: epoch seconds at which its last request ended, or it came.
        alarm: set where it should be pinged at once.
        links: the ways to its containers, in their order.
    """

    backend: Backend
    health: Health = Health.STARTING
    failures: int = 0
    silences: int = 0
    is_suspect: bool = False
    is_draining: bool = False
    in_flight: int = 0
    last_used: int = 0
    used_at: float = 0.0
    alarm: asyncio.Event = field(default_factory=asyncio.Event)
    links: tuple[Link, ...] = field(init=False)

    def __post_init__(self) -> None:
        one = self.backend
        containers = one.containers or (Container("", one.host, one.port, one.models),)
        self.links = tuple(
            Link(each, ConnectionPool(each.host, each.port, self.alarm.set)) for each in containers
        )

    @property
    def models(self) -> InstanceModels | None:
        """The models that it holds, where a container of it serves many."""
        return next((link.models for link in self.links if link.models is not None), None)

    def flush(self) -> None:
        """Closes idle connections."""
        for link in self.links:
            link.pool.flush()

    def close(self) -> None:
        """Closes all connections, now and later."""
        for link in self.links:
            link.pool.close()

    def take_heard(self) -> bool:
        """Whether anything came from it since the last call."""
        heard = [link.pool.take_heard() for link in self.links]  # all are asked
        return any(heard)

    def suspect(self) -> None:
        """Notes a failed connection: others go first until a ping has cleared it."""
        self.is_suspect = True
        self.alarm.set()

    @property
    def is_ready(self) -> bool:
        """Whether it may get requests."""
        return self.health is Health.HEALTHY and not self.is_draining


class Strategy(StrEnum):
    """`RoutingStrategy` of a variant: how one of its instances is chosen."""

    LEAST_OUTSTANDING_REQUESTS = "LEAST_OUTSTANDING_REQUESTS"
    RANDOM = "RANDOM"


@dataclass(frozen=True, slots=True)
class Route:
    """Where part of an endpoint's traffic goes: to one variant of one deployment.

    Attributes:
        generation: number of the deployment.
        variant: the production variant's name.
        weight: its share of the traffic, over the sum of all of the endpoint's weights.
        strategy: how one of its instances is chosen.
        is_shadow: it gets copies of that share of the requests, and answers nobody.
        most: requests at once, each on an instance that has come for it (serverless); None: each
            instance works on many.
        each: asynchronous requests that each instance works on at once; None: it gets no such ones.
    """

    generation: int
    variant: str
    weight: float
    strategy: Strategy = Strategy.LEAST_OUTSTANDING_REQUESTS
    is_shadow: bool = False
    most: int | None = None
    each: int | None = None


@dataclass(slots=True)
class Direction:
    """Where an endpoint's traffic goes.

    Attributes:
        routes: where it goes; a variant may be there once a deployment.
        refusal: why nobody gets a request, as things are meant to be.
        credits: what each route has saved up, see `choose_route`.
    """

    routes: tuple[Route, ...]
    refusal: type[RouterError] | None = None
    credits: dict[Route, float] = field(default_factory=dict)

    @property
    def is_asynchronous(self) -> bool:
        """Whether nobody waits for the answers."""
        return any(route.each is not None for route in self.routes)


def choose_route(direction: Direction, available: Collection[Route]) -> Route:
    """Picks a route by weight, evenly interleaved (smooth weighted round robin).

    Args:
        direction: its credits change.
        available: routes with an instance that may get the request; at least one.
    """
    weights = {route: max(route.weight, 0.0) for route in available}
    total = sum(weights.values())
    if total == 0:
        weights, total = dict.fromkeys(available, 1.0), float(len(available))
    for route, weight in weights.items():
        direction.credits[route] = direction.credits.get(route, 0.0) + weight
    chosen = max(
        weights, key=lambda route: (direction.credits[route], route.variant, route.generation)
    )
    direction.credits[chosen] -= total
    return chosen


def choose_holders(candidates: Sequence[Watched], target: str | None) -> Sequence[Watched]:
    """Those that hold the target's model; all, where none does or those that do have much to do.

    A model that is asked for a lot comes to further instances so.

    Args:
        candidates: ready ones, at least one.
        target: the request's `TargetModel`.
    """
    if target is None:
        return candidates
    holders = [one for one in candidates if one.models is not None and one.models.has(target)]
    if not holders:
        return candidates
    busy = min(one.in_flight for one in holders)
    is_hot = busy >= HOT_MODEL and min(one.in_flight for one in candidates) * 2 < busy
    return candidates if is_hot else holders


def choose_instance(
    candidates: Iterable[Watched],
    avoided_zones: Collection[str],
    strategy: Strategy = Strategy.LEAST_OUTSTANDING_REQUESTS,
) -> Watched:
    """Picks the instance with the fewest requests under way; on a tie, the longest unused zone.

    Args:
        candidates: ready ones, at least one.
        avoided_zones: where an earlier attempt failed.
        strategy: RANDOM picks any of those that are in no doubt.
    """
    ready = list(candidates)
    if strategy is Strategy.RANDOM:
        sure = [one for one in ready if not one.is_suspect]
        near = [one for one in sure if one.backend.zone not in avoided_zones]
        return random.choice(near or sure or ready)
    zone_used: dict[str, int] = {}
    for one in ready:
        zone = one.backend.zone
        zone_used[zone] = max(zone_used.get(zone, 0), one.last_used)
    return min(
        ready,
        key=lambda one: (
            one.is_suspect,
            one.backend.zone in avoided_zones,
            one.in_flight,
            zone_used[one.backend.zone],
            one.last_used,
        ),
    )
