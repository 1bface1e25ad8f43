"""Data capture as its readers see it: JSON lines under a prefix of S3."""

import json
import time
from typing import Any

PATIENCE_S = 30.0
TYPES = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}


def capture_config(destination: str, **changes: Any) -> dict[str, Any]:
    """A `DataCaptureConfig` that captures everything, text as it is."""
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": destination,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": TYPES,
        **changes,
    }


def captured_lines(s3: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    """All lines by now, in the order of their files."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    texts = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def wait_for_lines(s3: Any, bucket: str, prefix: str, count: int) -> list[dict[str, Any]]:
    """Waits until there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    while len(found := captured_lines(s3, bucket, prefix)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} calls were captured"
        time.sleep(0.1)
    return found


def data_of(line: dict[str, Any], mode: str) -> Any:
    """What a line has of the request (`Input`) or the answer (`Output`)."""
    return line["captureData"][f"endpoint{mode}"]["data"]
