"""What goes into a processing job and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intermodal.defaults import merged_over
from intermodal.source import local_path
from intermodal.training_options import Findings

DATA_LIMIT = 10
_DATASET_KINDS = ("AthenaDatasetDefinition", "RedshiftDatasetDefinition")


@dataclass
class S3Input:
    """Objects in S3 that an input brings.

    Attributes:
        s3_uri: an S3 URI, a prefix or a manifest; or a local path, which `run()` uploads first.
        local_path: the folder in the container, below `/opt/ml/processing/`.
        s3_data_type: `S3Prefix` or `ManifestFile`.
        s3_input_mode: `File` or `Pipe`.
        s3_data_distribution_type: `FullyReplicated` gives every instance all, `ShardedByS3Key` its
            share.
        s3_compression_type: `Gzip`, for Pipe mode.
    """

    s3_uri: str | None = None
    local_path: str | None = None
    s3_data_type: str = "S3Prefix"
    s3_input_mode: str = "File"
    s3_data_distribution_type: str = "FullyReplicated"
    s3_compression_type: str | None = None

    def request(self) -> dict[str, Any]:
        """`S3Input` as CreateProcessingJob takes it."""
        fields = {
            "S3Uri": self.s3_uri,
            "LocalPath": self.local_path,
            "S3DataType": self.s3_data_type,
            "S3InputMode": self.s3_input_mode,
            "S3DataDistributionType": self.s3_data_distribution_type,
            "S3CompressionType": self.s3_compression_type,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass
class ProcessingInput:
    """One input of a processing job.

    Attributes:
        source: an S3 URI, or a local file or folder, which `run()` uploads first.
        destination: the folder in the container, below `/opt/ml/processing/`.
        input_name: `input-N` where `None`.
        s3_data_type: `S3Prefix` or `ManifestFile`.
        s3_input_mode: `File` or `Pipe`.
        s3_data_distribution_type: `FullyReplicated` or `ShardedByS3Key`.
        s3_compression_type: `None`, or `Gzip` for Pipe mode.
        s3_input: all of that in one, instead of `source` and `destination`.
        dataset_definition: a `DatasetDefinition` of `intermodal.dataset_definition`, or as
            CreateProcessingJob takes it, instead of S3.
        app_managed: the program fetches the input by itself.
    """

    source: str | None = None
    destination: str | None = None
    input_name: str | None = None
    s3_data_type: str = "S3Prefix"
    s3_input_mode: str = "File"
    s3_data_distribution_type: str = "FullyReplicated"
    s3_compression_type: str = "None"
    s3_input: S3Input | None = None
    dataset_definition: Any = None
    app_managed: bool = False

    def __post_init__(self) -> None:
        if hasattr(self.dataset_definition, "request"):
            self.dataset_definition = self.dataset_definition.request()
        if self.s3_input is not None:
            self.source, self.destination = self.s3_input.s3_uri, self.s3_input.local_path
        elif self.source is not None and self.destination is not None:
            self.s3_input = S3Input(
                self.source,
                self.destination,
                self.s3_data_type,
                self.s3_input_mode,
                self.s3_data_distribution_type,
                self.s3_compression_type,
            )

    @property
    def to_upload(self) -> Path | None:
        """What must be uploaded first."""
        if self.source is None or self.source.lower().startswith("s3://"):
            return None
        return local_path(self.source)

    def named(self, name: str) -> "ProcessingInput":
        """This input under its own name, else under that one."""
        return replace(self, input_name=self.input_name or name)

    def at(self, uri: str) -> "ProcessingInput":
        """This input with its data at that S3 URI."""
        at_uri = replace(self.s3_input, s3_uri=uri) if self.s3_input else None
        return replace(self, source=uri, s3_input=at_uri)

    def over(self, default: Mapping[str, Any] | None) -> "ProcessingInput":
        """This input with what the defaults' entry says of its data set, where both fit."""
        if self.dataset_definition is None or self.s3_input is not None:
            return self
        below = (default or {}).get("DatasetDefinition") or {}
        both = merged_over(below, self.dataset_definition)
        fits = not all(kind in both for kind in _DATASET_KINDS)
        return replace(self, dataset_definition=both) if fits else self

    def request(self) -> dict[str, Any]:
        """The entry as CreateProcessingJob takes it."""
        request: dict[str, Any] = {"InputName": self.input_name, "AppManaged": self.app_managed}
        if self.s3_input is not None:
            request["S3Input"] = self.s3_input.request()
        if self.dataset_definition is not None:
            request["DatasetDefinition"] = dict(self.dataset_definition)
        return request


@dataclass
class ProcessingOutput:
    """One output of a processing job.

    Attributes:
        source: the folder in the container, below `/opt/ml/processing/`.
        destination: S3 prefix; `JOB/output/NAME` of the default bucket where `None`.
        output_name: `output-N` where `None`.
        s3_upload_mode: `EndOfJob` or `Continuous`.
        app_managed: the program uploads the output by itself.
        feature_store_output: `FeatureStoreOutput` as CreateProcessingJob takes it.
    """

    source: str | None = None
    destination: str | None = None
    output_name: str | None = None
    s3_upload_mode: str = "EndOfJob"
    app_managed: bool = False
    feature_store_output: Mapping[str, Any] | None = None

    def named(self, name: str) -> "ProcessingOutput":
        """This output under its own name, else under that one."""
        return replace(self, output_name=self.output_name or name)

    def to(self, uri: str) -> "ProcessingOutput":
        """This output with its own destination, else with that one."""
        return replace(self, destination=self.destination or uri)

    def request(self) -> dict[str, Any]:
        """The entry as CreateProcessingJob takes it."""
        request: dict[str, Any] = {"OutputName": self.output_name, "AppManaged": self.app_managed}
        if self.source is not None:
            request["S3Output"] = {
                "S3Uri": self.destination,
                "LocalPath": self.source,
                "S3UploadMode": self.s3_upload_mode,
            }
        if self.feature_store_output is not None:
            request["FeatureStoreOutput"] = dict(self.feature_store_output)
        return request


def described_input(entry: Mapping[str, Any]) -> ProcessingInput:
    """An input as DescribeProcessingJob tells it."""
    s3 = entry.get("S3Input")
    return ProcessingInput(
        input_name=entry["InputName"],
        s3_input=S3Input(
            s3.get("S3Uri"),
            s3.get("LocalPath"),
            s3.get("S3DataType", "S3Prefix"),
            s3.get("S3InputMode", "File"),
            s3.get("S3DataDistributionType", "FullyReplicated"),
            s3.get("S3CompressionType"),
        )
        if s3
        else None,
        dataset_definition=entry.get("DatasetDefinition"),
        app_managed=entry.get("AppManaged", False),
    )


def described_output(entry: Mapping[str, Any]) -> ProcessingOutput:
    """An output as DescribeProcessingJob tells it."""
    s3 = entry.get("S3Output", {})
    return ProcessingOutput(
        s3.get("LocalPath"),
        s3.get("S3Uri"),
        entry["OutputName"],
        s3.get("S3UploadMode", "EndOfJob"),
        entry.get("AppManaged", False),
        entry.get("FeatureStoreOutput"),
    )


def check_inputs(findings: Findings, inputs: Sequence[Any], own_count: int) -> None:
    """Note what is wrong with inputs; `own_count` of them will be added for the code."""
    if len(inputs) + own_count > DATA_LIMIT:
        count = len(inputs) + own_count
        findings.add("inputs", f"{count} of them with the code's own; AWS takes {DATA_LIMIT}")
    for index, one in enumerate(inputs, 1):
        if not isinstance(one, ProcessingInput):
            findings.add("inputs", f"number {index} is a {type(one).__name__}, no ProcessingInput")
            continue
        what = f"`{one.input_name or f'input-{index}'}`"
        if one.dataset_definition is None and (one.source is None or one.destination is None):
            findings.add("inputs", f"{what} needs `source` and `destination`")
        if one.to_upload is not None and not one.to_upload.exists():
            findings.add("inputs", f"{what}: `{one.source}` is neither S3 URI nor path")
        _check_local_path(findings, "inputs", what, one.destination)
        s3 = one.s3_input
        if s3 and s3.s3_compression_type == "Gzip" and s3.s3_input_mode != "Pipe":
            findings.add("inputs", f"{what}: `Gzip` is for the input mode `Pipe`")
    _check_names(findings, "inputs", [getattr(one, "input_name", None) for one in inputs])


def check_outputs(findings: Findings, outputs: Sequence[Any]) -> None:
    """Note what is wrong with outputs."""
    if len(outputs) > DATA_LIMIT:
        findings.add("outputs", f"{len(outputs)} of them; AWS takes {DATA_LIMIT}")
    for index, one in enumerate(outputs, 1):
        if not isinstance(one, ProcessingOutput):
            findings.add(
                "outputs", f"number {index} is a {type(one).__name__}, no ProcessingOutput"
            )
            continue
        what = f"`{one.output_name or f'output-{index}'}`"
        if one.source is None and one.feature_store_output is None:
            findings.add("outputs", f"{what} needs a `source`, the folder in the container")
        if one.destination is not None and not one.destination.startswith("s3://"):
            findings.add("outputs", f"{what}: {one.destination!r} is no S3 URI")
        _check_local_path(findings, "outputs", what, one.source)
    _check_names(findings, "outputs", [getattr(one, "output_name", None) for one in outputs])


def _check_local_path(findings: Findings, argument: str, what: str, path: str | None) -> None:
    from intermodal_contract.processing_files import InvalidLocalPathError, parse_local_path

    if path is None:
        return
    try:
        parse_local_path(path)
    except InvalidLocalPathError as error:
        findings.add(argument, f"{what}: {error.message}")


def _check_names(findings: Findings, argument: str, names: Sequence[str | None]) -> None:
    given = [name for name in names if name is not None]
    for name in sorted({name for name in given if given.count(name) > 1}):
        findings.add(argument, f"two of them are called `{name}`")
