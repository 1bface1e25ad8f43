"""What lies where below `/opt/ml` while a training job runs, written and read in this one place.

AWS page: your-algorithms-training-algo-running-container.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intermodal_contract import env
from intermodal_contract.channel import Channel
from intermodal_contract.errors import IntermodalError

ML_ROOT = Path("/opt/ml")
FAILURE_LIMIT = 1024
"""So many characters of the failure file become the job's `FailureReason`."""

DEFAULT_NETWORK_INTERFACE = "eth0"
DEFAULT_GROUP_NAME = "homogeneousCluster"
"""Name of the one instance group of a job that asks for none (as AWS names it)."""


class ContractFileError(IntermodalError):
    """A file below `/opt/ml` does not hold what it must."""


@dataclass(frozen=True, slots=True)
class TrainingPaths:
    """Where each file of a training job lies.

    Attributes:
        root: `/opt/ml`, or the folder that stands for it.
    """

    root: Path = ML_ROOT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "TrainingPaths":
        """Honours `SAGEMAKER_BASE_DIR`."""
        return cls(Path(environment.get(env.BASE_DIR) or ML_ROOT))

    @property
    def input(self) -> Path:
        """Everything the service gives to the job."""
        return self.root / "input"

    @property
    def input_config(self) -> Path:
        """Folder of the configuration files."""
        return self.input / "config"

    @property
    def hyperparameters_file(self) -> Path:
        """A flat object of strings."""
        return self.input_config / "hyperparameters.json"

    @property
    def input_data_config_file(self) -> Path:
        """Channel name -> how it is given."""
        return self.input_config / "inputdataconfig.json"

    @property
    def resource_config_file(self) -> Path:
        """Hosts and instance groups."""
        return self.input_config / "resourceconfig.json"

    @property
    def checkpoint_config_file(self) -> Path:
        """`LocalPath` and `S3Uri`; there only if the job has checkpoints."""
        return self.input_config / "checkpointconfig.json"

    @property
    def input_data(self) -> Path:
        """A folder a channel."""
        return self.input / "data"

    def channel(self, name: str) -> Path:
        """Folder of one channel."""
        return self.input_data / name

    @property
    def model(self) -> Path:
        """What the script leaves here becomes model.tar.gz."""
        return self.root / "model"

    @property
    def output(self) -> Path:
        """Folder of the failure and success files."""
        return self.root / "output"

    @property
    def output_data(self) -> Path:
        """What the script leaves here becomes output.tar.gz."""
        return self.output / "data"

    @property
    def output_intermediate(self) -> Path:
        """What the script leaves here is uploaded while it runs."""
        return self.output / "intermediate"

    @property
    def failure_file(self) -> Path:
        """Why the job failed, in the words of the container."""
        return self.output / "failure"

    @property
    def success_file(self) -> Path:
        """Empty; `train` writes it when all went well. The exit code alone decides."""
        return self.output / "success"

    @property
    def warm_pool_cache(self) -> Path:
        """What the next job on the same warm pool finds as it was left."""
        return self.root / "sagemaker" / "warmpoolcache"

    @property
    def checkpoints(self) -> Path:
        """Restored before the start, uploaded while the job runs."""
        return self.root / "checkpoints"

    @property
    def code(self) -> Path:
        """The user's source, unpacked."""
        return self.root / "code"


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """Some of the job's hosts, all of one instance type."""

    instance_group_name: str
    instance_type: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """resourceconfig.json; the attributes are its keys.

    Attributes:
        current_host: this instance, for example `algo-1`.
        hosts: all instances of the job, sorted.
        network_interface_name: for example `eth0`.
        current_instance_type: this instance's type; None where the service does not say.
        current_group_name: the instance group that this instance belongs to.
        instance_groups: all groups, with their hosts.
        topology: how the instances lie to each other, where the service says.
    """

    current_host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    network_interface_name: str = DEFAULT_NETWORK_INTERFACE
    current_instance_type: str | None = None
    current_group_name: str | None = None
    instance_groups: tuple[InstanceGroup, ...] = ()
    topology: Mapping[str, Any] | None = None


def write_training_input(
    paths: TrainingPaths,
    *,
    hyperparameters: Mapping[str, str],
    channels: Sequence[Channel],
    resources: ResourceConfig,
    checkpoint: Mapping[str, str] | None = None,
) -> None:
    """Writes the files that a training container starts from, and makes every folder.

    Args:
        paths: where.
        hyperparameters: exactly as in the request.
        channels: the job's channels; their folders are made, empty.
        resources: the view of one instance.
        checkpoint: `CheckpointConfig` of the request, or None.
    """
    for folder in (
        paths.input_config,
        paths.input_data,
        paths.model,
        paths.output_data,
        *(paths.channel(channel.name) for channel in channels if channel.input_mode != "Pipe"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    _write_json(paths.hyperparameters_file, dict(hyperparameters))
    _write_json(
        paths.input_data_config_file,
        {channel.name: _channel_entry(channel) for channel in channels},
    )
    _write_json(paths.resource_config_file, resource_config_entries(resources))
    if checkpoint is not None:
        paths.checkpoints.mkdir(parents=True, exist_ok=True)
        _write_json(paths.checkpoint_config_file, dict(checkpoint))


def read_hyperparameters(paths: TrainingPaths) -> dict[str, str]:
    """The hyperparameters as they were sent; empty if there is no file.

    Raises:
        ContractFileError: the file is no JSON object.
    """
    entries = _read_object(paths.hyperparameters_file)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in entries.items()
    }


def read_input_data_config(paths: TrainingPaths) -> dict[str, dict[str, Any]]:
    """Channel name -> its settings; empty if there is no file.

    Raises:
        ContractFileError: the file is no JSON object of objects.
    """
    entries = _read_object(paths.input_data_config_file)
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise _broken(paths.input_data_config_file, f"channel `{name}` is no object")
    return entries


def read_resource_config(paths: TrainingPaths) -> ResourceConfig:
    """Hosts and groups; one host `algo-1` if there is no file.

    Raises:
        ContractFileError: the file is no JSON object, or lacks what it must have.
    """
    path = paths.resource_config_file
    entries = _read_object(path)
    current_host = str(entries.get("current_host") or "algo-1")
    hosts = entries.get("hosts") or [current_host]
    if not _is_strings(hosts):
        raise _broken(path, "`hosts` is no list of names")
    if current_host not in hosts:
        raise _broken(path, f"`current_host` is `{current_host}`, which is none of `hosts`")
    return ResourceConfig(
        current_host=current_host,
        hosts=tuple(sorted(hosts)),
        network_interface_name=str(
            entries.get("network_interface_name") or DEFAULT_NETWORK_INTERFACE
        ),
        current_instance_type=entries.get("current_instance_type"),
        current_group_name=entries.get("current_group_name"),
        instance_groups=tuple(
            _group(path, group) for group in entries.get("instance_groups") or ()
        ),
        topology=entries.get("topology"),
    )


def resource_config_entries(resources: ResourceConfig) -> dict[str, Any]:
    """The content of resourceconfig.json; what is not known is left out."""
    entries: dict[str, Any] = {
        "current_host": resources.current_host,
        "hosts": sorted(resources.hosts),
        "network_interface_name": resources.network_interface_name,
        "current_instance_type": resources.current_instance_type,
        "current_group_name": resources.current_group_name,
        "instance_groups": [
            {
                "instance_group_name": group.instance_group_name,
                "instance_type": group.instance_type,
                "hosts": sorted(group.hosts),
            }
            for group in resources.instance_groups
        ],
        "topology": resources.topology,
    }
    return {key: value for key, value in entries.items() if value is not None}


def read_failure(paths: TrainingPaths) -> str | None:
    """The first `FAILURE_LIMIT` characters of the failure file.

    The file is the job's: it may be no file at all, or no text.

    Returns:
        The text, or None if there is none.
    """
    try:
        handle = os.open(paths.failure_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)  # a folder cannot even be opened as a file
        return None
    with os.fdopen(handle, "rb") as file:
        text = file.read(4 * FAILURE_LIMIT).decode("utf-8", errors="replace")
    return text.strip()[:FAILURE_LIMIT] or None


def _channel_entry(channel: Channel) -> dict[str, str]:
    entry = {
        # The container cannot tell a FastFile channel from a File one.
        "TrainingInputMode": "Pipe" if channel.input_mode == "Pipe" else "File",
        "S3DistributionType": channel.distribution,
        "RecordWrapperType": channel.record_wrapper,
    }
    if channel.content_type is not None:
        entry["ContentType"] = channel.content_type
    return entry


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _broken(path, str(error)) from error
    if not isinstance(content, dict):
        raise _broken(path, f"it holds a JSON {type(content).__name__}, not an object")
    return content


def _group(path: Path, entry: Any) -> InstanceGroup:
    if not isinstance(entry, dict) or not _is_strings(entry.get("hosts")):
        raise _broken(path, "an entry of `instance_groups` has no list of hosts")
    return InstanceGroup(
        instance_group_name=str(entry.get("instance_group_name", "")),
        instance_type=str(entry.get("instance_type", "")),
        hosts=tuple(sorted(entry["hosts"])),
    )


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _broken(path: Path, why: str) -> ContractFileError:
    return ContractFileError(
        f"`{path}` is broken: {why}", hint="the platform writes this file, not your code"
    )
