"""What a CreateProcessingJob request means for the instances that run it. Without effects."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from intermodal_contract.channel import Channel, S3Uri, parse_s3_uri
from intermodal_contract.instance import UnknownInstanceTypeError, instance_type
from intermodal_contract.processing_files import parse_local_path
from intermodal_contract.training_files import ResourceConfig
from intermodal_engine.store.records import Record

DEFAULT_MAX_RUNTIME_S = 86_400
"""AWS's own default: a day."""

_INPUT_DEFAULTS = {
    "S3InputMode": "File",
    "S3DataDistributionType": "FullyReplicated",
    "S3CompressionType": "None",
}


@dataclass(frozen=True, slots=True)
class ProcessingInput:
    """One input.

    Attributes:
        channel: what is brought in.
        local_path: the folder where it appears.
    """

    channel: Channel
    local_path: PurePosixPath


@dataclass(frozen=True, slots=True)
class ProcessingOutput:
    """One output.

    Attributes:
        name: its `OutputName`.
        local_path: the folder that is uploaded.
        uri: where to; its key ends with `/`, or is empty.
        is_continuous: uploaded while the job runs, not only at its end.
    """

    name: str
    local_path: PurePosixPath
    uri: S3Uri
    is_continuous: bool


def with_defaults(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A request with AWS's defaults written out: so the job is described, and its program reads it.

    Tags are left out: they are no part of the job.
    """
    request = copy.deepcopy({name: one for name, one in parameters.items() if name != "Tags"})
    request.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_S})
    for entry in request.get("ProcessingInputs", []):
        entry.setdefault("AppManaged", False)
        entry["S3Input"] = {**_INPUT_DEFAULTS, **entry["S3Input"]}
    for entry in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        entry.setdefault("AppManaged", False)
    return request


@dataclass(frozen=True, slots=True)
class ProcessingRequest:
    """A view of a processing job's request, defaults written out.

    Attributes:
        record: the job.
    """

    record: Record

    @property
    def hosts(self) -> tuple[str, ...]:
        """All host names, in the order of the alphabet."""
        return tuple(
            sorted(f"algo-{1 + number}" for number in range(self._cluster["InstanceCount"]))
        )

    @property
    def gpus_wanted(self) -> int:
        """GPUs that AWS would give to all instances together."""
        try:
            gpus = instance_type(self._cluster["InstanceType"]).gpus
        except UnknownInstanceTypeError:
            return 0
        return gpus * len(self.hosts)

    def instance_type(self, host: str) -> str:  # noqa: ARG002 (all are of one type)
        """The type of one instance."""
        kind: str = self._cluster["InstanceType"]
        return kind

    def resources(self, host: str) -> ResourceConfig:
        """The view of one host: what its `resourceconfig.json` says."""
        return ResourceConfig(
            current_host=host,
            hosts=self.hosts,
            current_instance_type=self._cluster["InstanceType"],
        )

    @property
    def job_config(self) -> dict[str, Any]:
        """The content of `processingjobconfig.json`."""
        return {"ProcessingJobArn": self.record.arn, **self.record.request}

    @property
    def inputs(self) -> list[ProcessingInput]:
        """The inputs; a folder comes before those that lie in it."""
        entries = self.record.request.get("ProcessingInputs", [])
        inputs = [_input(entry) for entry in entries]
        return sorted(inputs, key=lambda one: len(one.local_path.parts))

    @property
    def outputs(self) -> list[ProcessingOutput]:
        """The outputs, in the request's order."""
        entries = self.record.request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return [_output(entry) for entry in entries]

    def is_in_an_input(self, path: PurePosixPath) -> bool:
        """Whether a local path lies in an input's folder."""
        return any(one.local_path in path.parents for one in self.inputs)

    @property
    def image(self) -> str:
        """The container image."""
        image: str = self._application["ImageUri"]
        return image

    @property
    def entry_point(self) -> tuple[str, ...]:
        """The request's own entry point; empty where the image's is meant."""
        return tuple(self._application.get("ContainerEntrypoint", ()))

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments to the entry point."""
        return tuple(self._application.get("ContainerArguments", ()))

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the request sets."""
        environment: Mapping[str, str] = self.record.request.get("Environment", {})
        return environment

    @property
    def max_runtime_s(self) -> float:
        """Limit of the run."""
        return float(self.record.request["StoppingCondition"]["MaxRuntimeInSeconds"])

    @property
    def is_isolated(self) -> bool:
        """Whether the job may reach nothing beyond its own instances."""
        network = self.record.request.get("NetworkConfig", {})
        return bool(network.get("EnableNetworkIsolation", False))

    @property
    def role_arn(self) -> str:
        """The role that the job runs under."""
        role: str = self.record.request["RoleArn"]
        return role

    @property
    def _cluster(self) -> dict[str, Any]:
        cluster: dict[str, Any] = self.record.request["ProcessingResources"]["ClusterConfig"]
        return cluster

    @property
    def _application(self) -> dict[str, Any]:
        application: dict[str, Any] = self.record.request["AppSpecification"]
        return application


def _input(entry: Mapping[str, Any]) -> ProcessingInput:
    source = entry["S3Input"]
    channel = Channel(
        name=entry["InputName"],
        s3_uri=parse_s3_uri(source["S3Uri"]),
        input_mode=source["S3InputMode"],
        s3_data_type=source["S3DataType"],
        distribution=source["S3DataDistributionType"],
    )
    return ProcessingInput(channel, parse_local_path(source["LocalPath"]))


def _output(entry: Mapping[str, Any]) -> ProcessingOutput:
    target = entry["S3Output"]
    base = parse_s3_uri(target["S3Uri"])
    prefix = f"{base.key.rstrip('/')}/" if base.key.strip("/") else ""
    return ProcessingOutput(
        name=entry["OutputName"],
        local_path=parse_local_path(target["LocalPath"]),
        uri=S3Uri(base.bucket, prefix),
        is_continuous=target["S3UploadMode"] == "Continuous",
    )
