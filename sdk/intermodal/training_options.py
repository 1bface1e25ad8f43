"""What CreateTrainingJob takes besides image, code and data, and what AWS limits of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intermodal.instance_group import InstanceGroup
from intermodal.names import name_problem

Tags = Sequence[Mapping[str, str]] | Mapping[str, str]

LOCAL_INSTANCE_TYPES: Mapping[str, str] = {"local": "ml.m5.xlarge", "local_gpu": "ml.g5.xlarge"}
"""What `instance_type="local"` asks the engine for."""

HYPERPARAMETER_LIMIT = 100
HYPERPARAMETER_KEY_LIMIT = 256
HYPERPARAMETER_VALUE_LIMIT = 2500
CHANNEL_LIMIT = 20
ENVIRONMENT_LIMIT = 100
ENVIRONMENT_TEXT_LIMIT = 512
METRIC_LIMIT = 40
METRIC_REGEX_LIMIT = 500
_CHANNEL_NAME = re.compile(r"[A-Za-z0-9.\-_]{1,64}")
_ENVIRONMENT_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingOptions:
    """What every estimator takes by name; each is also an attribute that may be set before `fit()`.

    Attributes:
        keep_alive_period_in_seconds: instances stay warm for the next job so long.
        volume_size: GiB of storage an instance.
        volume_kms_key: encrypts that storage.
        max_run: seconds after which the job is stopped.
        input_mode: `File`, `Pipe` or `FastFile`, where a channel says nothing else.
        output_path: S3 prefix of the results; the default bucket where `None`.
        output_kms_key: encrypts the results.
        base_job_name: what job names begin with; the image's name where `None`.
        tags: of the job and of what is deployed from it.
        subnets: of the VPC that the instances join.
        security_group_ids: in that VPC.
        model_uri: a pretrained model, as a channel of its own.
        model_channel_name: that channel's name.
        metric_definitions: `[{"Name": …, "Regex": …}]`, read from the log.
        encrypt_inter_container_traffic: between instances.
        use_spot_instances: cheaper, and interrupted now and then.
        max_wait: seconds for waiting and running together on spot instances.
        checkpoint_s3_uri: `/opt/ml/checkpoints` is kept there and restored from there.
        checkpoint_local_path: another folder than `/opt/ml/checkpoints`.
        rules: debugger rules as CreateTrainingJob takes them.
        debugger_hook_config: as CreateTrainingJob takes it; none unless asked for.
        tensorboard_output_config: as CreateTrainingJob takes it.
        profiler_config: as CreateTrainingJob takes it; none unless asked for.
        disable_profiler: taken for compatibility; nothing is profiled unless asked for.
        enable_sagemaker_metrics: metrics as a time series; the framework's own choice where `None`.
        enable_network_isolation: the container reaches nothing outside.
        environment: variables of the container.
        max_retry_attempts: how often the service tries again after its own errors.
        instance_groups: instead of `instance_count` and `instance_type`, for mixed clusters.
        training_repository_access_mode: `Platform` or `Vpc`.
        training_repository_credentials_provider_arn: a function that gives registry credentials.
        enable_infra_check: checks the instances before the job.
        container_entry_point: replaces the image's own.
        container_arguments: of that entry point.
        disable_output_compression: results are uploaded as files, not as `model.tar.gz`.
        enable_remote_debug: allows a shell in the container.
        enable_session_tag_chaining: hands session tags on.
        training_plan: ARN of a reserved plan.
        instance_placement_config: as CreateTrainingJob takes it.
    """

    keep_alive_period_in_seconds: int | None = None
    volume_size: int = 30
    volume_kms_key: str | None = None
    max_run: int = 24 * 60 * 60
    input_mode: str = "File"
    output_path: str | None = None
    output_kms_key: str | None = None
    base_job_name: str | None = None
    tags: Tags | None = None
    subnets: Sequence[str] | None = None
    security_group_ids: Sequence[str] | None = None
    model_uri: str | None = None
    model_channel_name: str = "model"
    metric_definitions: Sequence[Mapping[str, str]] | None = None
    encrypt_inter_container_traffic: bool | None = None
    use_spot_instances: bool = False
    max_wait: int | None = None
    checkpoint_s3_uri: str | None = None
    checkpoint_local_path: str | None = None
    rules: Sequence[Mapping[str, Any]] | None = None
    debugger_hook_config: Mapping[str, Any] | bool | None = None
    tensorboard_output_config: Mapping[str, Any] | None = None
    profiler_config: Mapping[str, Any] | None = None
    disable_profiler: bool | None = None
    enable_sagemaker_metrics: bool | None = None
    enable_network_isolation: bool | None = None
    environment: Mapping[str, str] | None = None
    max_retry_attempts: int | None = None
    instance_groups: Sequence[InstanceGroup] | None = None
    training_repository_access_mode: str | None = None
    training_repository_credentials_provider_arn: str | None = None
    enable_infra_check: bool | None = None
    container_entry_point: Sequence[str] | None = None
    container_arguments: Sequence[str] | None = None
    disable_output_compression: bool = False
    enable_remote_debug: bool | None = None
    enable_session_tag_chaining: bool | None = None
    training_plan: str | None = None
    instance_placement_config: Mapping[str, Any] | None = None


class Findings:
    """Everything that is wrong with one call, under the names that the user wrote.

    Args:
        as_written: present argument name to the one that was used.
    """

    def __init__(self, as_written: Mapping[str, str]) -> None:
        self._as_written = as_written
        self.problems: list[str] = []

    def add(self, argument: str, problem: str) -> None:
        """Note what is wrong with an argument."""
        self.problems.append(f"`{self._as_written.get(argument, argument)}`: {problem}")

    def is_of(self, argument: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> bool:
        """Whether the value is of the right type (a `bool` is no number); noted if not."""
        wanted_kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if isinstance(value, kinds) and (bool in wanted_kinds or not isinstance(value, bool)):
            return True
        self.add(argument, f"{value!r} is a {type(value).__name__}; give {wanted}")
        return False

    def at_least(self, argument: str, value: Any, smallest: int) -> None:
        """Note a value that is no whole number, or too small."""
        if self.is_of(argument, value, int, "a whole number") and value < smallest:
            self.add(argument, f"{value} is below {smallest}")


def check_job_name(findings: Findings, argument: str, name: str) -> None:
    """Note a name that AWS would refuse."""
    problem = name_problem(name)
    if problem:
        findings.add(argument, problem)


def check_instances(findings: Findings, count: Any, kind: Any, groups: Any) -> None:
    """Note what is wrong with the instances that are asked for."""
    if groups:
        if count is not None or kind is not None:
            findings.add(
                "instance_groups", "give either these or `instance_count` and `instance_type`"
            )
        for group in groups:
            check_instance_type(findings, "instance_groups", group.instance_type)
        return
    if count is None:
        findings.add("instance_count", "is missing")
    else:
        findings.at_least("instance_count", count, 1)
    if kind is None:
        findings.add("instance_type", "is missing; give for example 'ml.m5.xlarge', or 'local'")
    else:
        check_instance_type(findings, "instance_type", kind)


def check_instance_type(findings: Findings, argument: str, kind: Any) -> None:
    """Note an instance type that does not exist."""
    if not findings.is_of(argument, kind, str, "a name like 'ml.m5.xlarge'"):
        return
    from intermodal_contract.instance import UnknownInstanceTypeError, instance_type

    try:
        instance_type(kind)
    except UnknownInstanceTypeError as error:
        findings.add(argument, error.message + (f"; {error.hint}" if error.hint else ""))


def check_options(findings: Findings, options: TrainingOptions) -> None:
    """Note what is wrong with limits, environment, metrics and places."""
    findings.at_least("volume_size", options.volume_size, 1)
    findings.at_least("max_run", options.max_run, 1)
    _check_spot(findings, options)
    for argument in ("output_path", "checkpoint_s3_uri"):
        uri = getattr(options, argument)
        if uri is not None and not str(uri).startswith("s3://"):
            findings.add(argument, f"{uri!r} is no S3 URI; give s3://BUCKET/PREFIX")
    if bool(options.subnets) != bool(options.security_group_ids):
        missing = "security_group_ids" if options.subnets else "subnets"
        findings.add(missing, "is missing; a VPC needs both `subnets` and `security_group_ids`")
    check_environment(findings, options.environment or {})
    _check_metrics(findings, options.metric_definitions or [])


def check_environment(
    findings: Findings, environment: Mapping[Any, Any], argument: str = "environment"
) -> None:
    """Note variables that are too many, too long or no text."""
    if len(environment) > ENVIRONMENT_LIMIT:
        findings.add(argument, f"{len(environment)} variables; AWS takes {ENVIRONMENT_LIMIT}")
    for name, value in environment.items():
        if not isinstance(name, str) or not _ENVIRONMENT_NAME.fullmatch(name):
            findings.add(argument, f"{name!r} is no variable name")
        if not isinstance(value, str):
            findings.add(argument, f"`{name}` is a {type(value).__name__}; give a string")
        elif max(len(str(name)), len(value)) > ENVIRONMENT_TEXT_LIMIT:
            findings.add(argument, f"`{name}` is longer than {ENVIRONMENT_TEXT_LIMIT} characters")


def check_hyperparameters(findings: Findings, values: Mapping[str, str]) -> None:
    """Note hyperparameters that are too many or too long, as they will be sent."""
    if len(values) > HYPERPARAMETER_LIMIT:
        findings.add(
            "hyperparameters",
            f"{len(values)} of them with the toolkit's own; AWS takes {HYPERPARAMETER_LIMIT}",
        )
    for name, value in values.items():
        if len(name) > HYPERPARAMETER_KEY_LIMIT:
            findings.add(
                "hyperparameters",
                f"the name `{name[:40]}…` has {len(name)} characters; "
                f"AWS takes {HYPERPARAMETER_KEY_LIMIT}",
            )
        if len(value) > HYPERPARAMETER_VALUE_LIMIT:
            findings.add(
                "hyperparameters",
                f"`{name}` has {len(value)} characters; AWS takes {HYPERPARAMETER_VALUE_LIMIT}: "
                "put it into a file or a channel",
            )


def check_channel_names(findings: Findings, names: Sequence[str]) -> None:
    """Note channels that are too many or have names that AWS would refuse."""
    if len(names) > CHANNEL_LIMIT:
        findings.add("inputs", f"{len(names)} channels; AWS takes {CHANNEL_LIMIT}")
    for name in names:
        if not isinstance(name, str) or not _CHANNEL_NAME.fullmatch(name):
            findings.add(
                "inputs",
                f"{name!r} is no channel name: 1 to 64 letters, digits, dots, dashes, underscores",
            )


def _check_spot(findings: Findings, options: TrainingOptions) -> None:
    if options.max_wait is None:
        if options.use_spot_instances:
            findings.add("max_wait", "is missing; spot instances need one of at least `max_run`")
        return
    if not options.use_spot_instances:
        findings.add("max_wait", "is for spot instances; give `use_spot_instances=True` too")
    elif options.max_wait < options.max_run:
        findings.add("max_wait", f"{options.max_wait} is below `max_run`, {options.max_run}")


def _check_metrics(findings: Findings, definitions: Sequence[Mapping[str, str]]) -> None:
    if len(definitions) > METRIC_LIMIT:
        findings.add("metric_definitions", f"{len(definitions)} of them; AWS takes {METRIC_LIMIT}")
    for definition in definitions:
        if set(definition) != {"Name", "Regex"}:
            findings.add("metric_definitions", f"{dict(definition)!r} must have `Name` and `Regex`")
        elif len(definition["Regex"]) > METRIC_REGEX_LIMIT:
            findings.add(
                "metric_definitions",
                f"the regex of `{definition['Name']}` has over {METRIC_REGEX_LIMIT} characters",
            )
