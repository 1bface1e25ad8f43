"""The exact CreateTrainingJob request that an estimator means; nothing is asked or sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intermodal.inputs import Channel
from intermodal.training_options import Tags, TrainingOptions


@dataclass(frozen=True, slots=True)
class Job:
    """What one job has besides the options.

    Attributes:
        name: the training job's name.
        image_uri: the training image.
        role_arn: what the job runs as.
        output_path: S3 prefix of the results.
        instance_count: how many instances; `None` with instance groups.
        instance_type: of which type; `None` with instance groups.
        hyperparameters: as they will lie in hyperparameters.json.
        channels: input channels, all of them in S3 or on a file system.
        has_metrics: whether metrics are kept as a time series; `None` says nothing.
        experiment_config: as CreateTrainingJob takes it.
    """

    name: str
    image_uri: str
    role_arn: str
    output_path: str
    instance_count: int | None
    instance_type: str | None
    hyperparameters: Mapping[str, str]
    channels: Sequence[Channel]
    has_metrics: bool | None = None
    experiment_config: Mapping[str, str] | None = None


def create_training_job(job: Job, options: TrainingOptions) -> dict[str, Any]:
    """The request's parameters; what is empty is left out."""
    request: dict[str, Any] = {
        "TrainingJobName": job.name,
        "AlgorithmSpecification": _algorithm(job, options),
        "RoleArn": job.role_arn,
        "OutputDataConfig": _output(job, options),
        "ResourceConfig": _resources(job, options),
        "StoppingCondition": _present(
            MaxRuntimeInSeconds=options.max_run, MaxWaitTimeInSeconds=options.max_wait
        ),
        "InputDataConfig": [channel.request() for channel in job.channels],
        "HyperParameters": dict(job.hyperparameters),
        "Environment": dict(options.environment or {}),
        "Tags": tag_list(options.tags),
        "VpcConfig": vpc_config(options.subnets, options.security_group_ids),
        "CheckpointConfig": _checkpoints(options),
        "ExperimentConfig": dict(job.experiment_config or {}),
        **_switches(options),
        **_debugger(options),
    }
    return {name: value for name, value in request.items() if value not in ({}, [], None)}


def tag_list(tags: Tags | None) -> list[dict[str, str]]:
    """Tags as AWS takes them, from a list of `Key` and `Value` or a plain dictionary."""
    if isinstance(tags, Mapping):
        return [{"Key": key, "Value": value} for key, value in tags.items()]
    return [dict(tag) for tag in tags or []]


def vpc_config(
    subnets: Sequence[str] | None, security_group_ids: Sequence[str] | None
) -> dict[str, list[str]] | None:
    """`VpcConfig`, or `None` where no VPC is asked for."""
    if not subnets or not security_group_ids:
        return None
    return {"Subnets": list(subnets), "SecurityGroupIds": list(security_group_ids)}


def _algorithm(job: Job, options: TrainingOptions) -> dict[str, Any]:
    access = options.training_repository_access_mode
    provider = options.training_repository_credentials_provider_arn
    registry = _present(
        TrainingRepositoryAccessMode=access,
        TrainingRepositoryAuthConfig=(
            {"TrainingRepositoryCredentialsProviderArn": provider} if provider else None
        ),
    )
    return _present(
        TrainingInputMode=options.input_mode,
        TrainingImage=job.image_uri,
        MetricDefinitions=[dict(metric) for metric in options.metric_definitions or []] or None,
        EnableSageMakerMetricsTimeSeries=job.has_metrics,
        ContainerEntrypoint=_words(options.container_entry_point),
        ContainerArguments=_words(options.container_arguments),
        TrainingImageConfig=registry or None,
    )


def _output(job: Job, options: TrainingOptions) -> dict[str, Any]:
    return _present(
        S3OutputPath=job.output_path,
        KmsKeyId=options.output_kms_key,
        CompressionType="NONE" if options.disable_output_compression else None,
    )


def _resources(job: Job, options: TrainingOptions) -> dict[str, Any]:
    groups = [group.request() for group in options.instance_groups or []]
    return _present(
        VolumeSizeInGB=options.volume_size,
        InstanceCount=job.instance_count,
        InstanceType=job.instance_type,
        InstanceGroups=groups or None,
        VolumeKmsKeyId=options.volume_kms_key,
        KeepAlivePeriodInSeconds=options.keep_alive_period_in_seconds,
        TrainingPlanArn=options.training_plan,
        InstancePlacementConfig=options.instance_placement_config,
    )


def _checkpoints(options: TrainingOptions) -> dict[str, Any]:
    if not options.checkpoint_s3_uri:
        return {}
    return _present(S3Uri=options.checkpoint_s3_uri, LocalPath=options.checkpoint_local_path)


def _switches(options: TrainingOptions) -> dict[str, Any]:
    """Flags that are sent only where the user set them."""
    attempts = options.max_retry_attempts
    infra, debug, chaining = (
        options.enable_infra_check,
        options.enable_remote_debug,
        options.enable_session_tag_chaining,
    )
    return {
        "EnableNetworkIsolation": options.enable_network_isolation or None,
        "EnableInterContainerTrafficEncryption": options.encrypt_inter_container_traffic or None,
        "EnableManagedSpotTraining": options.use_spot_instances or None,
        "RetryStrategy": None if attempts is None else {"MaximumRetryAttempts": attempts},
        "InfraCheckConfig": None if infra is None else {"EnableInfraCheck": infra},
        "RemoteDebugConfig": None if debug is None else {"EnableRemoteDebug": debug},
        "SessionChainingConfig": None
        if chaining is None
        else {"EnableSessionTagChaining": chaining},
    }


def _debugger(options: TrainingOptions) -> dict[str, Any]:
    """Debugger and profiler, only where asked for: both cost uploads, sometimes a billed job."""
    hook = options.debugger_hook_config
    return {
        "DebugHookConfig": dict(hook) if isinstance(hook, Mapping) else None,
        "DebugRuleConfigurations": [dict(rule) for rule in options.rules or []],
        "TensorBoardOutputConfig": dict(options.tensorboard_output_config or {}),
        "ProfilerConfig": dict(options.profiler_config or {}),
    }


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _words(text: Sequence[str] | str | None) -> list[str] | None:
    if not text:
        return None
    return [text] if isinstance(text, str) else list(text)
