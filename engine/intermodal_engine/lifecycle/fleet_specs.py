"""What the containers of a fleet's members are made of: folder, log, network, variables."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intermodal_contract import env
from intermodal_contract.instance import UnknownInstanceTypeError, instance_type
from intermodal_engine.drivers.base import Instance, InstanceSpec
from intermodal_engine.lifecycle.fleet_kind import FleetKind
from intermodal_engine.lifecycle.instances import EngineAccess, instance_id
from intermodal_engine.lifecycle.job_sessions import subject_of
from intermodal_engine.lifecycle.limits import limits_of
from intermodal_engine.lifecycle.served import Served, containers_of
from intermodal_engine.router.instance import Container
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Record

PORT = 8080


@dataclass(frozen=True, slots=True)
class MemberContainer:
    """One container of a member.

    Attributes:
        served: what it serves.
        spec: what runs.
    """

    served: Served
    spec: InstanceSpec

    def where(self, instance: Instance) -> Container:
        """How it is reached, once it runs."""
        host, port = instance.addresses[PORT]
        return Container(self.served.name, host, port, self.served.models(self.spec.ml))


class FleetSpecs:
    """Makes the specs of the members of fleets of one kind.

    Args:
        kind: of which kind.
        log_streams: names the files that get the output.
        settings: folders and grace times.
        access: variables with which a member's code reaches the engine.
    """

    def __init__(
        self, kind: FleetKind, log_streams: LogStreams, settings: Settings, access: EngineAccess
    ) -> None:
        self._kind = kind
        self._log_streams = log_streams
        self._settings = settings
        self._access = access

    def containers(
        self, record: Record, variants: Mapping[str, Any], variant: str, member_id: str
    ) -> list[MemberContainer]:
        """The containers of a member, in their order.

        Args:
            record: the fleet's.
            variants: of the member's deployment.
            variant: the member's.
            member_id: its id.
        """
        return [
            MemberContainer(served, self._spec(record, variants, variant, member_id, served))
            for served in containers_of(variants[variant])
        ]

    def log_group(self, record: Record) -> str:
        """Its CloudWatch Logs group."""
        return f"{self._kind.log_group_prefix}{record.name}"

    def fleet_folder(self, record: Record) -> Path:
        """The folder of all of its members."""
        return self._settings.instances_folder / self._kind.name / record.name

    def _spec(
        self,
        record: Record,
        variants: Mapping[str, Any],
        name: str,
        member_id: str,
        served: Served,
    ) -> InstanceSpec:
        variant = variants[name]
        folder = served.within(self.fleet_folder(record) / member_id)
        owner = f"{self._kind.name}/{record.name}"
        network = f"{owner}/{folder.name}"
        limits = limits_of(variant["instance_type"]).within(variant.get("needs"))
        is_isolated = variant.get("network_isolation", False)
        subject = subject_of(record)
        access = {} if is_isolated else self._access(subject, variant["role_arn"], network)
        host = served.name or member_id
        return InstanceSpec(
            instance_id=instance_id(self._kind.name, record.name, member_id, served.number),
            host=host,
            hosts=(host,),
            network=network,
            folder=folder,
            ml=folder / "ml",
            image=served.image,
            command=("serve",),
            environment={
                env.NUM_CPUS: str(_cores_of_one(variants, variant)),
                # One request at a time needs no second worker, which would start more slowly.
                **({env.MODEL_SERVER_WORKERS: "1"} if variant.get("serverless") else {}),
                **served.environment,
                **access,
            },
            log=self._log_file(record, f"{name}/{member_id}", served),
            mounts=served.mounts,
            ports=(PORT,),
            memory_bytes=limits.memory_bytes,
            cpus=limits.cpus,
            stop_grace_s=self._settings.serving_stop_grace_s,
            outbound=not is_isolated,
        )

    def _log_file(self, record: Record, stream: str, served: Served) -> Path:
        stream = f"{stream}/{served.name}" if served.name else stream
        return self._log_streams.path(self.log_group(record), stream)


def _cores_of_one(variants: Mapping[str, Any], variant: Mapping[str, Any]) -> int:
    """The cores of this machine that one container may use, as many as its type has at most.

    The endpoint's instances share the machine, where on AWS each has one of its own: `serve` starts
    a worker a core, and all the instances' workers together shall not be more than there are cores.
    """
    together = sum(
        int(each["count"]) * len(containers_of(each))
        for each in variants.values()
        if each.get("container") is not None
    )
    share = len(os.sched_getaffinity(0)) // max(1, together)
    needs = variant.get("needs") or {}
    own = needs.get("NumberOfCpuCoresRequired") or _vcpus(variant["instance_type"])
    return max(1, min(math.ceil(own), share))


def _vcpus(kind: str) -> int:
    """Those of an instance type; this machine's of one that is not known."""
    try:
        return instance_type(kind).vcpus
    except UnknownInstanceTypeError:
        return instance_type("local").vcpus
