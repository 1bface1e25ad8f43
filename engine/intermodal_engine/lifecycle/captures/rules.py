"""What a `DataCaptureConfig` of an endpoint's configuration means.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DataCaptureConfig.html
"""

from collections.abc import Mapping
from typing import Any

from intermodal_contract.channel import parse_s3_uri
from intermodal_engine.router.captures import CaptureRule

_INPUT = frozenset({"Input", "InputAndOutput"})
_OUTPUT = frozenset({"Output", "InputAndOutput"})


def is_enabled(config: Mapping[str, Any] | None) -> bool:
    """Whether a configuration is there, and captures: it does unless `EnableCapture` says no."""
    return config is not None and bool(config.get("EnableCapture", True))


def rule_of(config: Mapping[str, Any] | None) -> CaptureRule | None:
    """The rule by which calls are kept; None where none is."""
    if config is None or not is_enabled(config) or not config["InitialSamplingPercentage"]:
        return None
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    place = parse_s3_uri(config["DestinationS3Uri"])
    types = config.get("CaptureContentTypeHeader", {})
    return CaptureRule(
        config["InitialSamplingPercentage"] / 100,
        bool(modes & _INPUT),
        bool(modes & _OUTPUT),
        place.bucket,
        place.key.rstrip("/"),
        _lower(types.get("CsvContentTypes", ())),
        _lower(types.get("JsonContentTypes", ())),
    )


def _lower(types: list[str]) -> frozenset[str]:
    return frozenset(one.lower() for one in types)
