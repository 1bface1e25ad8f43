"""The instances of one endpoint: which there should be, which there are, and how they do.

A *member* is one instance of one variant in one zone. Members are kept in the endpoint's record, so
that a restarted engine finds them again; this module turns them into running instances and back.
"""

import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from intermodal_contract import env
from intermodal_contract.instance import instance_type
from intermodal_contract.serving_http import MODELS_FOLDER
from intermodal_engine import folders
from intermodal_engine.drivers.base import (
    InstanceSpec,
    InstanceState,
    InstanceStatus,
    Mount,
    MountMode,
)
from intermodal_engine.lifecycle.captures.rules import rule_of
from intermodal_engine.lifecycle.failure import last_words
from intermodal_engine.lifecycle.fleet_kind import FleetKind
from intermodal_engine.lifecycle.instances import EngineAccess, Instances, instance_id
from intermodal_engine.lifecycle.limits import limits_of
from intermodal_engine.lifecycle.model_files import ModelStore, is_multi_model
from intermodal_engine.router.instance import target_of
from intermodal_engine.router.model import ModelSource
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

PORT = 8080
ZONE_LETTERS = "abc"
_GIB = 1 << 30


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
    ) -> None:
        self.kind = kind
        self._instances = instances
        self._router = router
        self._models = models
        self._log_streams = log_streams
        self._settings = settings
        self._access = access

    def prepare(self, variants: Mapping[str, Any]) -> dict[str, Any]:
        """The variants of a deployment with their models fetched.

        Raises:
            ModelDataError: a model cannot be had.
        """
        prepared = {}
        for name, variant in variants.items():
            folder = None if is_bare(variant) else self._models.fetch(variant["container"])
            prepared[name] = {**variant, "model_folder": str(folder) if folder else None}
        return prepared

    def prepare_member(self, record: Record, member: Member) -> bool:
        """Gets what a member's start needs; says whether it is there. See `Instances.prepare`.

        Raises:
            PlanRefusedError: its image cannot run here.
            StartFailedError: it cannot be had.
        """
        return _is_place(record, member) or self._instances.prepare(self._spec(record, member))

    def image(self, record: Record, member: Member) -> str | None:
        """The image that a member runs on, by digest; None where no image does.

        Raises:
            PlanRefusedError: it cannot run here.
        """
        if _is_place(record, member):
            return None
        return self._instances.image(self._spec(record, member))

    def ensure(self, record: Record, member: Member) -> InstanceStatus:
        """Starts a member, or finds it, puts it before the router, and says how it is.

        Raises:
            PlanRefusedError: its image cannot run here.
            StartFailedError: it could not be started.
        """
        if _is_place(record, member):
            return InstanceStatus(InstanceState.RUNNING, started_at=member.started_at)
        instance = self._instances.ensure(self._spec(record, member))
        host, port = instance.addresses[PORT]
        self._router.add(
            Backend(
                backend_id=member.member_id,
                endpoint=endpoint_of(record),
                variant=member.variant,
                generation=member.generation,
                zone=member.zone,
                host=host,
                port=port,
                models=self._models_of(record, member),
                component=component_of(record),
            )
        )
        return self._instances.status(instance)

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
        folder = self._settings.instances_folder / self.kind.name / record.name
        folders.remove(folder)

    def health(self, record: Record, member: Member) -> Health:
        """What the router knows of it."""
        if _is_place(record, member):
            return Health.HEALTHY
        return self._router.health(member.member_id)

    def retire(self, record: Record, member: Member) -> bool:
        """Takes a member out of traffic, waits for its requests, and stops it.

        Returns:
            Whether it has ended; its folder is gone then. Call again when its record wakes.
        """
        if _is_place(record, member):
            return True
        self._router.drain(member.member_id)
        instance = self._instances.find(self._spec(record, member))
        if instance is None:
            self._router.remove(member.member_id)
            return True
        status = self._instances.status(instance)
        if status.state == "running":
            if self._router.in_flight(member.member_id) == 0:
                self._instances.stop(instance)
            return False
        self._router.remove(member.member_id)
        self._instances.forget(instance)
        folders.remove(instance.folder)
        return True

    def last_words(self, record: Record, member: Member) -> str:
        """The end of a member's output, for a FailureReason."""
        return last_words(self._log_file(record, member))

    def log_group(self, record: Record) -> str:
        """Its CloudWatch Logs group."""
        return f"{self.kind.log_group_prefix}{record.name}"

    def _folder(self, record: Record, member: Member) -> Path:
        return self._settings.instances_folder / self.kind.name / record.name / member.member_id

    def _models_of(self, record: Record, member: Member) -> ModelSource | None:
        """Where the models of a member that serves many come from."""
        variant = _variants(record, member)[member.variant]
        container = variant["container"]
        if not is_multi_model(container):
            return None
        caching = container.get("MultiModelConfig", {}).get("ModelCacheSetting", "Enabled")
        volume = variant.get("volume_gib")
        return ModelSource(
            prefix=container["ModelDataUrl"],
            folder=str(self._folder(record, member) / "ml" / MODELS_FOLDER),
            is_cached=caching == "Enabled",
            limit_bytes=volume * _GIB if volume else None,
        )

    def _spec(self, record: Record, member: Member) -> InstanceSpec:
        variants = _variants(record, member)
        variant = variants[member.variant]
        container = variant["container"]
        folder = self._folder(record, member)
        model = variant.get("model_folder")
        mounts = (Mount(Path(model), "/opt/ml/model", MountMode.VIEW),) if model else ()
        # Without any, the model is what a container's own image has there.
        (folder / "ml" / ("model" if mounts else "")).mkdir(parents=True, exist_ok=True)
        owner = f"{self.kind.name}/{record.name}"
        network = f"{owner}/{member.member_id}"
        modes = {}
        if is_multi_model(container):
            modes[env.MULTI_MODEL] = "true"
            (folder / "ml" / MODELS_FOLDER).mkdir(exist_ok=True)
        limits = limits_of(variant["instance_type"]).within(variant.get("needs"))
        is_isolated = variant.get("network_isolation", False)
        access = {} if is_isolated else self._access(owner, variant["role_arn"], network)
        return InstanceSpec(
            instance_id=instance_id(self.kind.name, record.name, member.member_id, 0),
            host=member.member_id,
            hosts=(member.member_id,),
            network=network,
            folder=folder,
            ml=folder / "ml",
            image=container["Image"],
            command=("serve",),
            environment={
                env.NUM_CPUS: str(_cores_of_one(variants, variant)),
                **container.get("Environment", {}),
                **modes,
                **access,
            },
            log=self._log_file(record, member),
            mounts=mounts,
            ports=(PORT,),
            memory_bytes=limits.memory_bytes,
            cpus=limits.cpus,
            stop_grace_s=self._settings.serving_stop_grace_s,
            outbound=not is_isolated,
        )

    def _log_file(self, record: Record, member: Member) -> Path:
        stream = f"{member.variant}/{member.member_id}"
        return self._log_streams.path(self.log_group(record), stream)


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


def _cores_of_one(variants: Mapping[str, Any], variant: Mapping[str, Any]) -> int:
    """The cores of this machine that one instance may use, as many as its type has at most.

    The endpoint's instances share the machine, where on AWS each has one of its own: `serve` starts
    a worker a core, and all the instances' workers together shall not be more than there are cores.
    """
    together = sum(int(each["count"]) for each in variants.values())
    share = len(os.sched_getaffinity(0)) // max(1, together)
    whole = instance_type(variant["instance_type"]).vcpus
    own = float((variant.get("needs") or {}).get("NumberOfCpuCoresRequired", whole))
    return max(1, min(math.ceil(own), share))
