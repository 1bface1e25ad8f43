"""Every environment variable that `train` sets for the script: name, meaning and value.

docs/reference/environment.md is made from this table. Names and values are those of the vendor's
training toolkit, with those that the vendor's SDK v3 adds.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from intermodal_contract import env
from intermodal_contract.training_files import resource_config_entries
from intermodal_training.hyperparameters import to_arguments
from intermodal_training.job import Job


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable.

    Attributes:
        name: in full.
        meaning: one sentence for the reference.
        value: of a job; text is passed as it is, None as empty text, all else as JSON.
    """

    name: str
    meaning: str
    value: Callable[[Job], Any]


def _group_hosts(job: Job) -> dict[str, list[str]]:
    return {group.instance_group_name: list(group.hosts) for group in job.resources.instance_groups}


def _groups(job: Job) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = resource_config_entries(job.resources)["instance_groups"]
    return entries


def _is_hetero(job: Job) -> bool:
    return len({group.instance_type for group in job.resources.instance_groups}) > 1


def _module_name(job: Job) -> str:
    return job.entry_point.removesuffix(".py")


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "SM_MODEL_DIR",
        "Save the model here: it becomes model.tar.gz.",
        lambda job: str(job.paths.model),
    ),
    Variable(
        "SM_OUTPUT_DATA_DIR",
        "Save anything else here: it becomes output.tar.gz.",
        lambda job: str(job.paths.output_data),
    ),
    Variable(
        "SM_OUTPUT_DIR",
        "Folder of `data` and of the failure file.",
        lambda job: str(job.paths.output),
    ),
    Variable(
        "SM_OUTPUT_INTERMEDIATE_DIR",
        "What is saved here is uploaded while the job runs.",
        lambda job: str(job.paths.output_intermediate),
    ),
    Variable(
        "SM_OUTPUT_FAILURE",
        "Write here why the job failed; it becomes the `FailureReason`.",
        lambda job: str(job.paths.failure_file),
    ),
    Variable("SM_CHANNELS", "Names of the input channels.", lambda job: sorted(job.channels)),
    Variable("SM_INPUT_DIR", "Folder of all input.", lambda job: str(job.paths.input)),
    Variable(
        "SM_INPUT_DATA_DIR",
        "Folder of the channels' folders.",
        lambda job: str(job.paths.input_data),
    ),
    Variable(
        "SM_INPUT_CONFIG_DIR",
        "Folder of the configuration files.",
        lambda job: str(job.paths.input_config),
    ),
    Variable(
        "SM_INPUT_DATA_CONFIG",
        "How each channel is given (inputdataconfig.json).",
        lambda job: dict(job.channels),
    ),
    Variable(
        "SM_HPS", "All hyperparameters of the script.", lambda job: dict(job.hyperparameters.user)
    ),
    Variable(
        "SM_USER_ARGS",
        "The script's arguments.",
        lambda job: to_arguments(job.hyperparameters.user),
    ),
    Variable("SM_CURRENT_HOST", "Name of this host.", lambda job: job.resources.current_host),
    Variable("SM_HOSTS", "Names of all hosts, sorted.", lambda job: list(job.resources.hosts)),
    Variable("SM_HOST_COUNT", "Number of hosts.", lambda job: len(job.resources.hosts)),
    Variable(
        "SM_CURRENT_HOST_RANK", "Place of this host among the hosts, from 0.", lambda job: job.rank
    ),
    Variable("SM_MASTER_ADDR", "Name of the first host.", lambda job: job.master),
    Variable(
        "SM_MASTER_PORT", "Port of the first host for rendezvous.", lambda job: job.master_port
    ),
    Variable(
        "SM_NETWORK_INTERFACE_NAME",
        "Network interface between the hosts; one that exists.",
        lambda job: job.resources.network_interface_name,
    ),
    Variable("SM_NUM_CPUS", "CPUs that this container may use.", lambda job: job.machine.cpus),
    Variable("SM_NUM_GPUS", "GPUs that this container sees.", lambda job: job.machine.gpus),
    Variable(
        "SM_NUM_NEURONS", "NeuronCores that this container sees.", lambda job: job.machine.neurons
    ),
    Variable(
        "SM_CURRENT_INSTANCE_TYPE",
        "Type of this instance.",
        lambda job: job.resources.current_instance_type,
    ),
    Variable(
        "SM_CURRENT_INSTANCE_GROUP",
        "Instance group of this host.",
        lambda job: job.resources.current_group_name,
    ),
    Variable(
        "SM_CURRENT_INSTANCE_GROUP_HOSTS",
        "Hosts of this host's instance group.",
        lambda job: _group_hosts(job).get(job.resources.current_group_name or "", []),
    ),
    Variable(
        "SM_INSTANCE_GROUPS",
        "Names of the instance groups.",
        lambda job: list(_group_hosts(job)),
    ),
    Variable(
        "SM_INSTANCE_GROUPS_DICT",
        "The instance groups by name.",
        lambda job: {group["instance_group_name"]: group for group in _groups(job)},
    ),
    Variable(
        "SM_DISTRIBUTION_INSTANCE_GROUPS",
        "Instance groups that the distributed launcher spans.",
        lambda job: list(job.distribution_groups),
    ),
    Variable("SM_IS_HETERO", "Whether the instance types differ.", _is_hetero),
    Variable(
        "SM_RESOURCE_CONFIG",
        "Hosts and groups (resourceconfig.json).",
        lambda job: resource_config_entries(job.resources),
    ),
    Variable(
        "SM_TOPOLOGY",
        "How the instances lie to each other, where the service says.",
        lambda job: job.resources.topology,
    ),
    Variable("SM_USER_ENTRY_POINT", "The entry point as submitted.", lambda job: job.entry_point),
    Variable("SM_ENTRY_SCRIPT", "The same, under SDK v3's name.", lambda job: job.entry_point),
    Variable("SM_MODULE_NAME", "The entry point without `.py`.", _module_name),
    Variable(
        "SM_MODULE_DIR",
        "Where the source came from.",
        lambda job: job.source or str(job.paths.code),
    ),
    Variable("SM_SOURCE_DIR", "Folder of the unpacked source.", lambda job: str(job.paths.code)),
    Variable(
        "SM_FRAMEWORK_MODULE",
        "The image's `SAGEMAKER_TRAINING_MODULE`.",
        lambda job: job.framework_module,
    ),
    Variable(
        "SM_FRAMEWORK_PARAMS",
        "Hyperparameters that choose and tune a launcher.",
        lambda job: dict(job.hyperparameters.framework),
    ),
    Variable(
        "SM_DISTRIBUTED_CONFIG",
        "Settings of a launcher as SDK v3 names them, `process_count_per_node` and "
        "`mpi_additional_options`; the job's `Environment` may give them.",
        lambda job: dict(job.distributed),
    ),
    Variable(
        "SM_DISTRIBUTED_DRIVER_DIR",
        "Where SDK v3 puts its own launchers; empty unless the job came from it.",
        lambda job: str(job.paths.channel("sm_drivers") / "distributed_drivers"),
    ),
    Variable(
        "SM_LOG_LEVEL",
        "Log level, as Python's `logging` numbers them.",
        lambda job: job.log_level,
    ),
    Variable("SAGEMAKER_JOB_NAME", "Name of the job.", lambda job: job.name),
    Variable(env.REGION, "Region of the job.", lambda job: job.region),
    Variable(
        env.WARM_POOL_CACHE,
        "What is saved here the next job on the same warm pool finds; set only for jobs with one.",
        lambda job: str(job.paths.warm_pool_cache),
    ),
    Variable("CURRENT_HOST", "Name of this host.", lambda job: job.resources.current_host),
    Variable(
        "SM_TRAINING_ENV", "Most of the above, as one JSON object.", lambda job: _training_env(job)
    ),
)
"""Set for every script, over anything of the same name."""

TORCH_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "MASTER_ADDR",
        "Name of the first host that the launcher spans.",
        lambda job: job.distribution_hosts[0],
    ),
    Variable("MASTER_PORT", "Port of the first host.", lambda job: job.master_port),
    Variable(
        "NCCL_SOCKET_IFNAME",
        "Network interface for NCCL.",
        lambda job: job.resources.network_interface_name,
    ),
    Variable(
        "GLOO_SOCKET_IFNAME",
        "Network interface for gloo.",
        lambda job: job.resources.network_interface_name,
    ),
    Variable(
        "TP_SOCKET_IFNAME",
        "Network interface for TensorPipe (RPC).",
        lambda job: job.resources.network_interface_name,
    ),
    Variable("NCCL_IB_DISABLE", "NCCL does not look for InfiniBand.", lambda _: 1),
    Variable("NCCL_DEBUG", "What NCCL logs.", lambda _: "WARN"),
)
"""Set where the image holds PyTorch, unless the job sets them itself."""

CHANNEL_PREFIX = "SM_CHANNEL_"
HYPERPARAMETER_PREFIX = "SM_HP_"


def script_environment(
    job: Job, inherited: Mapping[str, str], python_path: Sequence[str] = ()
) -> dict[str, str]:
    """The script's whole environment.

    Args:
        job: the job.
        inherited: environment of `train`; what it holds stays, save for the `SM_…` variables.
        python_path: folders to search for modules before those that `PYTHONPATH` names already.
    """
    environment = {
        "PYTHONUNBUFFERED": "1",
        **{variable.name: _text(variable.value(job)) for variable in _torch_variables(job)},
        **inherited,
        **{variable.name: _text(variable.value(job)) for variable in VARIABLES},
        **dict(_channels(job)),
        **dict(_hyperparameters(job)),
    }
    if job.resources.topology is None:
        environment.pop("SM_TOPOLOGY")
    if env.WARM_POOL_CACHE not in inherited:
        environment.pop(env.WARM_POOL_CACHE)
    folders = [*python_path, *filter(None, [inherited.get("PYTHONPATH")])]
    if folders:
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    return environment


def _torch_variables(job: Job) -> tuple[Variable, ...]:
    return TORCH_VARIABLES if job.has_torch else ()


def _channels(job: Job) -> Iterator[tuple[str, str]]:
    for name in job.channels:
        for variable in _names(CHANNEL_PREFIX, name):
            yield variable, str(job.paths.channel(name))


def _hyperparameters(job: Job) -> Iterator[tuple[str, str]]:
    for name, value in job.hyperparameters.user.items():
        for variable in _names(HYPERPARAMETER_PREFIX, name):
            yield variable, _text(value)


def _names(prefix: str, name: str) -> set[str]:
    """The vendor's name, and one that a shell can read where that has a dash or a dot in it."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    names = {f"{prefix}{name.upper()}", f"{prefix}{plain.upper()}"}
    return {variable for variable in names if "=" not in variable and "\0" not in variable}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\0", "")  # no environment can hold it
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _training_env(job: Job) -> dict[str, Any]:
    resources = job.resources
    return {
        "additional_framework_parameters": dict(job.hyperparameters.framework),
        "channel_input_dirs": {name: str(job.paths.channel(name)) for name in job.channels},
        "current_host": resources.current_host,
        "current_instance_group": resources.current_group_name,
        "current_instance_group_hosts": _group_hosts(job).get(
            resources.current_group_name or "", []
        ),
        "current_instance_type": resources.current_instance_type,
        "distribution_hosts": list(job.distribution_hosts),
        "distribution_instance_groups": list(job.distribution_groups),
        "framework_module": job.framework_module,
        "hosts": list(resources.hosts),
        "hyperparameters": dict(job.hyperparameters.user),
        "input_config_dir": str(job.paths.input_config),
        "input_data_config": dict(job.channels),
        "input_dir": str(job.paths.input),
        "instance_groups": list(_group_hosts(job)),
        "instance_groups_dict": {g["instance_group_name"]: g for g in _groups(job)},
        "is_hetero": _is_hetero(job),
        "is_master": job.rank == 0,
        "job_name": job.name,
        "log_level": job.log_level,
        "master_hostname": job.master,
        "model_dir": str(job.paths.model),
        "module_dir": job.source or str(job.paths.code),
        "module_name": _module_name(job),
        "network_interface_name": resources.network_interface_name,
        "num_cpus": job.machine.cpus,
        "num_gpus": job.machine.gpus,
        "num_neurons": job.machine.neurons,
        "output_data_dir": str(job.paths.output_data),
        "output_dir": str(job.paths.output),
        "output_intermediate_dir": str(job.paths.output_intermediate),
        "resource_config": resource_config_entries(resources),
        "user_entry_point": str(PurePosixPath(job.entry_point)),
    }
