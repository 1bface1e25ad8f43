"""Processing jobs: Create, Describe, List, Stop."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_contract.processing_files import InvalidLocalPathError, parse_local_path
from intermodal_engine.lifecycle.attempt import JobEndedError, attempts_of
from intermodal_engine.lifecycle.processing_instances import KIND
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
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingJobName",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
    "ExperimentConfig",
)


def create_processing_job(call: Call, parameters: Parameters) -> Parameters:
    """Accepts a processing job; it runs as soon as the engine gets to it."""
    _check(call, parameters)
    name = parameters["ProcessingJobName"]
    job_arn = arn(call, KIND, name)
    try:
        call.backends.processing_jobs.create(parameters, arn=job_arn, tags=tags_of(parameters))
    except RecordExistsError as error:
        raise ServiceError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({job_arn})",
        ) from error
    return {"ProcessingJobArn": job_arn}


def describe_processing_job(call: Call, parameters: Parameters) -> Parameters:
    """What a job was asked for, what it does, and what came of it."""
    name = parameters["ProcessingJobName"]
    try:
        record = call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise _not_found(name) from error
    result = {**copy_members(record.request, *_DESCRIBED), **_summary(record)}
    started = next((one.started_at for one in attempts_of(record.state) if one.started_at), None)
    if started is not None:
        result["ProcessingStartTime"] = when(started)
    return result


def list_processing_jobs(call: Call, parameters: Parameters) -> Parameters:
    """Jobs, newest first unless asked otherwise."""
    return list_page(call, KIND, parameters, "ProcessingJobSummaries", _summary)


def stop_processing_job(call: Call, parameters: Parameters) -> Parameters:
    """Begins to stop a job: SIGTERM, then SIGKILL after the grace time."""
    name = parameters["ProcessingJobName"]
    try:
        call.backends.processing_jobs.stop(name)
    except RecordNotFoundError as error:
        raise _not_found(name) from error
    except JobEndedError as error:
        raise invalid(
            f"The request was rejected because the processing job is in status {error}."
        ) from error
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateProcessingJob": create_processing_job,
    "DescribeProcessingJob": describe_processing_job,
    "ListProcessingJobs": list_processing_jobs,
    "StopProcessingJob": stop_processing_job,
}


def _check(call: Call, parameters: Parameters) -> None:
    """Refuses what the service refuses, then what only this engine cannot do."""
    inputs = parameters.get("ProcessingInputs", [])
    outputs = parameters.get("ProcessingOutputConfig", {}).get("Outputs", [])
    _check_unique("InputName", [entry["InputName"] for entry in inputs])
    _check_unique("OutputName", [entry["OutputName"] for entry in outputs])
    for entry in inputs:
        _check_input(entry)
    for entry in outputs:
        _check_output(entry)
    sources = [entry["S3Input"]["LocalPath"] for entry in inputs]
    targets = [entry["S3Output"]["LocalPath"] for entry in outputs]
    _check_unique("LocalPath", [str(parse_local_path(path)) for path in sources + targets])
    program = parameters["AppSpecification"]
    check_program(
        [*program.get("ContainerEntrypoint", []), *program.get("ContainerArguments", [])],
        parameters.get("Environment", {}),
    )
    _check_cluster(call, parameters["ProcessingResources"]["ClusterConfig"])


def _check_unique(member: str, values: Sequence[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise invalid(f"Each {member} must be unique within a processing job: {repeated[0]}")


def _check_input(entry: dict[str, Any]) -> None:
    where = f"input `{entry['InputName']}`"
    if entry.get("AppManaged", False):
        raise not_served(f"`AppManaged` ({where})", "use an `S3Input` that the service manages")
    if "DatasetDefinition" in entry:
        raise not_served(f"`DatasetDefinition` ({where})", "put the data into S3: `S3Input`")
    source = _s3_part(entry, "S3Input", where)
    if source.get("S3InputMode", "File") == "Pipe":
        raise not_served(f"input mode `Pipe` ({where})", "use `File`")
    if source.get("S3CompressionType", "None") != "None":
        raise invalid(f"S3CompressionType Gzip is for S3InputMode Pipe only ({where})")


def _check_output(entry: dict[str, Any]) -> None:
    where = f"output `{entry['OutputName']}`"
    if entry.get("AppManaged", False) or "FeatureStoreOutput" in entry:
        raise not_served(f"`AppManaged` ({where})", "use an `S3Output` that the service manages")
    _s3_part(entry, "S3Output", where)


def _s3_part(entry: dict[str, Any], member: str, where: str) -> dict[str, Any]:
    """The S3 part of an input or output, its URI and path looked at."""
    if member not in entry:
        raise invalid(f"{member} is required when AppManaged is False ({where})")
    part: dict[str, Any] = entry[member]
    if "LocalPath" not in part:
        raise invalid(f"LocalPath is required when AppManaged is False ({where})")
    try:
        parse_s3_uri(part["S3Uri"])
        parse_local_path(part["LocalPath"])
    except (InvalidS3UriError, InvalidLocalPathError) as error:
        raise invalid(f"{error.message} ({where})") from error
    return part


def _check_cluster(call: Call, cluster: dict[str, Any]) -> None:
    if "InstancePreferences" in cluster:
        raise not_served("`InstancePreferences`", "name one `InstanceType`")
    if "InstanceType" not in cluster or "InstanceCount" not in cluster:
        raise invalid("`InstanceType` and `InstanceCount` must be given in `ClusterConfig`")
    count, limit = cluster["InstanceCount"], call.backends.settings.max_instances
    if count > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{cluster['InstanceType']} for processing job "
            f"usage' is {limit} Instances, with current utilization of 0 Instances and a request "
            f"delta of {count} Instances. Start the engine with a larger `--max-instances`.",
        )


def _not_found(name: str) -> ServiceError:
    return invalid(f"Could not find requested job with name: {name}")


def _summary(record: Record) -> Parameters:
    summary: Parameters = {
        "ProcessingJobName": record.name,
        "ProcessingJobArn": record.arn,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "ProcessingJobStatus": record.status,
    }
    if "ended_at" in record.state:
        summary["ProcessingEndTime"] = when(record.state["ended_at"])
        for member, name in (("FailureReason", "failure_reason"), ("ExitMessage", "exit_message")):
            if name in record.state:
                summary[member] = record.state[name]
    return summary
