"""Channels and S3 URIs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_contract.channel import (
    Channel,
    InvalidChannelError,
    InvalidS3UriError,
    S3Uri,
    parse_s3_uri,
)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("s3://bucket", S3Uri("bucket", "")),
        ("s3://bucket/", S3Uri("bucket", "")),
        ("s3://my.bucket-1/data/train", S3Uri("my.bucket-1", "data/train")),
        ("s3://bucket/a//b/", S3Uri("bucket", "a//b/")),
        ("s3://bucket/a%20b?c#d", S3Uri("bucket", "a%20b?c#d")),
    ],
)
def test_a_uri_splits_at_the_first_slash_and_the_key_is_left_alone(text: str, uri: S3Uri) -> None:
    assert parse_s3_uri(text) == uri


@given(st.text())
def test_any_key_comes_back_whole(key: str) -> None:
    assert parse_s3_uri(f"s3://bucket/{key}").key == key
    assert parse_s3_uri(str(S3Uri("bucket", key))) == S3Uri("bucket", key)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "bucket/key",
            "https://bucket/key",
            "S3://bucket",
            "s3:/bucket",
            "s3://",
            "s3:///key",
        ),
        *("s3://Bucket/k", "s3://b/k", "s3://a..b/k", "s3://-bad/k", "s3://a b c/k"),
        "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/x/k",
    ],
)
def test_what_is_no_s3_uri_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(InvalidS3UriError) as caught:
        parse_s3_uri(text)
    assert f"`{text}`" in caught.value.message


def test_joined_names_have_one_slash_between_them() -> None:
    assert str(S3Uri("bucket", "a/").joined("b", "/c")) == "s3://bucket/a/b/c"
    assert str(S3Uri("bucket", "").joined("job", "output", "x")) == "s3://bucket/job/output/x"


def test_a_channel_has_awss_defaults() -> None:
    entry = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/train"}},
    }
    assert Channel.from_request(entry) == Channel("train", S3Uri("bucket", "train"))
    assert Channel.from_request(entry, default_input_mode="FastFile").input_mode == "FastFile"


def test_a_channel_keeps_what_the_request_says() -> None:
    entry = {
        "ChannelName": "train",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "ManifestFile",
                "S3Uri": "s3://bucket/m",
                "S3DataDistributionType": "ShardedByS3Key",
            }
        },
        "ContentType": "text/csv",
        "CompressionType": "Gzip",
        "RecordWrapperType": "RecordIO",
        "InputMode": "Pipe",
    }
    assert Channel.from_request(entry, default_input_mode="File") == Channel(
        name="train",
        s3_uri=S3Uri("bucket", "m"),
        input_mode="Pipe",
        s3_data_type="ManifestFile",
        distribution="ShardedByS3Key",
        content_type="text/csv",
        compression="Gzip",
        record_wrapper="RecordIO",
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "x" * 65])
def test_a_channel_name_that_is_unfit_for_a_folder_is_refused(name: str) -> None:
    source = {"S3DataSource": {"S3Uri": "s3://bucket/x"}}
    with pytest.raises(InvalidChannelError):
        Channel.from_request({"ChannelName": name, "DataSource": source})


def test_a_channel_that_is_not_in_s3_says_so() -> None:
    source: dict[str, Any] = {"FileSystemDataSource": {"FileSystemId": "fs-1"}}
    with pytest.raises(InvalidChannelError, match="`train` has no S3DataSource"):
        Channel.from_request({"ChannelName": "train", "DataSource": source})
