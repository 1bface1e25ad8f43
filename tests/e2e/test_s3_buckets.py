"""Buckets, listings and refusals of S3 as boto3 sees them."""

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine

pytestmark = pytest.mark.e2e


@pytest.fixture
def s3(engine: RunningEngine) -> Any:
    return engine.client("s3", retries={"total_max_attempts": 1})


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"test-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


def refusal(error: "pytest.ExceptionInfo[ClientError]") -> tuple[str, int]:
    """The error's code and HTTP status."""
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def keys(s3: Any, bucket: str, **parameters: Any) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **parameters)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def test_buckets_come_and_go(s3: Any, bucket: str, engine: RunningEngine) -> None:
    s3.create_bucket(Bucket=bucket)  # harmless in us-east-1
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket=bucket)
    assert refusal(caught) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="key")
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket=bucket)
    assert refusal(caught) == ("404", 404)
    assert not (engine.home / "s3" / bucket).exists()


def test_bad_names_owners_and_keys_have_awss_errors(s3: Any, bucket: str) -> None:
    calls: dict[tuple[str, int], Any] = {
        ("InvalidBucketName", 400): lambda: s3.create_bucket(Bucket="Not_Valid"),
        ("NoSuchBucket", 404): lambda: s3.list_objects_v2(Bucket="there-is-none"),
        ("NoSuchKey", 404): lambda: s3.get_object(Bucket=bucket, Key="none"),
        ("KeyTooLongError", 400): lambda: s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b""),
        ("AccessDenied", 403): lambda: s3.list_objects_v2(
            Bucket=bucket, ExpectedBucketOwner="999999999999"
        ),
        ("NoSuchBucketPolicy", 404): lambda: s3.get_bucket_policy(Bucket=bucket),
    }
    for expected, call in calls.items():
        with pytest.raises(ClientError) as caught:
            call()
        assert refusal(caught) == expected
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_listings_page_and_roll_up_in_both_versions(s3: Any, bucket: str) -> None:
    names = ["a", "a/1", "a/2", "a-b", "b/x/1", "b/y", "c é+%"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    ordered = sorted(names, key=str.encode)
    assert keys(s3, bucket, PaginationConfig={"PageSize": 2}) == ordered
    assert keys(s3, bucket, Prefix="a/") == ["a/1", "a/2"]
    assert keys(s3, bucket, StartAfter="b") == ["b/x/1", "b/y", "c é+%"]
    for version in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(version).paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
        )
        entries = [
            (page.get("Contents") or [{"Key": None}])[0]["Key"]
            or page["CommonPrefixes"][0]["Prefix"]
            for page in pages
        ]
        assert entries == ["a", "a-b", "a/", "b/", "c é+%"], version
    empty = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (empty["KeyCount"], empty["IsTruncated"]) == (0, False)
