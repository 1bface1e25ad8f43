"""Training jobs: Create, Describe, List, Stop."""

import math
import os.path
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_engine.lifecycle.attempt import JobEndedError, attempts_of
from intermodal_engine.lifecycle.metrics import compile_definitions
from intermodal_engine.lifecycle.staging import refusal
from intermodal_engine.lifecycle.training_instances import KIND
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.lifecycle.training_status import secondary_status
from intermodal_engine.lifecycle.warm_pools import NoWarmPoolError, keep_alive_s
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.resources import (
    arn,
    check_program,
    copy_members,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError

_DESCRIBED = (
    "TrainingJobName",
    "HyperParameters",
    "RoleArn",
    "InputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "DebugHookConfig",
    "ExperimentConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "Environment",
    "RetryStrategy",
    "RemoteDebugConfig",
    "InfraCheckConfig",
)


_RESERVED = (
    "/opt/ml/input",
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64"),
    *("/proc", "/run", "/sbin", "/sys", "/usr"),
)
"""Folders that no checkpoints may be in."""

_NEEDED = ("/opt/ml/code", "/opt/ml/model", "/opt/ml/output", "/opt/ml/output/data")
"""Folders that checkpoints may be in, but not hide."""


_DEFAULT_STOPPING = {"MaxRuntimeInSeconds": 86_400}


def create_training_job(call: Call, parameters: Parameters) -> Parameters:
    """Accepts a training job; it runs as soon as the engine gets to it."""
    check_request(call, parameters)
    parameters = {"StoppingCondition": _DEFAULT_STOPPING, **parameters}
    name = parameters["TrainingJobName"]
    job_arn = arn(call, KIND, name)
    try:
        call.backends.training_jobs.create(parameters, arn=job_arn, tags=tags_of(parameters))
    except RecordExistsError as error:
        raise ServiceError(
            "ResourceInUse",
            "Training job names must be unique within an AWS account and region, and a training "
            f"job with this name already exists ({job_arn})",
        ) from error
    return {"TrainingJobArn": job_arn}


def describe_training_job(call: Call, parameters: Parameters) -> Parameters:
    """What a job was asked for, what it does, and what came of it."""
    record = _record(call, parameters["TrainingJobName"])
    request, state = record.request, record.state
    result: Parameters = {
        **copy_members(request, *_DESCRIBED),
        "TrainingJobArn": record.arn,
        "TrainingJobStatus": record.status,
        "SecondaryStatus": secondary_status(record),
        "AlgorithmSpecification": {
            "EnableSageMakerMetricsTimeSeries": False,
            **request["AlgorithmSpecification"],
        },
        # The vendor's SDK reads KmsKeyId without looking whether it is there.
        "OutputDataConfig": {
            "KmsKeyId": "",
            "CompressionType": "GZIP",
            **request["OutputDataConfig"],
        },
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": request.get(
            "EnableInterContainerTrafficEncryption", False
        ),
        "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "ModelArtifacts": {"S3ModelArtifacts": _model_artifacts(record)},
        "SecondaryStatusTransitions": [_transition(one) for one in state["transitions"]],
    }
    if "tuning_job_arn" in state:
        result["TuningJobArn"] = state["tuning_job_arn"]
    if "failure_reason" in state:
        result["FailureReason"] = state["failure_reason"]
    if "final_metrics" in state:
        result["FinalMetricDataList"] = [
            {**one, "Timestamp": when(one["Timestamp"])} for one in state["final_metrics"]
        ]
    if keep_alive_s(record) or "warm_pool" in state:
        result["WarmPoolStatus"] = _warm_pool(record)
    return {**result, **_times(call, record)}


def list_training_jobs(call: Call, parameters: Parameters) -> Parameters:
    """Jobs, newest first unless asked otherwise."""
    if "TrainingPlanArnEquals" in parameters:
        raise not_served("`TrainingPlanArnEquals`", "leave it out")
    pool = parameters.get("WarmPoolStatusEquals")
    state_equals = {} if pool is None else {"warm_pool.status": pool}
    return list_page(call, KIND, parameters, "TrainingJobSummaries", _summary, state_equals)


def update_training_job(call: Call, parameters: Parameters) -> Parameters:
    """Changes how long a job's warm pool is kept; nothing else can be changed here."""
    name = parameters["TrainingJobName"]
    record = _record(call, name)
    others = sorted(parameters.keys() - {"TrainingJobName", "ResourceConfig"})
    if others or "ResourceConfig" not in parameters:
        what = ", ".join(f"`{other}`" for other in others) or "an update without `ResourceConfig`"
        raise not_served(what, "only ResourceConfig.KeepAlivePeriodInSeconds can be updated")
    try:
        call.backends.warm_pools.set_period(
            name, parameters["ResourceConfig"]["KeepAlivePeriodInSeconds"]
        )
    except NoWarmPoolError as error:
        raise invalid(f"The training job {name} has no warm pool that could be changed") from error
    return {"TrainingJobArn": record.arn}


def stop_training_job(call: Call, parameters: Parameters) -> Parameters:
    """Begins to stop a job: SIGTERM, then SIGKILL after the grace time."""
    name = parameters["TrainingJobName"]
    try:
        call.backends.training_jobs.stop(name)
    except RecordNotFoundError as error:
        raise invalid("Requested resource not found.") from error
    except JobEndedError as error:
        raise invalid(
            f"The request was rejected because the training job is in status {error}."
        ) from error
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": describe_training_job,
    "ListTrainingJobs": list_training_jobs,
    "StopTrainingJob": stop_training_job,
    "UpdateTrainingJob": update_training_job,
}


def check_request(call: Call, parameters: Parameters) -> None:
    """Makes sure that a training job can be had.

    Raises:
        ServiceError: what the service refuses, or what this engine cannot do.
    """
    for needed in ("AlgorithmSpecification", "ResourceConfig"):
        if needed not in parameters:
            raise not_served(f"a training job without `{needed}`", "name an image and instances")
    _check(parameters, call.backends.settings.file_systems)
    _check_limits(call, parameters["ResourceConfig"])


def _check(parameters: Parameters, file_systems: Mapping[str, Path]) -> None:
    """Refuses what the service refuses, then what only this engine cannot do."""
    algorithm = parameters["AlgorithmSpecification"]
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise invalid(
            "You must specify exactly one of `AlgorithmName` and `TrainingImage` in "
            "`AlgorithmSpecification`"
        )
    if "AlgorithmName" in algorithm:
        raise not_served("`AlgorithmName`", "name a container in `TrainingImage`")
    _check_resources(parameters["ResourceConfig"])
    _check_warm_pool(parameters)
    _check_times(parameters)
    check_program(
        [*algorithm.get("ContainerEntrypoint", []), *algorithm.get("ContainerArguments", [])],
        parameters.get("Environment", {}),
    )
    if "CheckpointConfig" in parameters:
        _check_uri(parameters["CheckpointConfig"]["S3Uri"], "checkpointConfig.s3Uri")
        _check_checkpoint_folder(parameters["CheckpointConfig"].get("LocalPath"))
    try:
        compile_definitions(algorithm.get("MetricDefinitions", []))
    except ValueError as error:
        raise invalid(str(error)) from error
    _check_uri(parameters["OutputDataConfig"]["S3OutputPath"], "outputDataConfig.s3OutputPath")
    names = [channel["ChannelName"] for channel in parameters.get("InputDataConfig", [])]
    if len(set(names)) < len(names):
        raise invalid("Channel names must be unique: found " + ", ".join(sorted(names)))
    groups = [one["InstanceGroupName"] for one in _groups(parameters["ResourceConfig"])]
    for channel in parameters.get("InputDataConfig", []):
        _check_groups(channel, groups)
        mode = channel.get("InputMode", algorithm["TrainingInputMode"])
        cause = refusal(channel, mode, file_systems)
        if cause is not None:
            raise invalid(cause)


def _check_checkpoint_folder(path: str | None) -> None:
    """Keeps checkpoints out of what the job needs itself.

    The words are those about the `LocalPath` of `TensorBoardOutputConfig`; AWS's own list for
    checkpoints is not published.
    """
    if path is None:
        return
    where = '"LocalPath" of "CheckpointConfig"'
    folder = PurePosixPath(os.path.normpath(path))
    if not path.startswith("/") or "\0" in path:
        raise invalid(f"{where} must be an absolute path: {path!r}")
    if any(folder.is_relative_to(one) for one in _RESERVED):
        raise invalid(
            f"{where} cannot start with the following reserved path: [{', '.join(_RESERVED)}]"
        )
    hidden = next(
        (one for one in (*_NEEDED, *_RESERVED) if PurePosixPath(one).is_relative_to(folder)), None
    )
    if hidden is not None:
        raise invalid(f"{where} cannot be or hold {hidden}, which the job needs: {path}")


def _check_times(parameters: Parameters) -> None:
    stopping = parameters.get("StoppingCondition", _DEFAULT_STOPPING)
    max_wait_s = stopping.get("MaxWaitTimeInSeconds")
    if not parameters.get("EnableManagedSpotTraining", False):
        if max_wait_s is not None:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It is only supported when "
                "EnableManagedSpotTraining is set to true"
            )
    elif max_wait_s is None:
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )
    elif max_wait_s < stopping.get("MaxRuntimeInSeconds", 86_400):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be greater than or equal to MaxRuntimeInSeconds"
        )


def _check_resources(resources: dict[str, Any]) -> None:
    grouped = "InstanceGroups" in resources
    single = "InstanceType" in resources or "InstanceCount" in resources
    if grouped == single:
        raise invalid(
            "You must specify either `InstanceGroups` or both `InstanceType` and `InstanceCount` "
            "in `ResourceConfig`"
        )
    if single and not ("InstanceType" in resources and "InstanceCount" in resources):
        raise invalid("`InstanceType` and `InstanceCount` must be given together")
    names = [group["InstanceGroupName"] for group in _groups(resources)]
    if len(set(names)) < len(names):
        raise invalid("Instance group names must be unique: found " + ", ".join(sorted(names)))
    if any(one["InstanceCount"] < 1 for one in (_groups(resources) or [resources])):
        raise invalid("`InstanceCount` must be at least 1: a job without instances never runs")


def _groups(resources: dict[str, Any]) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = resources.get("InstanceGroups", [])
    return groups


def _check_groups(channel: dict[str, Any], groups: list[str]) -> None:
    source = channel["DataSource"].get("S3DataSource", {})
    unknown = [name for name in source.get("InstanceGroupNames", []) if name not in groups]
    if unknown:
        raise invalid(
            f"InstanceGroupNames of channel `{channel['ChannelName']}` names {', '.join(unknown)}: "
            f"the ResourceConfig has {', '.join(groups) or 'no InstanceGroups'}"
        )


def _check_warm_pool(parameters: Parameters) -> None:
    """AWS page: train-warm-pools, Considerations."""
    resources = parameters["ResourceConfig"]
    if not resources.get("KeepAlivePeriodInSeconds"):
        return
    for other, is_there in (
        ("EnableManagedSpotTraining", parameters.get("EnableManagedSpotTraining", False)),
        ("InstanceGroups", "InstanceGroups" in resources),
    ):
        if is_there:
            raise invalid(
                f"KeepAlivePeriodInSeconds cannot be used with {other}: a warm pool has instances "
                "of one type, and none on spot"
            )


def _check_limits(call: Call, resources: dict[str, Any]) -> None:
    groups = _groups(resources) or [resources]
    count = sum(group["InstanceCount"] for group in groups)
    limit = call.backends.settings.max_instances
    if count > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{groups[0]['InstanceType']} for training job "
            f"usage' is {limit} Instances, with current utilization of 0 Instances and a request "
            f"delta of {count} Instances. Start the engine with a larger `--max-instances`.",
        )


def _check_uri(uri: str, where: str) -> None:
    try:
        parse_s3_uri(uri)
    except InvalidS3UriError as error:
        raise invalid(
            f"Value '{uri}' at '{where}' is not a valid S3 URI: {error.message}"
        ) from error


def _record(call: Call, name: str) -> Record:
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise invalid("Requested resource not found.") from error


def _model_artifacts(record: Record) -> str:
    """Where the model is, or will be: clients read it before the job has ended."""
    output = TrainingRequest(record).output
    return record.state.get("model") or f"s3://{output.bucket}/{output.key}model.tar.gz"


def _warm_pool(record: Record) -> Parameters:
    pool = record.state.get("warm_pool")
    if pool is None:
        return {"Status": "Terminated" if "ended_at" in record.state else "InUse"}
    status: Parameters = {"Status": pool["status"]}
    if "retained_s" in pool:
        status["ResourceRetainedBillableTimeInSeconds"] = pool["retained_s"]
    if "reused_by" in pool:
        status["ReusedByJob"] = pool["reused_by"]
    return status


def _transition(entry: dict[str, Any]) -> Parameters:
    times: Parameters = {
        name: when(entry[name]) for name in ("StartTime", "EndTime") if name in entry
    }
    return {"Status": entry["Status"], "StatusMessage": entry["StatusMessage"], **times}


def _times(call: Call, record: Record) -> Parameters:
    attempts = attempts_of(record.state)
    started = next((one.started_at for one in attempts if one.started_at is not None), None)
    if started is None:
        return {}
    result: Parameters = {"TrainingStartTime": when(started)}
    if "ended_at" in record.state:
        seconds = max(1, round(sum(one.seconds for one in attempts)))
        ratio = call.backends.settings.spot_price_ratio if TrainingRequest(record).is_spot else 1.0
        result["TrainingEndTime"] = when(record.state["ended_at"])
        result["TrainingTimeInSeconds"] = seconds
        result["BillableTimeInSeconds"] = max(1, math.ceil(seconds * ratio))
    return result


def _summary(record: Record) -> Parameters:
    summary: Parameters = {
        "TrainingJobName": record.name,
        "TrainingJobArn": record.arn,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "TrainingJobStatus": record.status,
        "SecondaryStatus": secondary_status(record),
    }
    if "ended_at" in record.state:
        summary["TrainingEndTime"] = when(record.state["ended_at"])
    if keep_alive_s(record) or "warm_pool" in record.state:
        summary["WarmPoolStatus"] = _warm_pool(record)
    return summary
