"""Data capture: what an endpoint was asked and has answered, kept in S3."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from intermodal.defaults import CAPTURE_KEY, defaults_of
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.session import Session

_MODES = {"REQUEST": "Input", "RESPONSE": "Output"}


class DataCaptureConfig:
    """What is captured, how much of it, and where it goes.

    Args:
        enable_capture: whether anything is.
        sampling_percentage: of the requests.
        destination_s3_uri: `model-monitor/data-capture` in the default bucket where `None`.
        kms_key_id: encrypts it.
        capture_options: `REQUEST`, `RESPONSE` or both.
        csv_content_types: kept as CSV instead of base64.
        json_content_types: kept as JSON instead of base64.
        sagemaker_session: whose default bucket; boto3's own resolution where `None`.
    """

    def __init__(
        self,
        enable_capture: bool,
        sampling_percentage: int = 20,
        destination_s3_uri: str | None = None,
        kms_key_id: str | None = None,
        capture_options: Sequence[str] | None = None,
        csv_content_types: Sequence[str] | None = None,
        json_content_types: Sequence[str] | None = None,
        sagemaker_session: "Session | None" = None,
    ) -> None:
        self.enable_capture = enable_capture
        self.sampling_percentage = sampling_percentage
        self.destination_s3_uri = destination_s3_uri or _default_place(sagemaker_session)
        defaults = defaults_of(sagemaker_session)
        self.kms_key_id: str | None = defaults.or_given(kms_key_id, *CAPTURE_KEY)
        self.capture_options = list(capture_options or _MODES)
        self.csv_content_types = list(csv_content_types or ["text/csv"])
        self.json_content_types = list(json_content_types or ["application/json"])

    def request(self) -> dict[str, Any]:
        """The entry as CreateEndpointConfig takes it."""
        request: dict[str, Any] = {
            "EnableCapture": self.enable_capture,
            "InitialSamplingPercentage": self.sampling_percentage,
            "DestinationS3Uri": self.destination_s3_uri,
            "CaptureOptions": [
                {"CaptureMode": _MODES.get(option.upper(), option)}
                for option in self.capture_options
            ],
            "CaptureContentTypeHeader": {
                "CsvContentTypes": self.csv_content_types,
                "JsonContentTypes": self.json_content_types,
            },
        }
        return request | ({"KmsKeyId": self.kms_key_id} if self.kms_key_id else {})


def _default_place(sagemaker_session: "Session | None") -> str:
    session = session_for(None, sagemaker_session)
    parts = (session.default_bucket(), session.default_bucket_prefix)
    return "s3://" + "/".join(filter(None, [*parts, "model-monitor", "data-capture"]))
