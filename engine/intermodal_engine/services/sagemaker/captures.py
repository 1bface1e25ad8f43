"""Data capture: what a configuration may say, and what Describe calls show of it."""

from collections.abc import Mapping
from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
from intermodal_engine.lifecycle.captures.rules import is_enabled
from intermodal_engine.services.call import Parameters
from intermodal_engine.services.sagemaker.resources import invalid
from intermodal_engine.store.records import Record


def check_destination(config: Mapping[str, Any]) -> None:
    """Makes sure that a `DataCaptureConfig` says where captures go.

    Whether the bucket is there shows when something is written, as on AWS.

    Raises:
        ServiceError: its `DestinationS3Uri` names no place in S3.
    """
    try:
        parse_s3_uri(config["DestinationS3Uri"])
    except InvalidS3UriError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise invalid(f"DestinationS3Uri of DataCaptureConfig: {error.message}{hint}") from error


def summary_of(config: Mapping[str, Any]) -> Parameters:
    """`DataCaptureConfig` as DescribeEndpoint shows it."""
    is_started = is_enabled(config)
    return {
        "EnableCapture": is_started,
        "CaptureStatus": "Started" if is_started else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


def capture_of_update(
    record: Record, config: Record, parameters: Parameters
) -> dict[str, Any] | None:
    """What an endpoint captures after an update: as its new configuration says.

    With `RetainAllVariantProperties` as it does now, unless `ExcludeRetainedVariantProperties`
    names `DataCaptureConfig`.
    """
    named: dict[str, Any] | None = config.request.get("DataCaptureConfig")
    excluded = {
        one["VariantPropertyType"] for one in parameters.get("ExcludeRetainedVariantProperties", [])
    }
    if not parameters.get("RetainAllVariantProperties") or "DataCaptureConfig" in excluded:
        return named
    state = record.state
    present: dict[str, Any] | None = (
        state["deployments"].get(str(state["current"]), {}).get("capture")
    )
    return present
