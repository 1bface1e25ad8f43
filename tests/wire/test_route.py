"""Requests find the one operation that they ask for."""

import pytest

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.models import SERVICES, load_service
from intermodal_engine.wire.route import named, needs_body, resolve


def request(
    method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> HttpRequest:
    path, _, query = target.partition("?")
    return HttpRequest(method, path, query, headers or {}, body)


@pytest.mark.parametrize(
    ("method", "target", "headers", "operation"),
    [
        ("GET", "/", {}, "ListBuckets"),
        ("GET", "/?max-buckets=10&x-id=ListBuckets", {}, "ListBuckets"),
        ("PUT", "/data", {}, "CreateBucket"),
        ("PUT", "/data/", {}, "CreateBucket"),
        ("HEAD", "/data", {}, "HeadBucket"),
        ("GET", "/data", {}, "ListObjects"),
        ("GET", "/data?prefix=a&delimiter=%2F", {}, "ListObjects"),
        ("GET", "/data?list-type=2&prefix=a", {}, "ListObjectsV2"),
        ("GET", "/data?location", {}, "GetBucketLocation"),
        ("GET", "/data?location=", {}, "GetBucketLocation"),
        ("GET", "/data?uploads", {}, "ListMultipartUploads"),
        ("GET", "/data?versions&prefix=a", {}, "ListObjectVersions"),
        ("GET", "/data?lifecycle", {}, "GetBucketLifecycleConfiguration"),
        ("GET", "/data?analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("GET", "/data?analytics&id=1", {}, "GetBucketAnalyticsConfiguration"),
        ("POST", "/data?delete", {}, "DeleteObjects"),
        ("GET", "/data/a/b", {}, "GetObject"),
        ("GET", "/data/a/b?partNumber=1", {}, "GetObject"),
        ("GET", "/data/a/b?uploadId=u&max-parts=2", {}, "ListParts"),
        ("GET", "/data/a/b?acl", {}, "GetObjectAcl"),
        ("GET", "/data/a/b?attributes", {}, "GetObjectAttributes"),
        ("GET", "/data/a?tagging&versionId=1", {}, "GetObjectTagging"),
        ("HEAD", "/data/a", {}, "HeadObject"),
        ("PUT", "/data/a", {}, "PutObject"),
        ("PUT", "/data/a?x-id=PutObject", {}, "PutObject"),
        ("PUT", "/data/a", {"x-amz-copy-source": "data/b"}, "CopyObject"),
        ("PUT", "/data/a?partNumber=1&uploadId=u", {}, "UploadPart"),
        (
            "PUT",
            "/data/a?partNumber=1&uploadId=u",
            {"x-amz-copy-source": "data/b"},
            "UploadPartCopy",
        ),
        ("POST", "/data/a?uploads", {}, "CreateMultipartUpload"),
        ("POST", "/data/a?uploads=", {}, "CreateMultipartUpload"),
        ("POST", "/data/a?uploadId=u", {}, "CompleteMultipartUpload"),
        ("POST", "/data/a?select&select-type=2", {}, "SelectObjectContent"),
        ("DELETE", "/data/a", {}, "DeleteObject"),
        ("DELETE", "/data/a?uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/data", {}, "DeleteBucket"),
        ("DELETE", "/data?policy", {}, "DeleteBucketPolicy"),
    ],
)
def test_s3_is_routed_by_path_query_and_headers(
    method: str, target: str, headers: dict[str, str], operation: str
) -> None:
    assert resolve(request(method, target, headers), "s3").operation_name == operation


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/data/a/b/c", "a/b/c"),
        ("/data//a", "/a"),
        ("/data/a/", "a/"),
        ("/data/a%20b%2Fc+d", "a b/c+d"),
        ("/data/%E4%B8%AD", "中"),
        ("/data/a%0Ab", "a\nb"),
        ("/data/../x", "../x"),
    ],
)
def test_a_key_is_what_is_left_of_the_path_decoded_once(path: str, key: str) -> None:
    route = resolve(request("GET", path), "s3")
    assert route.uri_parameters == {"Bucket": "data", "Key": key}


def test_a_key_that_is_not_utf_8_is_an_invalid_uri() -> None:
    with pytest.raises(ServiceError, match="InvalidURI"):
        resolve(request("GET", "/data/%FF"), "s3")


def test_services_that_sign_alike_are_told_apart_by_target_and_path() -> None:
    described = request("POST", "/", {"x-amz-target": "SageMaker.DescribeTrainingJob"})
    assert resolve(described, "sagemaker").service_name == "sagemaker"
    invoked = resolve(request("POST", "/endpoints/my%20model/invocations"), "sagemaker")
    assert (invoked.service_name, invoked.operation_name) == ("sagemaker-runtime", "InvokeEndpoint")
    assert invoked.uri_parameters == {"EndpointName": "my model"}
    assert invoked.streams_input
    assert invoked.streams_output
    measured = resolve(request("PUT", "/BatchPutMetrics"), "sagemaker")
    assert measured.service_name == "sagemaker-metrics"


def test_the_operation_of_a_form_is_in_the_body_or_the_query() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    form = request("POST", "/", headers, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert needs_body(form, "sts")
    assert resolve(form, "sts").operation_name == "GetCallerIdentity"
    plain = request("GET", "/?Action=GetCallerIdentity&Version=2011-06-15")
    assert not needs_body(plain, "sts")
    assert resolve(plain, "sts").operation_name == "GetCallerIdentity"


def test_an_upload_of_a_form_to_s3_is_not_taken_for_the_query_protocol() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    upload = request("PUT", "/data/a", headers)
    assert not needs_body(upload, "s3")
    assert resolve(upload, "s3").operation_name == "PutObject"


@pytest.mark.parametrize(
    ("wanted", "signing_name", "code", "status"),
    [
        (
            request("POST", "/", {"x-amz-target": "SageMaker.Dance"}),
            "sagemaker",
            "UnknownOperationException",
            400,
        ),
        (request("GET", "/dance"), "sagemaker", "UnknownOperationException", 404),
        (request("GET", "/?Action=Dance&Version=2011-06-15"), "sts", "InvalidAction", 400),
        (request("GET", "/?Action=GetCallerIdentity&Version=1"), "sts", "InvalidAction", 400),
        (request("PATCH", "/data/a"), "s3", "MethodNotAllowed", None),
        (request("POST", "/data/a"), "s3", "MethodNotAllowed", None),
        (request("GET", "/"), "quantum", "UnknownOperationException", 404),
        (
            request("POST", "/service/Nobody/operation/Dance"),
            "monitoring",
            "UnknownOperationException",
            404,
        ),
    ],
)
def test_what_no_operation_answers_is_an_error_that_says_so(
    wanted: HttpRequest, signing_name: str, code: str, status: int | None
) -> None:
    with pytest.raises(ServiceError) as caught:
        resolve(wanted, signing_name)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_an_unsigned_request_is_routed_as_far_as_it_says_what_it_is() -> None:
    assert resolve(request("GET", "/data/a"), None).operation_name == "GetObject"
    target = request("POST", "/", {"x-amz-target": "Logs_20140328.DescribeLogGroups"})
    assert resolve(target, None).service_name == "logs"
    assumed = request("GET", "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15")
    assert resolve(assumed, None).service_name == "sts"


def test_an_operation_can_be_named_without_a_request() -> None:
    assert named("logs", "GetLogEvents").protocol == "json"
    with pytest.raises(LookupError):
        named("logs", "Dance")
    with pytest.raises(LookupError):
        load_service("quantum")


def test_the_table_of_services_says_what_the_models_say() -> None:
    for entry in SERVICES:
        metadata = load_service(entry.name).metadata
        assert entry.signing_name == metadata.get("signingName", metadata["endpointPrefix"])
        prefix = metadata.get("targetPrefix") if metadata["protocol"] != "rest-json" else None
        assert entry.target_prefix == prefix
