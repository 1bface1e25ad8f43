"""The defaults file, `config.yaml`: what a person or a company wants of every job and endpoint.

An administrator's file comes first, the user's wins over it, and what is said in code wins over
both. Places and keys are those of the vendor's SDK v2; other keys than ours are left alone.
https://sagemaker.readthedocs.io/en/v2/overview.html#configuring-and-using-defaults-with-the-sagemaker-python-sdk
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intermodal.errors import DefaultsError, MissingDependencyError

if TYPE_CHECKING:
    from intermodal.session import Session

ADMIN_OVERRIDE = "SAGEMAKER_ADMIN_CONFIG_OVERRIDE"
USER_OVERRIDE = "SAGEMAKER_USER_CONFIG_OVERRIDE"
_FILE_NAME = "config.yaml"

_Path = tuple[str, ...]
_SESSION = ("PythonSDK", "Modules", "Session")
BUCKET: _Path = (*_SESSION, "DefaultS3Bucket")
BUCKET_PREFIX: _Path = (*_SESSION, "DefaultS3ObjectKeyPrefix")
TRAINING_JOB: Mapping[str, _Path] = {
    "role": ("TrainingJob", "RoleArn"),
    "output_kms_key": ("TrainingJob", "OutputDataConfig", "KmsKeyId"),
    "volume_kms_key": ("TrainingJob", "ResourceConfig", "VolumeKmsKeyId"),
    "subnets": ("TrainingJob", "VpcConfig", "Subnets"),
    "security_group_ids": ("TrainingJob", "VpcConfig", "SecurityGroupIds"),
    "environment": ("TrainingJob", "Environment"),
    "enable_network_isolation": ("TrainingJob", "EnableNetworkIsolation"),
    "encrypt_inter_container_traffic": ("TrainingJob", "EnableInterContainerTrafficEncryption"),
}
"""An estimator's attributes, and where their defaults stand."""

PROCESSING_JOB: Mapping[str, _Path] = {
    "role": ("ProcessingJob", "RoleArn"),
    "volume_kms_key": ("ProcessingJob", "ProcessingResources", "ClusterConfig", "VolumeKmsKeyId"),
    "output_kms_key": ("ProcessingJob", "ProcessingOutputConfig", "KmsKeyId"),
    "env": ("ProcessingJob", "Environment"),
}
"""A processor's."""

_NETWORK = ("ProcessingJob", "NetworkConfig")
PROCESSING_NETWORK: Mapping[str, _Path] = {
    "enable_network_isolation": (*_NETWORK, "EnableNetworkIsolation"),
    "security_group_ids": (*_NETWORK, "VpcConfig", "SecurityGroupIds"),
    "subnets": (*_NETWORK, "VpcConfig", "Subnets"),
    "encrypt_inter_container_traffic": (*_NETWORK, "EnableInterContainerTrafficEncryption"),
}
"""Those of a processor's network."""

TRANSFORM_JOB: Mapping[str, _Path] = {
    "volume_kms_key": ("TransformJob", "TransformResources", "VolumeKmsKeyId"),
    "output_kms_key": ("TransformJob", "TransformOutput", "KmsKeyId"),
    "env": ("TransformJob", "Environment"),
}
"""A transformer's."""

PROCESSING_INPUTS: _Path = ("ProcessingJob", "ProcessingInputs")
TRANSFORM_CAPTURE_KEY: _Path = ("TransformJob", "DataCaptureConfig", "KmsKeyId")

MODEL_ROLE: _Path = ("Model", "ExecutionRoleArn")
MODEL_VPC: _Path = ("Model", "VpcConfig")
MODEL_ISOLATION: _Path = ("Model", "EnableNetworkIsolation")
MODEL_ENVIRONMENT: _Path = ("Model", "PrimaryContainer", "Environment")
ENDPOINT_KEY: _Path = ("EndpointConfig", "KmsKeyId")
CAPTURE_KEY: _Path = ("EndpointConfig", "DataCaptureConfig", "KmsKeyId")
ASYNC_KEY: _Path = ("EndpointConfig", "AsyncInferenceConfig", "OutputConfig", "KmsKeyId")


class Defaults:
    """What the files say.

    Args:
        values: a file's content, with the key `SageMaker` at its top.
        where: the file, for messages.

    Raises:
        DefaultsError: something is no mapping where one has to be.
    """

    def __init__(self, values: Mapping[str, Any], where: str = "sagemaker_config") -> None:
        self._where = where
        self._values = values
        self._mapping(values.get("SageMaker"), "SageMaker")

    def get(self, *path: str) -> Any:
        """The value at that place below `SageMaker`, or `None`."""
        value: Any = self._values.get("SageMaker")
        for depth, name in enumerate(path):
            value = self._mapping(value, ".".join(path[:depth])).get(name)
        return value

    def or_given(self, given: Any, *path: str) -> Any:
        """What was given; the value at that place where it is `None`."""
        return self.get(*path) if given is None else given

    def with_tags(self, tags: list[dict[str, str]], what: str) -> list[dict[str, str]]:
        """The tags that were given, and those of the defaults whose keys are not among them.

        Args:
            tags: those given.
            what: is tagged, as in `TrainingJob`.
        """
        keys = {tag["Key"] for tag in tags}
        more = [dict(tag) for tag in self.get(what, "Tags") or [] if tag["Key"] not in keys]
        return [*tags, *more]

    def _mapping(self, value: Any, place: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise DefaultsError(f"`{self._where}`: `{place}` is a {type(value).__name__}, not keys")
        return value


def fill(target: Any, known: Mapping[str, _Path], defaults: Defaults) -> None:
    """Set those attributes that are `None` to what the defaults say."""
    for name, path in known.items():
        setattr(target, name, defaults.or_given(getattr(target, name), *path))


def defaults_of(session: "Session | None") -> Defaults:
    """A session's defaults; the files' where there is no session yet."""
    return load_defaults() if session is None else session.defaults


def load_defaults(read_s3: Callable[[str], bytes] | None = None) -> Defaults:
    """The administrator's file under the user's; both may be missing in their usual places.

    Args:
        read_s3: reads the object at an S3 URI, where a variable names one.

    Raises:
        DefaultsError: a file that a variable names is not there, or is no YAML.
        MissingDependencyError: a file is no JSON, and PyYAML is not installed.
    """
    merged: dict[str, Any] = {}
    places = []
    for variable, folder in ((ADMIN_OVERRIDE, _site_folder()), (USER_OVERRIDE, _user_folder())):
        named = os.environ.get(variable)
        content = _content(named, variable, read_s3) if named else _usual(folder / _FILE_NAME)
        if content is not None:
            places.append(named or str(folder / _FILE_NAME))
            merged = merged_over(merged, _parsed(content, places[-1]))
    return Defaults(merged, " and ".join(places))


def _content(place: str, variable: str, read_s3: Callable[[str], bytes] | None) -> bytes:
    if place.startswith("s3://"):
        uri = place if place.endswith((".yaml", ".yml", ".json")) else f"{place}/{_FILE_NAME}"
        return (read_s3 or _read_s3)(uri)
    path = Path(place)
    try:
        return (path / _FILE_NAME if path.is_dir() else path).read_bytes()
    except OSError as error:
        raise DefaultsError(
            f"`{place}` cannot be read: {error.strerror}",
            hint=f"{variable} names it; unset that, or name a file that is there",
        ) from error


def _usual(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _read_s3(uri: str) -> bytes:
    from intermodal.session import Session
    from intermodal_contract.channel import parse_s3_uri

    return Session(sagemaker_config={}).storage.read(parse_s3_uri(uri))


def _parsed(content: bytes, place: str) -> Mapping[str, Any]:
    """JSON is YAML too, and needs no package."""
    try:
        values = json.loads(content)
    except ValueError:
        values = _yaml(content, place)
    if not isinstance(values or {}, Mapping):
        raise DefaultsError(f"`{place}` is no mapping; its first key has to be `SageMaker`")
    return values or {}


def _yaml(content: bytes, place: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            f"PyYAML is needed for the defaults in `{place}`",
            hint="pip install 'intermodal[config]', or write the file as JSON",
        ) from error
    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise DefaultsError(f"`{place}` is no YAML: {error}") from error


def merged_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both in one, at every depth; what stands above wins."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        is_nested = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[key] = merged_over(dict(under or {}), value) if is_nested else value
    return merged


def _site_folder() -> Path:
    if sys.platform == "darwin":
        return Path("/Library/Application Support/sagemaker")
    shared = os.environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)[0]
    return Path(shared or "/etc/xdg", "sagemaker")


def _user_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/sagemaker"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "sagemaker")
