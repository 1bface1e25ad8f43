"""The instances of one endpoint: which there should be, which there are, and how they do.

A *member* is one instance of one variant in one zone. Members are kept in the endpoint's record, so
that a restarted engine finds them again; this module turns them into running instances and back.
"""

import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any

from intermodal_engine import folders
from intermodal_engine.drivers.base import Instance, InstanceState, InstanceStatus
from intermodal_engine.lifecycle.async_inference.accepted import concurrency_of
from intermodal_engine.lifecycle.captures.rules import rule_of
from intermodal_engine.lifecycle.failure import last_words
from intermodal_engine.lifecycle.fleet_kind import FleetKind
from intermodal_engine.lifecycle.fleet_specs import FleetSpecs, MemberContainer
from intermodal_engine.lifecycle.instances import EngineAccess, Instances
from intermodal_engine.lifecycle.model_files import ModelStore
from intermodal_engine.lifecycle.served import fetched, is_direct
from intermodal_engine.router.instance import target_of
from intermodal_engine.router.router import (
    Backend,
    ComponentRequiredError,
    Health,
    NoCapacityError,
    Route,
    Router,
    RouterError,
    Strategy,
)
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Record

ZONE_LETTERS = "abc"


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a variant.

    Attributes:
        member_id: `i-` and hex digits, as EC2 names instances.
        generation: number of the deployment that it belongs to.
        variant: name of its production variant.
        zone: Availability Zone.
        started_at: epoch seconds.
        host: of a copy of an inference component, the endpoint's instance that it is on.
    """

    member_id: str
    generation: int
    variant: str
    zone: str
    started_at: float
    host: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where there should be a member.

    Attributes:
        variant: name of its production variant.
        zone: Availability Zone.
        host: see `Member.host`.
    """

    variant: str
    zone: str
    host: str = ""


def new_member(generation: int, place: Place, now: float) -> Member:
    """A member that has not been started yet."""
    member_id = f"i-{uuid.uuid4().hex[:17]}"
    return Member(member_id, generation, place.variant, place.zone, now, place.host)


def is_bare(variant: Mapping[str, Any]) -> bool:
    """Whether a variant's instances have no model, but room for inference components."""
    return variant.get("container") is None


def members_of(state: Mapping[str, Any]) -> list[Member]:
    """The members in an endpoint's state."""
    return [Member(**one) for one in state["members"]]


def dump_members(members: list[Member]) -> list[dict[str, Any]]:
    """The form in which `members_of` reads them."""
    return [asdict(member) for member in members]


def zones(region: str) -> list[str]:
    """The zones over which instances are spread, in order."""
    return [f"{region}{letter}" for letter in ZONE_LETTERS]


class Fleet:
    """Starts, finds, watches and ends the members of all fleets of one kind.

    An instance without a model is a place for copies of inference components, which are members of
    their own: nothing of it runs.

    Args:
        kind: of which kind.
        instances: what runs.
        router: sends traffic to healthy members.
        models: model files.
        log_streams: names the files that get the members' output.
        settings: folders and grace times.
        access: variables with which a member's code reaches the engine.
        closed_zones: those where nothing runs at present.
    """

    def __init__(
        self,
        *,
        kind: FleetKind,
        instances: Instances,
        router: Router,
        models: ModelStore,
        log_streams: LogStreams,
        settings: Settings,
        access: EngineAccess,
        closed_zones: Callable[[], AbstractSet[str]],
    ) -> None:
        self._closed_zones = closed_zones
        self.kind = kind
        self._instances = instances
        self._router = router
        self._models = models
        self._specs = FleetSpecs(kind, log_streams, settings, access)

    def prepare(self, variants: Mapping[str, Any]) -> dict[str, Any]:
        """The variants of a deployment with their models fetched.

        Raises:
            ModelDataError: a model cannot be had.
        """
        prepared = {}
        for name, variant in variants.items():
            folders = {"model_folder": None} if is_bare(variant) else fetched(self._models, variant)
            prepared[name] = {**variant, **folders}
        return prepared

    def prepare_member(self, record: Record, member: Member) -> bool:
        """Gets what a member's start needs; says whether it is there. See `Instances.prepare`.

        Raises:
            PlanRefusedError: its image cannot run here.
            StartFailedError: it cannot be had.
        """
        if _is_place(record, member):
            return True
        specs = [one.spec for one in self._containers(record, member)]
        ready = [self._instances.prepare(spec) for spec in specs]  # all are begun at once
        return all(ready)

    def images(self, record: Record, member: Member) -> list[str | None]:
        """The images that a member's containers run on, by digest; None where no image does.

        Raises:
            PlanRefusedError: it cannot run here.
        """
        if _is_place(record, member):
            return []
        return [self._instances.image(one.spec) for one in self._containers(record, member)]

    def ensure(self, record: Record, member: Member) -> InstanceStatus:
        """Starts a member, or finds it, puts it before the router, and says how it is.

        Raises:
            PlanRefusedError: its image cannot run here.
            StartFailedError: it could not be started.
        """
        if self.is_cut_off(member):
            return self._lose(record, member)
        if _is_place(record, member):
            return InstanceStatus(InstanceState.RUNNING, started_at=member.started_at)
        containers = self._containers(record, member)
        for one in containers:
            one.served.lay_out(one.spec.ml)
        instances = [self._instances.ensure(one.spec) for one in containers]
        reached = [one.where(each) for one, each in zip(containers, instances, strict=True)]
        first = reached[0]
        self._router.add(
            Backend(
                backend_id=member.member_id,
                endpoint=endpoint_of(record),
                variant=member.variant,
                generation=member.generation,
                zone=member.zone,
                host=first.host,
                port=first.port,
                models=first.models,
                component=component_of(record),
                containers=tuple(reached) if first.name else (),
                is_direct=is_direct(_variants(record, member)[member.variant]),
            )
        )
        return self._together(member, instances)

    def direct(self, record: Record) -> None:
        """Sends the endpoint's traffic where its record says, by its variants' weights."""
        state = record.state
        traffic = state.get("traffic") or {str(state["current"]): 1.0}
        routes = []
        for generation, share in traffic.items():
            variants = state["deployments"][generation]["variants"]
            own = [one["weight"] for one in variants.values() if not one.get("is_shadow")]
            scale = share / (sum(own) or 1.0)
            routes += [
                Route(
                    int(generation),
                    name,
                    float(variant["weight"]) * scale,
                    _strategy(variant),
                    is_shadow=variant.get("is_shadow", False),
                    most=(variant.get("serverless") or {}).get("MaxConcurrency"),
                    each=concurrency_of(variant),
                )
                for name, variant in variants.items()
            ]
        rules = {
            int(generation): rule_of(state["deployments"][generation].get("capture"))
            for generation in traffic
        }
        self._router.captures.follow(
            traffic_of(record), {number: rule for number, rule in rules.items() if rule is not None}
        )
        self._router.direct(traffic_of(record), routes, _refusal(record))

    def forget(self, record: Record) -> None:
        """Drops a fleet whose members have all ended, and its folder."""
        self._router.forget(traffic_of(record))
        folders.remove(self._specs.fleet_folder(record))

    def health(self, record: Record, member: Member) -> Health:
        """What the router knows of it."""
        if _is_place(record, member):
            return Health.HEALTHY
        return self._router.health(member.member_id)

    def idle_s(self, member: Member) -> float:
        """For how long a member has had nothing to do."""
        return self._router.idle_s(member.member_id)

    def retire(self, record: Record, member: Member) -> bool:
        """Takes a member out of traffic, waits for its requests, and stops it.

        Returns:
            Whether it has ended; its folder is gone then. Call again when its record wakes.
        """
        if _is_place(record, member):
            return True
        self._router.drain(member.member_id)
        found = [self._instances.find(one.spec) for one in self._containers(record, member)]
        instances = [one for one in found if one is not None]
        running = [
            one for one in instances if self._instances.status(one).state is InstanceState.RUNNING
        ]
        if running:
            if self._router.in_flight(member.member_id) == 0:
                for one in running:
                    self._instances.stop(one)
            return False
        self._router.remove(member.member_id)
        for one in instances:
            self._instances.forget(one)
            folders.remove(one.folder)
        return True

    def is_cut_off(self, member: Member) -> bool:
        """Whether its zone is out, which is no fault of the member's."""
        return member.zone in self._closed_zones()

    def kill(self, record: Record, member: Member) -> list[str]:
        """Takes a member away as a machine that fails does; returns the ids of what was killed."""
        if _is_place(record, member):
            return []
        found = [self._instances.find(one.spec) for one in self._containers(record, member)]
        running = [
            one
            for one in found
            if one is not None and self._instances.status(one).state is InstanceState.RUNNING
        ]
        for one in running:
            self._instances.kill(one)
        return [one.instance_id for one in running]

    def last_words(self, record: Record, member: Member) -> str:
        """The end of the output of each of a member's containers, for a FailureReason."""
        words = [
            (one.served.name, last_words(one.spec.log)) for one in self._containers(record, member)
        ]
        return "; ".join(f"container {name}: {said}" if name else said for name, said in words)

    def log_group(self, record: Record) -> str:
        """Its CloudWatch Logs group."""
        return self._specs.log_group(record)

    def _lose(self, record: Record, member: Member) -> InstanceStatus:
        """A member whose zone is out: gone once all of it is."""
        is_running = self.kill(record, member)
        state = InstanceState.RUNNING if is_running else InstanceState.LOST
        reason = f"the zone {member.zone} is out"
        return InstanceStatus(state, started_at=member.started_at, reason=reason)

    def _containers(self, record: Record, member: Member) -> list[MemberContainer]:
        variants = _variants(record, member)
        return self._specs.containers(record, variants, member.variant, member.member_id)

    def _together(self, member: Member, instances: list[Instance]) -> InstanceStatus:
        """How all of a member's containers are: when one has ended, the others are to end too.

        The member has ended when they all have, and as the first of them did.
        """
        statuses = [self._instances.status(one) for one in instances]
        ended = [status for status in statuses if status.state is not InstanceState.RUNNING]
        if not ended:
            return statuses[0]
        running = [
            one
            for one, status in zip(instances, statuses, strict=True)
            if status.state is InstanceState.RUNNING
        ]
        if running:
            self._router.drain(member.member_id)
            for one in running:
                self._instances.stop(one)
            return InstanceStatus(InstanceState.RUNNING, started_at=member.started_at)
        return min(ended, key=lambda one: (one.ended_at or 0.0, one.signal is not None))


def endpoint_of(record: Record) -> str:
    """The endpoint that a fleet belongs to: a component's state names it."""
    return str(record.state.get("endpoint", record.name))


def component_of(record: Record) -> str:
    """The inference component that a fleet belongs to; empty for an endpoint's own."""
    return record.name if "endpoint" in record.state else ""


def traffic_of(record: Record) -> str:
    """What the router knows the fleet's traffic by."""
    return target_of(endpoint_of(record), component_of(record))


def _variants(record: Record, member: Member) -> dict[str, Any]:
    found: dict[str, Any] = record.state["deployments"][str(member.generation)]["variants"]
    return found


def _is_place(record: Record, member: Member) -> bool:
    return is_bare(_variants(record, member)[member.variant])


def _refusal(record: Record) -> type[RouterError] | None:
    """Why nobody is to get a request, where that is how it should be."""
    current = record.state["current"]
    if current is None:
        return None
    variants = record.state["deployments"][str(current)]["variants"].values()
    if all(is_bare(variant) for variant in variants):
        return ComponentRequiredError
    is_empty = not any(variant["count"] for variant in variants)
    return NoCapacityError if is_empty and component_of(record) else None


def _strategy(variant: Mapping[str, Any]) -> Strategy:
    """What the variant's `RoutingConfig` says; by default the instance with the least to do."""
    routing = variant.get("routing") or {}
    return Strategy(routing.get("RoutingStrategy", Strategy.LEAST_OUTSTANDING_REQUESTS))
