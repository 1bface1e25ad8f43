"""Where the data of a training job comes from: the input channels of CreateTrainingJob."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

FILE_SYSTEM_TYPES = ("FSxLustre", "EFS")
FILE_SYSTEM_ACCESS_MODES = ("ro", "rw")


@dataclass(frozen=True, slots=True)
class ShuffleConfig:
    """The order of a channel's objects, shuffled anew each epoch.

    Attributes:
        seed: the same seed gives the same order.
    """

    seed: int


class TrainingInput:
    """One channel of S3 data.

    Args:
        s3_data: an S3 URI, a prefix or a manifest; or a local path, which `fit()` uploads first.
        distribution: `FullyReplicated` gives every instance all, `ShardedByS3Key` its share.
        compression: `Gzip`, for Pipe mode.
        content_type: told to the container.
        record_wrapping: `RecordIO`.
        s3_data_type: `S3Prefix`, `ManifestFile` or `AugmentedManifestFile`.
        instance_groups: names of the instance groups that get this channel.
        input_mode: `File`, `Pipe` or `FastFile`; the job's own where `None`.
        attribute_names: attributes of an augmented manifest.
        target_attribute_name: told to the container's job object only; not sent.
        shuffle_config: shuffles the objects' order.
        hub_access_config: as CreateTrainingJob takes it.
        model_access_config: as CreateTrainingJob takes it.
    """

    def __init__(
        self,
        s3_data: str,
        distribution: str | None = None,
        compression: str | None = None,
        content_type: str | None = None,
        record_wrapping: str | None = None,
        s3_data_type: str = "S3Prefix",
        instance_groups: Sequence[str] | None = None,
        input_mode: str | None = None,
        attribute_names: Sequence[str] | None = None,
        target_attribute_name: str | None = None,
        shuffle_config: ShuffleConfig | None = None,
        hub_access_config: Mapping[str, Any] | None = None,
        model_access_config: Mapping[str, Any] | None = None,
    ) -> None:
        source: dict[str, Any] = {
            "S3DataType": s3_data_type,
            "S3Uri": s3_data,
            "S3DataDistributionType": distribution or "FullyReplicated",
        }
        if instance_groups is not None:
            source["InstanceGroupNames"] = list(instance_groups)
        if attribute_names is not None:
            source["AttributeNames"] = list(attribute_names)
        if hub_access_config is not None:
            source["HubAccessConfig"] = dict(hub_access_config)
        if model_access_config is not None:
            source["ModelAccessConfig"] = dict(model_access_config)
        self.target_attribute_name = target_attribute_name
        self.config: dict[str, Any] = {"DataSource": {"S3DataSource": source}}
        optional = {
            "CompressionType": compression,
            "ContentType": content_type,
            "RecordWrapperType": record_wrapping,
            "InputMode": input_mode,
        }
        self.config.update({name: value for name, value in optional.items() if value is not None})
        if shuffle_config is not None:
            self.config["ShuffleConfig"] = {"Seed": shuffle_config.seed}


class FileSystemInput:
    """One channel on EFS or FSx for Lustre.

    Args:
        file_system_id: as in `fs-0123456789abcdef0`.
        file_system_type: `EFS` or `FSxLustre`.
        directory_path: the folder on that file system.
        file_system_access_mode: `ro` or `rw`.
        content_type: told to the container.

    Raises:
        ValueError: there is no such type or mode.
    """

    def __init__(
        self,
        file_system_id: str,
        file_system_type: str,
        directory_path: str,
        file_system_access_mode: str = "ro",
        content_type: str | None = None,
    ) -> None:
        _check_among("file_system_type", file_system_type, FILE_SYSTEM_TYPES)
        _check_among("file_system_access_mode", file_system_access_mode, FILE_SYSTEM_ACCESS_MODES)
        self.config: dict[str, Any] = {
            "DataSource": {
                "FileSystemDataSource": {
                    "FileSystemId": file_system_id,
                    "FileSystemType": file_system_type,
                    "DirectoryPath": directory_path,
                    "FileSystemAccessMode": file_system_access_mode,
                }
            }
        }
        if content_type:
            self.config["ContentType"] = content_type


Input = str | TrainingInput | FileSystemInput
Inputs = Input | Mapping[str, Input]


@dataclass(frozen=True, slots=True)
class BatchDataCaptureConfig:
    """What a transform job was asked and has answered, listed in S3 for model monitoring.

    Attributes:
        destination_s3_uri: S3 prefix.
        kms_key_id: encrypts it.
        generate_inference_id: whether each record of the output gets an id.
    """

    destination_s3_uri: str
    kms_key_id: str | None = None
    generate_inference_id: bool | None = None

    def request(self) -> dict[str, Any]:
        """`DataCaptureConfig` as CreateTransformJob takes it."""
        fields = {
            "DestinationS3Uri": self.destination_s3_uri,
            "KmsKeyId": self.kms_key_id,
            "GenerateInferenceId": self.generate_inference_id,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Channel:
    """One named entry of `InputDataConfig`, perhaps with data that has yet to be uploaded.

    Attributes:
        name: the channel's name.
        config: the entry without its name.
        local_path: what must be uploaded first, `None` where the data is in its place.
    """

    name: str
    config: Mapping[str, Any]
    local_path: str | None = None

    def at(self, uri: str) -> "Channel":
        """This channel with its data at that S3 URI."""
        source = {**self.config["DataSource"]["S3DataSource"], "S3Uri": uri}
        return replace(
            self, config={**self.config, "DataSource": {"S3DataSource": source}}, local_path=None
        )

    def request(self) -> dict[str, Any]:
        """The entry as CreateTrainingJob takes it."""
        return {**self.config, "ChannelName": self.name}


def channels(inputs: Inputs | None) -> list[Channel]:
    """The channels that `fit(inputs)` means; a single input is the channel `training`.

    Raises:
        TypeError: an input is of a type that is no input.
    """
    if inputs is None:
        return []
    if isinstance(inputs, Mapping):
        return [_channel(name, one) for name, one in inputs.items()]
    return [_channel("training", inputs)]


def _channel(name: str, one: Input) -> Channel:
    if isinstance(one, str):
        one = TrainingInput(one)
    if not isinstance(one, TrainingInput | FileSystemInput):
        raise TypeError(
            f"`inputs`: channel `{name}` is a {type(one).__name__}; "
            "give an S3 URI, a local path, a TrainingInput or a FileSystemInput"
        )
    source = one.config["DataSource"].get("S3DataSource")
    uri = source["S3Uri"] if source else "s3://"
    local_path = None if uri.startswith("s3://") else uri.removeprefix("file://")
    return Channel(name, one.config, local_path)


def _check_among(argument: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        there_are = ", ".join(f"`{one}`" for one in known)
        raise ValueError(f"`{argument}`: {value!r} is none of {there_are}")
