"""S3 as boto3 sees it: a real engine, plain clients, AWS's answers."""

import http.client
import io
import os
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine

pytestmark = pytest.mark.e2e

MIB = 1 << 20


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


@pytest.mark.parametrize(
    "key", ["a", "a/b c+d%20&=é\u4e2d.txt", "../../etc", "a//b/", "x" * 1000, "%~", "a?b#c;d,e'f"]
)
def test_an_object_comes_back_as_it_went_whatever_its_key(s3: Any, bucket: str, key: str) -> None:
    put = s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=b"hello",
        ContentType="text/x",
        ContentDisposition='attachment; filename="x"',
        CacheControl="no-cache",
        Metadata={"Owner": "me"},
    )
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == b"hello"
    assert got["ETag"] == put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert (got["ContentType"], got["CacheControl"]) == ("text/x", "no-cache")
    assert got["ContentDisposition"] == 'attachment; filename="x"'
    assert got["Metadata"] == {"owner": "me"}
    assert keys(s3, bucket) == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert keys(s3, bucket) == []


def test_ranges_and_parts_of_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"0123456789")

    def part(header: str) -> tuple[bytes, str | None, int]:
        got = s3.get_object(Bucket=bucket, Key="key", Range=header)
        status = got["ResponseMetadata"]["HTTPStatusCode"]
        return got["Body"].read(), got.get("ContentRange"), status

    assert part("bytes=2-4") == (b"234", "bytes 2-4/10", 206)
    assert part("bytes=7-") == (b"789", "bytes 7-9/10", 206)
    assert part("bytes=-3") == (b"789", "bytes 7-9/10", 206)
    assert part("bytes=8-100") == (b"89", "bytes 8-9/10", 206)
    assert part("nonsense") == (b"0123456789", None, 200)
    with pytest.raises(ClientError) as caught:
        part("bytes=10-")
    assert refusal(caught) == ("InvalidRange", 416)
    head = s3.head_object(Bucket=bucket, Key="key", Range="bytes=2-4")
    assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (3, 206)


def test_conditions_of_reads(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"x")["ETag"]
    past, future = datetime.now(UTC) - timedelta(1), datetime.now(UTC) + timedelta(1)

    def outcome(**conditions: Any) -> tuple[str, int]:
        try:
            s3.get_object(Bucket=bucket, Key="key", **conditions)["Body"].read()
        except ClientError as error:
            meta = error.response["ResponseMetadata"]
            return error.response["Error"]["Code"], meta["HTTPStatusCode"]
        return "", 200

    assert outcome(IfMatch=etag) == outcome(IfNoneMatch='"other"') == ("", 200)
    assert outcome(IfModifiedSince=past) == outcome(IfUnmodifiedSince=future) == ("", 200)
    assert outcome(IfNoneMatch=etag) == outcome(IfModifiedSince=future) == ("304", 304)
    assert outcome(IfMatch='"other"') == ("PreconditionFailed", 412)
    assert outcome(IfUnmodifiedSince=past) == ("PreconditionFailed", 412)
    assert outcome(IfMatch=etag, IfUnmodifiedSince=past) == ("", 200)


def test_conditions_of_writes(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="key", Body=b"2", IfNoneMatch="*")
    assert refusal(caught) == ("PreconditionFailed", 412)
    s3.put_object(Bucket=bucket, Key="key", Body=b"3", IfMatch=etag)
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="key", Body=b"4", IfMatch=etag)
    assert refusal(caught) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"3"


def test_a_large_upload_goes_in_parts_and_comes_back_in_ranges(
    s3: Any, bucket: str, engine: RunningEngine
) -> None:
    body = os.urandom(21 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big", ExtraArgs={"ContentType": "x/big"})
    stored = engine.home / "s3" / bucket / "big"
    assert stored.read_bytes() == body
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"')
    assert head["ChecksumType"] in {"COMPOSITE", "FULL_OBJECT"}
    assert head["ContentType"] == "x/big"
    received = io.BytesIO()
    s3.download_fileobj(bucket, "big", received, Config=TransferConfig(max_concurrency=4))
    assert received.getvalue() == body
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["Body"].read() == body[8 * MIB : 16 * MIB]
    assert second["PartsCount"] == 3
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="big", ObjectAttributes=["ETag", "ObjectParts", "ObjectSize"]
    )
    assert attributes["ObjectSize"] == len(body)
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3
    assert not [path for path in (engine.home / "tmp").rglob("*") if path.is_file()]


def test_an_upload_step_by_step(s3: Any, bucket: str) -> None:
    def begin() -> str:
        return str(s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"])

    def send(upload_id: str, number: int, body: bytes) -> dict[str, Any]:
        sent = s3.upload_part(
            Bucket=bucket, Key="key", UploadId=upload_id, PartNumber=number, Body=body
        )
        return {"PartNumber": number, "ETag": sent["ETag"]}

    def complete(upload_id: str, parts: list[dict[str, Any]]) -> Any:
        return s3.complete_multipart_upload(
            Bucket=bucket, Key="key", UploadId=upload_id, MultipartUpload={"Parts": parts}
        )

    upload = begin()
    first, last = send(upload, 1, b"a" * 5 * MIB), send(upload, 2, b"end")
    listed = s3.list_parts(Bucket=bucket, Key="key", UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (2, 3)]
    open_uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [entry["UploadId"] for entry in open_uploads] == [upload]
    refused = {
        "InvalidPartOrder": [last, first],
        "InvalidPart": [first, {**last, "ETag": '"00000000000000000000000000000000"'}],
        "MalformedXML": [],
    }
    for code, parts in refused.items():
        with pytest.raises(ClientError) as caught:
            complete(upload, parts)
        assert refusal(caught) == (code, 400)
    done = complete(upload, [first, last])
    assert complete(upload, [first, last])["ETag"] == done["ETag"], "a repeated answer"
    assert s3.head_object(Bucket=bucket, Key="key")["ContentLength"] == 5 * MIB + 3
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)

    small = begin()
    parts = [send(small, 1, b"small"), send(small, 2, b"end")]
    with pytest.raises(ClientError) as caught:
        complete(small, parts)
    assert refusal(caught) == ("EntityTooSmall", 400)
    s3.abort_multipart_upload(Bucket=bucket, Key="key", UploadId=small)
    with pytest.raises(ClientError) as caught:
        send(small, 3, b"late")
    assert refusal(caught) == ("NoSuchUpload", 404)


def test_copies_keep_or_replace_what_was_said_of_the_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b+c", Body=b"0123456789", Metadata={"k": "v"})
    source = {"Bucket": bucket, "Key": "a b+c"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    assert s3.head_object(Bucket=bucket, Key="kept")["Metadata"] == {"k": "v"}
    s3.copy_object(
        Bucket=bucket,
        Key="kept",
        CopySource={"Bucket": bucket, "Key": "kept"},
        MetadataDirective="REPLACE",
        ContentType="x/y",
    )
    head = s3.head_object(Bucket=bucket, Key="kept")
    assert (head["Metadata"], head["ContentType"]) == ({}, "x/y")
    with pytest.raises(ClientError) as caught:
        s3.copy_object(Bucket=bucket, Key="a b+c", CopySource=source)
    assert refusal(caught) == ("InvalidRequest", 400)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="joined")["UploadId"]
    part = s3.upload_part_copy(
        Bucket=bucket,
        Key="joined",
        UploadId=upload,
        PartNumber=1,
        CopySource=source,
        CopySourceRange="bytes=2-5",
    )["CopyPartResult"]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="joined",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert s3.get_object(Bucket=bucket, Key="joined")["Body"].read() == b"2345"


def test_many_objects_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"{number}", Body=b"")
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ("0", "1", "none")]}
    )
    assert [entry["Key"] for entry in answer["Deleted"]] == ["0", "1", "none"]
    assert keys(s3, bucket) == ["2", "3", "4"]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_verified_stored_and_answered(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="key", Body=b"abc", ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"abc", "botocore compares the checksum itself"


def test_wrong_digests_are_refused_and_nothing_is_stored(s3: Any, bucket: str) -> None:
    wrong = [
        {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"ChecksumCRC32": "AAAAAA=="},
        {"ChecksumSHA256": "A" * 43 + "="},
    ]
    for digest in wrong:
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket=bucket, Key="key", Body=b"abc", **digest)
        assert refusal(caught) == ("BadDigest", 400)
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="key", Body=b"abc", ContentMD5="short")
    assert refusal(caught) == ("InvalidDigest", 400)
    assert keys(s3, bucket) == []


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_link_works_without_credentials(
    engine: RunningEngine, bucket: str, version: str
) -> None:
    s3 = engine.client("s3", signature_version=version)

    def send(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=10)
        with closing(connection):
            connection.request(method, url.removeprefix(engine.endpoint_url), body)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b"})
    assert send("PUT", put, b"by link")[0] == 200
    overrides = {"ResponseContentType": "x/z", "ResponseContentDisposition": "inline"}
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b", **overrides})
    status, body, headers = send("GET", get)
    assert (status, body) == (200, b"by link")
    assert headers["Content-Type"] == "x/z"
    assert headers["Content-Disposition"] == "inline"
    assert send("GET", get.replace("a%20b", "other"))[0] == 403


def test_tags_of_objects(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"", Tagging="a=1&b=x%20y", Metadata={"k": "v"})
    tags = s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "x y"}]
    s3.put_object_tagging(Bucket=bucket, Key="key", Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    assert s3.head_object(Bucket=bucket, Key="key")["TagCount"] == 1
    s3.delete_object_tagging(Bucket=bucket, Key="key")
    assert s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] == []
    assert s3.head_object(Bucket=bucket, Key="key")["Metadata"] == {"k": "v"}


def test_a_file_that_a_person_drops_in_is_an_object(
    s3: Any, bucket: str, engine: RunningEngine
) -> None:
    folder = engine.home / "s3" / bucket / "data"
    folder.mkdir()
    (folder / "x.csv").write_bytes(b"1,2\n")
    assert keys(s3, bucket) == ["data/x.csv"]
    assert s3.get_object(Bucket=bucket, Key="data/x.csv")["Body"].read() == b"1,2\n"


def test_objects_and_open_uploads_survive_a_killed_engine(
    s3: Any, bucket: str, engine: RunningEngine
) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"kept", Metadata={"k": "v"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    part = s3.upload_part(
        Bucket=bucket, Key="big", UploadId=upload, PartNumber=1, Body=b"a" * 5 * MIB
    )
    engine.kill()
    engine.start()
    assert s3.head_object(Bucket=bucket, Key="key")["Metadata"] == {"k": "v"}
    last = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=2, Body=b"end")
    parts = [{"PartNumber": n, "ETag": p["ETag"]} for n, p in enumerate((part, last), start=1)]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == 5 * MIB + 3
