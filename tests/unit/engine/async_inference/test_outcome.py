"""Notifications of asynchronous invocations, as AWS writes them."""

import json
from typing import Any

import pytest

from intermodal_engine.lifecycle.async_inference.accepted import accepted
from intermodal_engine.lifecycle.async_inference.outcome import Outcome, notification, topic_of
from intermodal_engine.store.async_requests import AsyncRequest

SUCCESS, ERROR = (f"arn:aws:sns:us-east-1:123456789012:{name}" for name in ("good", "bad"))


def request(body: bytes | None = None, **output: Any) -> AsyncRequest:
    config = {
        "OutputConfig": {
            "S3OutputPath": "s3://out/of/it/",
            "S3FailurePath": "s3://failed",
            "NotificationConfig": {"SuccessTopic": SUCCESS, "ErrorTopic": ERROR},
            **output,
        }
    }
    parameters = {
        "EndpointName": "ep",
        "ContentType": "text/csv",
        "InputLocation": "s3://in/put",
        "InferenceId": "mine",
    }
    return accepted(
        config, parameters, body, endpoint_since=1.0, variant="v", region="us-east-1", now=1.5
    )


def message(outcome: Outcome, **output: Any) -> Any:
    return json.loads(notification(request(**output), outcome, 3.25))


def test_a_success_says_where_the_answer_lies() -> None:
    outcome = Outcome("", "text/csv; charset=utf-8", b"1,2")
    one = request()
    assert topic_of(one, outcome) == SUCCESS
    assert json.loads(notification(one, outcome, 3.25)) == {
        "awsRegion": "us-east-1",
        "eventTime": "1970-01-01T00:00:03.250Z",
        "receivedTime": "1970-01-01T00:00:01.500Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "endpointName": "ep",
            "contentType": "text/csv",
            "inputLocation": "s3://in/put",
        },
        "responseParameters": {
            "contentType": "text/csv; charset=utf-8",
            "outputLocation": f"s3://out/of/it/{one.request_id}.out",
        },
        "inferenceId": "mine",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_a_failure_says_why_and_tells_the_other_topic() -> None:
    outcome = Outcome("ClientError: oh", "application/json", b"{}")
    one = request()
    assert topic_of(one, outcome) == ERROR
    told = json.loads(notification(one, outcome, 3.25))
    assert (told["invocationStatus"], told["failureReason"]) == ("Failed", "ClientError: oh")
    assert told["responseParameters"] == {
        "contentType": "application/json",
        "failureLocation": f"s3://failed/{one.request_id}-error.out",
    }


@pytest.mark.parametrize(
    ("answer", "content_type", "expected"),
    [
        (b"1,2", "text/csv", {"content": "1,2", "encoding": "UTF-8"}),
        (b"\xff", "text/csv", {"content": "/w==", "encoding": "BASE64"}),
        (b"1", "application/x-npy", {"content": "MQ==", "encoding": "BASE64"}),
        (None, "text/csv", None),
    ],
)
def test_an_answer_is_part_of_it_where_it_is_wanted_and_small(
    answer: bytes | None, content_type: str, expected: Any
) -> None:
    wanted = {
        "SuccessTopic": SUCCESS,
        "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
    }
    outcome = Outcome("", content_type, answer)
    told = message(outcome, NotificationConfig=wanted)
    assert told["responseParameters"].get("responseBody") == expected
    assert "responseBody" not in message(outcome)["responseParameters"]


def test_nobody_is_told_where_no_topic_is_named() -> None:
    assert topic_of(request(NotificationConfig={}), Outcome()) is None


def test_without_a_failure_path_a_failure_lies_nowhere() -> None:
    told = message(Outcome("ClientError: oh"), S3FailurePath="")
    assert told["responseParameters"] == {}
