"""What `train` knows about the job: everything that the contract says, read once."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from intermodal_contract import env
from intermodal_contract.errors import IntermodalError
from intermodal_contract.training_files import (
    ResourceConfig,
    TrainingPaths,
    read_hyperparameters,
    read_input_data_config,
    read_resource_config,
)
from intermodal_training import hyperparameters
from intermodal_training.errors import DistributionError, EntryPointError
from intermodal_training.hyperparameters import Hyperparameters

DEFAULT_MASTER_PORT = 7777
DISTRIBUTION_GROUPS = "sagemaker_distribution_instance_groups"
"""The hyperparameter that names the instance groups which a distributed launcher spans."""
DISTRIBUTED_CONFIG = "SM_DISTRIBUTED_CONFIG"
DISTRIBUTED_SETTINGS = frozenset({"process_count_per_node", "mpi_additional_options"})
"""Keys of that JSON object."""
DEFAULT_LOG_LEVEL = 20
TRAINING_MODULE = "SAGEMAKER_TRAINING_MODULE"

_NO_DEVICES = {"", "-1", "void", "none"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What this instance has for the script.

    Attributes:
        cpus: CPUs that this container may use.
        gpus: NVIDIA GPUs that it sees.
        neurons: NeuronCores that it sees.
    """

    cpus: int
    gpus: int = 0
    neurons: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One host's view of the job.

    Attributes:
        paths: where `/opt/ml` is.
        hyperparameters: decoded.
        channels: inputdataconfig.json.
        resources: resourceconfig.json.
        machine: what this instance has.
        entry_point: file, executable or module to run, as submitted.
        source: submitted source: `s3://…`, a folder or an archive; None: what lies in `code`.
        name: of the job; None where nobody says.
        region: None where nobody says.
        log_level: as Python's `logging` numbers them.
        framework_module: `SAGEMAKER_TRAINING_MODULE` of the image.
        master_port: port of the first host for rendezvous.
        has_own_port: whether the platform gave the job that port, because others may be taken.
        distributed: settings of SDK v3's launchers, as `SM_DISTRIBUTED_CONFIG` gives them.
        has_torch: whether the image holds PyTorch.
    """

    paths: TrainingPaths
    hyperparameters: Hyperparameters
    channels: Mapping[str, Mapping[str, Any]]
    resources: ResourceConfig
    machine: Machine
    entry_point: str
    source: str | None = None
    name: str | None = None
    region: str | None = None
    log_level: int = DEFAULT_LOG_LEVEL
    framework_module: str | None = None
    master_port: int = DEFAULT_MASTER_PORT
    has_own_port: bool = False
    distributed: Mapping[str, Any] = field(default_factory=dict)
    has_torch: bool = False

    @property
    def distribution_groups(self) -> tuple[str, ...]:
        """The instance groups that a distributed launcher spans; empty: the job names none.

        Raises:
            DistributionError: it names one that there is not.
        """
        asked = self.hyperparameters.framework.get(DISTRIBUTION_GROUPS) or []
        names = tuple(map(str, asked if isinstance(asked, list) else [asked]))
        known = [group.instance_group_name for group in self.resources.instance_groups]
        for name in names:
            if known and name not in known:
                raise DistributionError(
                    f"`{DISTRIBUTION_GROUPS}` names the instance group `{name}`, which the job "
                    "does not have",
                    hint="there are " + ", ".join(f"`{one}`" for one in known),
                )
        return names

    @property
    def distribution_hosts(self) -> tuple[str, ...]:
        """The hosts that a distributed launcher spans: those of its groups, else all."""
        groups = self.resources.instance_groups
        names = self.distribution_groups
        if not names or not groups:
            return self.resources.hosts
        chosen = {host for one in groups if one.instance_group_name in names for host in one.hosts}
        return tuple(host for host in self.resources.hosts if host in chosen)

    def as_launched(self) -> "Job":
        """The job as its launcher sees it, which knows of no other hosts than its own."""
        hosts = self.distribution_hosts
        if self.resources.current_host not in hosts:
            return self
        return replace(self, resources=replace(self.resources, hosts=hosts))

    @property
    def master(self) -> str:
        """Name of the first host."""
        return self.resources.hosts[0]

    @property
    def rank(self) -> int:
        """Place of this host among the hosts, from 0."""
        return self.resources.hosts.index(self.resources.current_host)


def read_job(paths: TrainingPaths, environment: Mapping[str, str]) -> Job:
    """Reads the contract.

    Raises:
        IntermodalError: a file is broken, or nobody says what shall run.
    """
    decoded = hyperparameters.decode(read_hyperparameters(paths))
    platform = decoded.platform
    entry_point = platform.get(hyperparameters.PROGRAM) or environment.get(env.PROGRAM)
    if not entry_point:
        raise EntryPointError(
            "nobody says what shall run",
            hint="set the hyperparameter `sagemaker_program` (an estimator's `entry_point`), "
            f"or `{env.PROGRAM}` in the image",
        )
    source = platform.get(hyperparameters.SUBMIT_DIRECTORY) or environment.get(env.SUBMIT_DIRECTORY)
    resources = read_resource_config(paths)
    return Job(
        paths=paths,
        hyperparameters=decoded,
        channels=read_input_data_config(paths),
        resources=resources,
        machine=_machine(resources, environment),
        entry_point=str(entry_point),
        source=str(source) if source else None,
        name=platform.get(hyperparameters.JOB_NAME) or environment.get(env.TRAINING_JOB_NAME),
        region=platform.get(hyperparameters.REGION)
        or environment.get(env.AWS_REGION)
        or environment.get(env.AWS_DEFAULT_REGION),
        log_level=_number(
            platform.get(hyperparameters.LOG_LEVEL) or environment.get(env.CONTAINER_LOG_LEVEL),
            "the log level",
            DEFAULT_LOG_LEVEL,
        ),
        framework_module=environment.get(TRAINING_MODULE),
        master_port=_number(
            environment.get(env.MASTER_PORT), f"`{env.MASTER_PORT}`", DEFAULT_MASTER_PORT
        ),
        has_own_port=bool(environment.get(env.MASTER_PORT)),
        distributed=_distributed(environment.get(DISTRIBUTED_CONFIG)),
        has_torch=is_installed("torch"),
    )


def _distributed(text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        settings = json.loads(text)
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise IntermodalError(f"`{DISTRIBUTED_CONFIG}` is `{text}`, which is no JSON object")
    for name in settings:
        if name not in DISTRIBUTED_SETTINGS:
            known = ", ".join(f"`{one}`" for one in sorted(DISTRIBUTED_SETTINGS))
            raise DistributionError(
                f"`{DISTRIBUTED_CONFIG}` has the key `{name}`, which no launcher knows",
                hint=f"there are {known}",
            )
    return settings


def _number(value: Any, what: str, default: int) -> int:
    try:
        return int(value) if value else default
    except (TypeError, ValueError):
        raise IntermodalError(f"{what} is `{value}`, which is no number") from None


def is_installed(module: str) -> bool:
    """Whether a top-level module is there, without importing it or the import system's finders."""
    import sys

    return any((Path(folder) / module / "__init__.py").is_file() for folder in sys.path if folder)


def _machine(resources: ResourceConfig, environment: Mapping[str, str]) -> Machine:
    neurons = 0
    if any(Path("/dev").glob("neuron[0-9]*")) and resources.current_instance_type:
        from intermodal_contract.instance import instance_type

        neurons = instance_type(resources.current_instance_type).neurons
    return Machine(cpus=_cpus(), gpus=_gpus(environment), neurons=neurons)


def _cpus() -> int:
    """CPUs by affinity, or fewer where the container's quota allows fewer."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(allowed, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or `max`: no quota
        return allowed


def _gpus(environment: Mapping[str, str]) -> int:
    """GPUs by their devices: asking nvidia-smi would take longer than all else together."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return 0 if visible.strip() in _NO_DEVICES else len(visible.split(","))
    return sum(1 for _ in Path("/dev").glob("nvidia[0-9]*"))
