"""The instances of one endpoint: which there should be, which there are, and how they do.

A *member* is one instance of one variant in one zone. Members are kept in the endpoint's record, so
that a restarted engine finds them again; this module turns them into running instances and back.
"""

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
from intermodal_engine.drivers.base import InstanceSpec, InstanceStatus, Mount, MountMode
from intermodal_engine.lifecycle.captures.rules import rule_of
from intermodal_engine.lifecycle.failure import last_words
from intermodal_engine.lifecycle.instances import EngineAccess, Instances, instance_id
from intermodal_engine.lifecycle.limits import limits_of
from intermodal_engine.lifecycle.model_files import ModelStore, is_multi_model
from intermodal_engine.router.model import ModelSource
from intermodal_engine.router.router import Backend, Health, Route, Router, Strategy
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Record

KIND = "endpoint"
PORT = 8080
LOG_GROUP_PREFIX = "/aws/sagemaker/Endpoints/"
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
    """

    member_id: str
    generation: int
    variant: str
    zone: str
    started_at: float


def new_member(generation: int, variant: str, zone: str, now: float) -> Member:
    """A member that has not been started yet."""
    return Member(f"i-{uuid.uuid4().hex[:17]}", generation, variant, zone, now)


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
    """Starts, finds, watches and ends the members of endpoints.

    Args:
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
        instances: Instances,
        router: Router,
        models: ModelStore,
        log_streams: LogStreams,
        settings: Settings,
        access: EngineAccess,
    ) -> None:
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
            folder = self._models.fetch(variant["container"])
            prepared[name] = {**variant, "model_folder": str(folder) if folder else None}
        return prepared

    def prepare_member(self, record: Record, member: Member) -> bool:
        """Gets what a member's start needs; says whether it is there. See `Instances.prepare`.

        Raises:
            PlanRefusedError: its image cannot run here.
            StartFailedError: it cannot be had.
        """
        return self._instances.prepare(self._spec(record, member))

    def image(self, record: Record, member: Member) -> str | None:
        """The image that a member runs on, by digest; None where no image does.

        Raises:
            PlanRefusedError: it cannot run here.
        """
        return self._instances.image(self._spec(record, member))

    def ensure(self, record: Record, member: Member) -> InstanceStatus:
        """Starts a member, or finds it, puts it before the router, and says how it is.

        Raises:
            PlanRefusedError: its image cannot run here.
            StartFailedError: it could not be started.
        """
        instance = self._instances.ensure(self._spec(record, member))
        host, port = instance.addresses[PORT]
        self._router.add(
            Backend(
                backend_id=member.member_id,
                endpoint=record.name,
                variant=member.variant,
                generation=member.generation,
                zone=member.zone,
                host=host,
                port=port,
                models=self._models_of(record, member),
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
            record.name, {number: rule for number, rule in rules.items() if rule is not None}
        )
        self._router.direct(record.name, routes)

    def forget(self, record: Record) -> None:
        """Drops an endpoint whose members have all ended, and its folder."""
        self._router.forget(record.name)
        folder = self._settings.instances_folder / KIND / record.name
        folders.remove(folder)

    def health(self, member: Member) -> Health:
        """What the router knows of it."""
        return self._router.health(member.member_id)

    def retire(self, record: Record, member: Member) -> bool:
        """Takes a member out of traffic, waits for its requests, and stops it.

        Returns:
            Whether it has ended; its folder is gone then. Call again when its record wakes.
        """
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
        """The CloudWatch Logs group of an endpoint."""
        return f"{LOG_GROUP_PREFIX}{record.name}"

    def _folder(self, record: Record, member: Member) -> Path:
        return self._settings.instances_folder / KIND / record.name / member.member_id

    def _models_of(self, record: Record, member: Member) -> ModelSource | None:
        """Where the models of a member that serves many come from."""
        variants = record.state["deployments"][str(member.generation)]["variants"]
        variant = variants[member.variant]
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
        variants = record.state["deployments"][str(member.generation)]["variants"]
        variant = variants[member.variant]
        container = variant["container"]
        folder = self._folder(record, member)
        model = variant.get("model_folder")
        mounts = (Mount(Path(model), "/opt/ml/model", MountMode.VIEW),) if model else ()
        # Without any, the model is what a container's own image has there.
        (folder / "ml" / ("model" if mounts else "")).mkdir(parents=True, exist_ok=True)
        owner = f"{KIND}/{record.name}"
        network = f"{owner}/{member.member_id}"
        modes = {}
        if is_multi_model(container):
            modes[env.MULTI_MODEL] = "true"
            (folder / "ml" / MODELS_FOLDER).mkdir(exist_ok=True)
        limits = limits_of(variant["instance_type"])
        is_isolated = variant.get("network_isolation", False)
        access = {} if is_isolated else self._access(owner, variant["role_arn"], network)
        return InstanceSpec(
            instance_id=instance_id(KIND, record.name, member.member_id, 0),
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
    return max(1, min(instance_type(variant["instance_type"]).vcpus, share))
