"""Errors reach the client under AWS's code, message and status, in the manner it understands."""

from typing import Any

import pytest

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.route import Route, named
from intermodal_engine.wire.serialize import serialize_error
from tests.helpers.wire_clients import client_result

ANY = HttpRequest("POST", "/some/path", "", {})


def seen_by_client(route: Route, error: ServiceError) -> dict[str, Any]:
    response = serialize_error(route, error, "request-1", ANY)
    return client_result(route.service_name, route.operation_name, response, route.protocol)


@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    [
        ("sagemaker", "DescribeTrainingJob", "ResourceNotFound", 400),
        ("sagemaker", "DescribeTrainingJob", "ValidationException", 400),
        ("sagemaker-runtime", "InvokeEndpoint", "ModelError", 424),
        ("sagemaker-runtime", "InvokeEndpoint", "ServiceUnavailable", 503),
        ("sagemaker-runtime", "InvokeEndpoint", "InternalFailure", 500),
        ("logs", "GetLogEvents", "ResourceNotFoundException", 400),
        ("iam", "GetRole", "NoSuchEntity", 404),
        ("iam", "GetRole", "NoSuchEntityException", 404),
        ("sts", "AssumeRole", "RegionDisabledException", 403),
        ("s3", "GetObject", "NoSuchKey", 404),
        ("s3", "GetObject", "InvalidRange", 416),
        ("s3", "GetObject", "AccessDenied", 403),
        ("s3", "PutObject", "XAmzContentSHA256Mismatch", 400),
        ("batch", "SubmitJob", "ClientException", 400),
        ("batch", "SubmitJob", "ServerException", 500),
        ("stepfunctions", "StartExecution", "ExecutionAlreadyExists", 400),
        ("cloudwatch", "GetMetricData", "InvalidNextToken", 400),
        ("ecr", "DescribeImages", "ImageNotFoundException", 400),
        ("ecr", "DescribeImages", "ServerException", 500),
    ],
)
def test_an_error_keeps_its_code_message_status_and_request_id(
    service: str, operation: str, code: str, status: int
) -> None:
    got = seen_by_client(named(service, operation), ServiceError(code, "It is <broken> & é."))
    # The model may say another code for a shape's name; that is what AWS sends.
    expected = {"NoSuchEntityException": "NoSuchEntity"}.get(code, code)
    assert got["Error"]["Message"] == "It is <broken> & é."
    assert got["ResponseMetadata"]["RequestId"] == "request-1"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == status
    assert got["Error"]["Code"] in (expected, "RegionDisabledException")


def test_a_status_that_the_operation_gives_wins() -> None:
    error = ServiceError("NotImplementedException", "not yet", status=501)
    assert serialize_error(named("sagemaker", "ListApps"), error, "r", ANY).status == 501


def test_a_modelled_error_carries_its_members() -> None:
    fields = {"OriginalStatusCode": 500, "OriginalMessage": "boom", "LogStreamArn": "arn"}
    error = ServiceError("ModelError", "the model failed", fields=fields | {"Unknown": 1})
    response = serialize_error(named("sagemaker-runtime", "InvokeEndpoint"), error, "r", ANY)
    assert response.body == (
        b'{"OriginalStatusCode":500,"OriginalMessage":"boom","LogStreamArn":"arn",'
        b'"Message":"the model failed"}'
    )
    assert ("x-amzn-ErrorType", "ModelError") in response.headers


def test_an_s3_error_names_the_resource_and_carries_further_fields() -> None:
    error = ServiceError("NoSuchKey", "gone", fields={"Key": "a&b"})
    body = serialize_error(named("s3", "GetObject"), error, "request-1", ANY).body
    assert isinstance(body, bytes)
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>')
    assert b"<Key>a&amp;b</Key><Resource>/some/path</Resource><RequestId>request-1</" in body


@pytest.mark.parametrize(("method", "status"), [("HEAD", 404), ("GET", 304)])
def test_no_body_where_http_allows_none(method: str, status: int) -> None:
    request = HttpRequest(method, "/data/a", "", {})
    error = ServiceError("NoSuchKey" if status == 404 else "NotModified", "no")
    response = serialize_error(named("s3", "HeadObject"), error, "r", request)
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize(
    ("headers", "content_type", "start"),
    [
        ({"x-amz-target": "SageMaker.ListApps"}, "application/x-amz-json-1.1", b'{"__type":"Oops"'),
        ({"content-type": "application/x-www-form-urlencoded"}, "text/xml", b"<ErrorResponse>"),
        ({"smithy-protocol": "rpc-v2-cbor"}, "application/cbor", b"\xa2f__type"),
        (
            {"authorization": "AWS4-HMAC-SHA256 Credential=A/20260131/r/sagemaker/aws4_request"},
            "application/json",
            b'{"message"',
        ),
        (
            {"authorization": "AWS4-HMAC-SHA256 Credential=A/20260131/r/s3/aws4_request"},
            "application/xml",
            b"<?xml",
        ),
    ],
)
def test_an_error_before_the_route_is_known_still_suits_the_client(
    headers: dict[str, str], content_type: str, start: bytes
) -> None:
    request = HttpRequest("POST", "/", "", headers)
    response = serialize_error(None, ServiceError("Oops", "no"), "r", request)
    assert ("Content-Type", content_type) in response.headers
    assert isinstance(response.body, bytes)
    assert response.body.startswith(start)
    assert response.status == 400
