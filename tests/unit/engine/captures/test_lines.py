"""A captured call as one line, as AWS writes it."""

import base64
import json
import uuid
from typing import Any

import pytest

from intermodal_engine.lifecycle.captures.lines import file_name, folder_of, line_of
from intermodal_engine.lifecycle.captures.rules import rule_of
from intermodal_engine.router.captures import Captured, CaptureRule
from intermodal_engine.router.instance import Backend

CONFIG = {
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/some/prefix/",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {
        "CsvContentTypes": ["text/csv"],
        "JsonContentTypes": ["application/json"],
    },
}
BACKEND = Backend("i-1", "Digits", "AllTraffic", 1, "a", "127.0.0.1", 1)
AT = 1645119905.678  # 2022-02-17T17:45:05Z


def rule(**changes: Any) -> CaptureRule:
    made = rule_of({**CONFIG, **changes})
    assert made is not None
    return made


def captured(
    request: bytes = b"1,2\n",
    content_type: str | None = "text/csv",
    *,
    answer: bytes = b"[0.5]",
    headers: dict[str, str] | None = None,
    by: CaptureRule | None = None,
) -> Captured:
    sent = {"Content-Type": content_type} if content_type else {}
    return Captured(
        by or rule(),
        BACKEND,
        AT,
        {**sent, **(headers or {})},
        [request[:1], request[1:]],
        {"content-type": "application/json; charset=utf-8"},
        [answer],
    )


def line(one: Captured) -> dict[str, Any]:
    text = line_of(one)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_the_line_is_that_of_aws() -> None:
    found = line(captured())
    event_id = found["eventMetadata"].pop("eventId")
    assert uuid.UUID(event_id).version == 4
    assert str(uuid.UUID(event_id)) == event_id
    assert found == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": "1,2\n",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "application/json; charset=utf-8",
                "mode": "OUTPUT",
                "data": "[0.5]",
                "encoding": "JSON",
            },
        },
        "eventMetadata": {"inferenceTime": "2022-02-17T17:45:05Z"},
        "eventVersion": "0",
    }


def test_what_the_caller_sent_along_is_in_the_metadata() -> None:
    headers = {
        "X-Amzn-SageMaker-Custom-Attributes": "trace=7",
        "X-Amzn-SageMaker-Inference-Id": "mine",
    }
    metadata = line(captured(headers=headers))["eventMetadata"]
    assert metadata["customAttributes"] == ["trace=7"]
    assert metadata["inferenceId"] == "mine"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-npy", b"1,2\n"),
        ("text/csv", b"\xff\xfe"),  # says text, and is none
        (None, b"1,2\n"),
    ],
)
def test_other_bytes_are_in_base64(content_type: str | None, body: bytes) -> None:
    part = line(captured(body, content_type))["captureData"]["endpointInput"]
    assert part["encoding"] == "BASE64"
    assert base64.b64decode(part["data"]) == body


def test_without_named_types_everything_is_in_base64() -> None:
    parts = line(captured(by=rule(CaptureContentTypeHeader={})))["captureData"]
    assert {part["encoding"] for part in parts.values()} == {"BASE64"}


def test_case_and_parameters_of_a_type_do_not_count() -> None:
    part = line(captured(content_type="Text/CSV; header=present"))["captureData"]["endpointInput"]
    assert (part["encoding"], part["observedContentType"]) == ("CSV", "Text/CSV; header=present")


def test_text_of_any_language_stays_as_it_is() -> None:
    assert "žluťoučký".encode() in line_of(captured("žluťoučký".encode()))


def test_requests_alone_and_answers_alone() -> None:
    only_input = rule(CaptureOptions=[{"CaptureMode": "Input"}])
    only_output = rule(CaptureOptions=[{"CaptureMode": "Output"}])
    both = rule(CaptureOptions=[{"CaptureMode": "InputAndOutput"}])
    assert list(line(captured(by=only_input))["captureData"]) == ["endpointInput"]
    assert list(line(captured(by=only_output))["captureData"]) == ["endpointOutput"]
    assert len(line(captured(by=both))["captureData"]) == 2


def test_files_are_in_the_folder_of_their_hour_and_named_by_their_minute() -> None:
    assert folder_of(captured()) == "some/prefix/Digits/AllTraffic/2022/02/17/17"
    at_the_root = captured(by=rule(DestinationS3Uri="s3://bucket"))
    assert folder_of(at_the_root) == "Digits/AllTraffic/2022/02/17/17"
    name = file_name(AT)
    assert name.startswith("45-05-678-")
    assert name.endswith(".jsonl")


@pytest.mark.parametrize(
    "config", [None, {**CONFIG, "EnableCapture": False}, {**CONFIG, "InitialSamplingPercentage": 0}]
)
def test_what_captures_nothing_has_no_rule(config: dict[str, Any] | None) -> None:
    assert rule_of(config) is None
