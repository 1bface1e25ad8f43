"""The oracle is the real client: what we write, botocore reads as the same result."""

from collections.abc import AsyncIterator
from datetime import datetime
from io import BytesIO
from typing import Any

import pytest
from botocore.model import OperationModel, Shape

from intermodal_engine.wire.http import FileSlice
from intermodal_engine.wire.models import SERVICES, load_service
from intermodal_engine.wire.route import named
from intermodal_engine.wire.serialize import serialize
from tests.helpers.wire_clients import client_result, operations, sample

CASES = [
    (entry.name, protocol)
    for entry in SERVICES
    for protocol in load_service(entry.name).protocols
    if protocol == load_service(entry.name).protocol or entry.name in ("cloudwatch", "sqs")
]
# botocore reads the first in a hook outside its parsers, tested by itself; in the second, which AWS
# has replaced, two members share one name.
NOT_COMPARED = {"GetBucketLocation", "GetBucketNotification"}


@pytest.mark.parametrize(("service", "protocol"), CASES)
def test_every_result_that_we_write_is_read_by_botocore_as_the_same_result(
    service: str, protocol: str
) -> None:
    wrong = []
    seen = 0
    for operation in operations(service):
        if operation.has_event_stream_output or operation.name in NOT_COMPARED:
            continue
        for full in (False, True):
            fault = _fault(service, protocol, operation, full=full)
            seen += 1
            if fault:
                wrong.append(fault)
    assert not wrong, "\n".join(wrong[:20])
    assert seen > 0


def _fault(service: str, protocol: str, operation: OperationModel, *, full: bool) -> str | None:
    shape = operation.output_shape
    result = sample(shape, full=full) if shape else {}
    result |= {name: 201 for name in result if _is_status(shape, name)}
    response = serialize(named(service, operation.name, protocol), result, "request-1")
    got = client_result(service, operation.name, response, protocol)
    metadata = got.pop("ResponseMetadata")
    # botocore leaves it out where CBOR has no output.
    if metadata.get("RequestId", "request-1") != "request-1":
        return f"{operation.name}: {metadata}"
    # The length is the sender's business, and the status is always there.
    result.pop("ContentLength", None)
    got.pop("ContentLength", None)
    got = {
        name: value for name, value in got.items() if name in result or not _is_status(shape, name)
    }
    # botocore makes an empty structure of an empty payload.
    got = {
        name: value for name, value in got.items() if name in result or value not in ({}, b"", "")
    }
    expected = _plain(result)
    return None if _plain(got) == expected else f"{operation.name}\n  {expected}\n  {_plain(got)}"


def _is_status(shape: Shape | None, name: str) -> bool:
    return shape is not None and shape.members[name].serialization.get("location") == "statusCode"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def test_the_bucket_location_is_the_text_of_the_root_and_nothing_in_us_east_1() -> None:
    route = named("s3", "GetBucketLocation")
    assert serialize(route, {"LocationConstraint": "eu-west-1"}, "r").body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint '
        b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    )
    empty = serialize(route, {"LocationConstraint": None}, "r").body
    assert isinstance(empty, bytes)
    assert b'/2006-03-01/"></LocationConstraint>' in empty


def test_a_listing_has_the_root_element_that_every_client_expects() -> None:
    result = {"Name": "data", "Contents": [{"Key": "a&b", "Size": 3}], "IsTruncated": False}
    body = serialize(named("s3", "ListObjectsV2"), result, "r").body
    assert isinstance(body, bytes)
    assert b"<ListBucketResult xmlns=" in body
    assert b"<Contents><Key>a&amp;b</Key><Size>3</Size></Contents>" in body


def test_members_that_are_none_are_left_out() -> None:
    resources = {"InstanceType": "ml.m5.large", "VolumeKmsKeyId": None}
    result = {"TrainingJobName": "job", "FailureReason": None, "ResourceConfig": resources}
    response = serialize(named("sagemaker", "DescribeTrainingJob"), result, "r")
    assert response.body == (
        b'{"TrainingJobName":"job","ResourceConfig":{"InstanceType":"ml.m5.large"}}'
    )


@pytest.mark.parametrize(
    ("service", "operation", "result"),
    [
        ("sagemaker", "DescribeTrainingJob", {"JobName": "x"}),
        ("sagemaker", "DescribeTrainingJob", {"ResourceConfig": {"Instances": 1}}),
        ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": 7}),
        ("sagemaker", "StopTrainingJob", {"TrainingJobName": "x"}),
        ("s3", "ListObjectsV2", {"Contents": [{"Name": "x"}]}),
        ("s3", "PutObject", {"Etag": "x"}),
        ("sts", "GetCallerIdentity", {"AccountId": "1"}),
        ("cloudwatch", "ListMetrics", {"Metric": []}),
    ],
)
def test_a_result_that_the_model_does_not_know_is_a_fault_of_the_operation(
    service: str, operation: str, result: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        serialize(named(service, operation), result, "r")


def test_a_head_response_has_no_body_but_the_length_that_the_object_has() -> None:
    response = serialize(named("s3", "HeadObject"), {"ContentLength": 123, "ETag": '"e"'}, "r")
    assert response.body == b""
    assert ("Content-Length", "123") in response.headers


def test_the_length_of_bytes_is_left_to_the_sender_that_of_a_stream_is_not() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"abc"

    route = named("s3", "GetObject")
    whole = serialize(route, {"Body": b"abc", "ContentLength": 3}, "r")
    assert "Content-Length" not in dict(whole.headers)
    body = stream()
    streamed = serialize(route, {"Body": body, "ContentLength": 3}, "r")
    assert streamed.body is body
    assert ("Content-Length", "3") in streamed.headers


def test_a_range_of_an_object_is_answered_with_206() -> None:
    result = {"Body": b"b", "ContentRange": "bytes 1-1/3"}
    assert serialize(named("s3", "GetObject"), result, "r").status == 206


def test_a_file_is_passed_on_untouched() -> None:
    part = FileSlice(BytesIO(b"abc"), 1, 1)
    assert serialize(named("s3", "GetObject"), {"Body": part}, "r").body is part


def test_a_value_cannot_break_out_of_its_header() -> None:
    result = {"Body": b"", "Metadata": {"note": "a\r\nSet-Cookie: x"}}
    response = serialize(named("s3", "GetObject"), result, "r")
    assert ("x-amz-meta-note", "a  Set-Cookie: x") in response.headers


def test_s3_may_answer_the_text_of_a_date_as_it_was_sent() -> None:
    response = serialize(named("s3", "GetObject"), {"Body": b"", "Expires": "in a while"}, "r")
    assert ("Expires", "in a while") in response.headers


def test_a_moment_may_be_naive_or_seconds_since_the_epoch() -> None:
    route = named("sagemaker", "DescribeTrainingJob")
    naive = datetime(2026, 1, 31, 12, 0, 0, 250999)
    for moment, written in ((naive, b"1769860800.251"), (1769860800, b"1769860800")):
        response = serialize(route, {"CreationTime": moment}, "r")
        assert response.body == b'{"CreationTime":' + written + b"}"
