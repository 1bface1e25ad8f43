"""Transform jobs: Create, Describe, List, Stop."""

from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_engine.lifecycle.attempt import JobEndedError, attempts_of
from intermodal_engine.lifecycle.model_files import is_multi_model
from intermodal_engine.lifecycle.served import containers_of as containers_in
from intermodal_engine.lifecycle.served import is_direct
from intermodal_engine.lifecycle.transform.program.filters import FilterError, make_processing
from intermodal_engine.lifecycle.transform.program.inference_ids import has_records
from intermodal_engine.lifecycle.transform.program.jsonpath import InvalidPathError
from intermodal_engine.lifecycle.transform.program.moving import DEFAULT_PAYLOAD_MB
from intermodal_engine.lifecycle.transform_instances import KIND
from intermodal_engine.lifecycle.transform_request import PAYLOAD_TOGETHER_MB
from intermodal_engine.services.answers import when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.captures import check_destination
from intermodal_engine.services.sagemaker.models import containers_of, find_model
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
    "TransformJobName",
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
    "DataCaptureConfig",
    "DataProcessing",
    "ExperimentConfig",
)


def create_transform_job(call: Call, parameters: Parameters) -> Parameters:
    """Accepts a transform job; it runs as soon as the engine gets to it."""
    _check(call, parameters)
    model = find_model(call, parameters["ModelName"])
    served = containers_of(model)
    _check_model(model, served)
    name = parameters["TransformJobName"]
    job_arn = arn(call, KIND, name)
    try:
        call.backends.transform_jobs.create(
            parameters,
            served=served,
            role_arn=model.request.get("ExecutionRoleArn", ""),
            network_isolation=model.request.get("EnableNetworkIsolation", False),
            arn=job_arn,
            tags=tags_of(parameters),
        )
    except RecordExistsError as error:
        raise ServiceError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name "
            f"already exists ({job_arn})",
        ) from error
    return {"TransformJobArn": job_arn}


def describe_transform_job(call: Call, parameters: Parameters) -> Parameters:
    """What a job was asked for, what it does, and what came of it."""
    name = parameters["TransformJobName"]
    try:
        record = call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise _not_found(name) from error
    result = {**copy_members(record.request, *_DESCRIBED), **_summary(record)}
    del result["LastModifiedTime"]
    started = next((one.started_at for one in attempts_of(record.state) if one.started_at), None)
    if started is not None:
        result["TransformStartTime"] = when(started)
    return result


def list_transform_jobs(call: Call, parameters: Parameters) -> Parameters:
    """Jobs, newest first unless asked otherwise."""
    return list_page(call, KIND, parameters, "TransformJobSummaries", _summary)


def stop_transform_job(call: Call, parameters: Parameters) -> Parameters:
    """Begins to stop a job. The outputs that are whole by then stay."""
    name = parameters["TransformJobName"]
    try:
        call.backends.transform_jobs.stop(name)
    except RecordNotFoundError as error:
        raise _not_found(name) from error
    except JobEndedError as error:
        raise invalid(
            f"The request was rejected because the transform job is in status {error}."
        ) from error
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateTransformJob": create_transform_job,
    "DescribeTransformJob": describe_transform_job,
    "ListTransformJobs": list_transform_jobs,
    "StopTransformJob": stop_transform_job,
}


def _check_model(model: Record, served: dict[str, Any]) -> None:
    if is_direct(served):
        raise invalid(
            f'Model "{model.arn}" has containers that are invoked by their names: a transform job '
            "needs `InferenceExecutionConfig` `Serial`"
        )
    if any(is_multi_model(one.definition) for one in containers_in(served)):
        raise invalid(
            f'Model "{model.arn}" serves many models: a transform job needs containers of `Mode` '
            "`SingleModel`"
        )


def _check(call: Call, parameters: Parameters) -> None:
    """Refuses what the service refuses, then what only this engine cannot do."""
    _check_uris(parameters)
    _check_batches(parameters)
    _check_processing(parameters)
    check_program((), parameters.get("Environment", {}))
    kind = parameters["TransformInput"]["DataSource"]["S3DataSource"]["S3DataType"]
    if kind not in {"S3Prefix", "ManifestFile"}:
        raise invalid(f"S3DataType {kind} is not supported by transform jobs")
    if "DataCaptureConfig" in parameters:
        _check_capture(parameters)
    _check_limit(call, parameters["TransformResources"])


def _check_uris(parameters: Parameters) -> None:
    source = parameters["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    for uri in (source, parameters["TransformOutput"]["S3OutputPath"]):
        try:
            parse_s3_uri(uri)
        except InvalidS3UriError as error:
            raise invalid(error.message) from error


def _check_batches(parameters: Parameters) -> None:
    split = parameters["TransformInput"].get("SplitType", "None")
    if parameters.get("BatchStrategy") and split == "None":
        raise invalid(
            "To enable BatchStrategy, set SplitType of TransformInput to Line, RecordIO or TFRecord"
        )
    payload_mb = parameters.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)
    together_mb = payload_mb * max(1, parameters.get("MaxConcurrentTransforms", 1))
    if together_mb > PAYLOAD_TOGETHER_MB:
        raise invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {PAYLOAD_TOGETHER_MB} MB: "
            f"it is {together_mb} MB"
        )


def _check_processing(parameters: Parameters) -> None:
    processing = parameters.get("DataProcessing", {})
    source = parameters["TransformInput"]
    try:
        make_processing(
            source.get("ContentType"),
            source.get("SplitType", "None"),
            input_filter=processing.get("InputFilter"),
            output_filter=processing.get("OutputFilter"),
            join_source=processing.get("JoinSource"),
        )
    except InvalidPathError as error:
        raise invalid(f"Invalid JSONPath in DataProcessing: {error}") from error
    except FilterError as error:
        raise invalid(str(error)) from error


def _check_capture(parameters: Parameters) -> None:
    config = parameters["DataCaptureConfig"]
    check_destination(config)
    accept = parameters["TransformOutput"].get("Accept")
    if config.get("GenerateInferenceId") and accept and not has_records(accept):
        raise invalid(
            "GenerateInferenceId is for outputs in CSV, JSON and JSON lines: set Accept of "
            f"TransformOutput to text/csv, application/json or application/jsonlines, not {accept}"
        )


def _check_limit(call: Call, resources: dict[str, Any]) -> None:
    count, limit = resources["InstanceCount"], call.backends.settings.max_instances
    if count > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{resources['InstanceType']} for transform job "
            f"usage' is {limit} Instances, with current utilization of 0 Instances and a request "
            f"delta of {count} Instances. Start the engine with a larger `--max-instances`.",
        )


def _not_found(name: str) -> ServiceError:
    return invalid(f"Could not find requested job with name: {name}")


def _summary(record: Record) -> Parameters:
    summary: Parameters = {
        "TransformJobName": record.name,
        "TransformJobArn": record.arn,
        "CreationTime": when(record.created_at),
        "LastModifiedTime": when(record.modified_at),
        "TransformJobStatus": record.status,
    }
    if "ended_at" in record.state:
        summary["TransformEndTime"] = when(record.state["ended_at"])
        if "failure_reason" in record.state:
            summary["FailureReason"] = record.state["failure_reason"]
    return summary
