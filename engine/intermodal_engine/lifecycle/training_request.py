"""What a CreateTrainingJob request means for the instances that run it. Without effects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_contract.channel import S3Uri, parse_s3_uri
from intermodal_contract.instance import UnknownInstanceTypeError, instance_type
from intermodal_contract.training_files import InstanceGroup, ResourceConfig
from intermodal_engine.lifecycle.staging import Input
from intermodal_engine.store.records import Record

DEFAULT_CHECKPOINTS = "/opt/ml/checkpoints"
NETWORK_INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """A view of a training job's request.

    Attributes:
        record: the job.
    """

    record: Record

    @property
    def groups(self) -> list[InstanceGroup]:
        """The instance groups; a homogeneous cluster is one, as the service writes it."""
        resources = self.record.request["ResourceConfig"]
        entries = resources.get("InstanceGroups") or [
            {
                "InstanceGroupName": "homogeneousCluster",
                "InstanceType": resources["InstanceType"],
                "InstanceCount": resources["InstanceCount"],
            }
        ]
        groups = []
        first = 1
        for entry in entries:
            numbers = range(first, first + entry["InstanceCount"])
            first = numbers.stop
            hosts = tuple(f"algo-{number}" for number in numbers)
            groups.append(InstanceGroup(entry["InstanceGroupName"], entry["InstanceType"], hosts))
        return groups

    @property
    def hosts(self) -> tuple[str, ...]:
        """All host names, in the order of the alphabet as `resourceconfig.json` has them."""
        return tuple(sorted(host for group in self.groups for host in group.hosts))

    @property
    def gpus_wanted(self) -> int:
        """GPUs that AWS would give to all instances together."""
        return sum(_gpus(group.instance_type) * len(group.hosts) for group in self.groups)

    def group_of(self, host: str) -> InstanceGroup:
        """The group that a host belongs to."""
        return next(group for group in self.groups if host in group.hosts)

    def instance_type(self, host: str) -> str:
        """The type of one instance."""
        return self.group_of(host).instance_type

    def resources(self, host: str) -> ResourceConfig:
        """The view of one host: what its `resourceconfig.json` says."""
        mine = self.group_of(host)
        return ResourceConfig(
            current_host=host,
            hosts=self.hosts,
            network_interface_name=NETWORK_INTERFACE,
            current_instance_type=mine.instance_type,
            current_group_name=mine.instance_group_name,
            instance_groups=tuple(self.groups),
        )

    @property
    def inputs(self) -> list[Input]:
        """The input channels, the algorithm's input mode filled in."""
        mode = self.record.request["AlgorithmSpecification"]["TrainingInputMode"]
        return [
            Input.from_request(entry, default_input_mode=mode)
            for entry in self.record.request.get("InputDataConfig", [])
        ]

    def channel_hosts(self, name: str) -> tuple[str, ...]:
        """The hosts that get a channel: those of the groups that it names, else all."""
        entries = self.record.request.get("InputDataConfig", [])
        entry = next(one for one in entries if one["ChannelName"] == name)
        groups = entry["DataSource"].get("S3DataSource", {}).get("InstanceGroupNames")
        if not groups:
            return self.hosts
        return tuple(
            host for host in self.hosts if self.group_of(host).instance_group_name in groups
        )

    @property
    def image(self) -> str:
        """The training image."""
        image: str = self.record.request["AlgorithmSpecification"]["TrainingImage"]
        return image

    @property
    def entry_point(self) -> tuple[str, ...]:
        """The request's own entry point; empty where the image's is meant."""
        return tuple(self.record.request["AlgorithmSpecification"].get("ContainerEntrypoint", ()))

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments to the entry point; the image's own gets `train` first."""
        arguments = self.record.request["AlgorithmSpecification"].get("ContainerArguments", ())
        return tuple(arguments) if self.entry_point else ("train", *arguments)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the request sets."""
        environment: Mapping[str, str] = self.record.request.get("Environment", {})
        return environment

    @property
    def output(self) -> S3Uri:
        """Where the job's output goes; the key ends with `/`."""
        base = parse_s3_uri(self.record.request["OutputDataConfig"]["S3OutputPath"])
        prefix = f"{base.key.rstrip('/')}/" if base.key.strip("/") else ""
        return S3Uri(base.bucket, f"{prefix}{self.record.name}/output/")

    @property
    def is_output_compressed(self) -> bool:
        """Whether the model becomes one archive."""
        compression = self.record.request["OutputDataConfig"].get("CompressionType", "GZIP")
        return bool(compression == "GZIP")

    @property
    def checkpoints(self) -> tuple[S3Uri, str] | None:
        """Where checkpoints are kept, and the folder that the script writes them to."""
        config = self.record.request.get("CheckpointConfig")
        if config is None:
            return None
        base = parse_s3_uri(config["S3Uri"])
        prefix = f"{base.key.rstrip('/')}/" if base.key.strip("/") else ""
        return S3Uri(base.bucket, prefix), config.get("LocalPath", DEFAULT_CHECKPOINTS)

    @property
    def is_spot(self) -> bool:
        """Whether the instances may be taken away."""
        return bool(self.record.request.get("EnableManagedSpotTraining", False))

    @property
    def max_runtime_s(self) -> float:
        """Limit of the training time over all attempts. AWS's default is a day."""
        limit = self.record.request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        return float(limit)

    @property
    def waits_until(self) -> float | None:
        """When `MaxWaitTimeInSeconds` is over, in epoch seconds; None where there is no limit."""
        limit_s = self.record.request["StoppingCondition"].get("MaxWaitTimeInSeconds")
        return None if limit_s is None else self.record.created_at + limit_s

    @property
    def retries(self) -> int:
        """How many times an attempt that the platform broke is repeated."""
        strategy: Mapping[str, Any] = self.record.request.get("RetryStrategy", {})
        return int(strategy.get("MaximumRetryAttempts", 0))

    @property
    def is_isolated(self) -> bool:
        """Whether the job may reach nothing beyond its own instances."""
        return bool(self.record.request.get("EnableNetworkIsolation", False))

    @property
    def role_arn(self) -> str:
        """The role that the job runs under."""
        role: str = self.record.request["RoleArn"]
        return role


def _gpus(name: str) -> int:
    try:
        return instance_type(name).gpus
    except UnknownInstanceTypeError:
        return 0
