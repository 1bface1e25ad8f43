"""Credentials, regions, roles and connections that fail: named, and nothing is left half done."""

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from intermodal import Session
from intermodal.errors import (
    ConnectionLostError,
    CredentialsMissingError,
    RoleNotFoundError,
    UnknownRegionError,
)
from tests.helpers.fake_aws import FakeAws, FakeServiceError


def broken_once(operation: str) -> Callable[[str], BaseException | None]:
    """A fault: the next such request meets a connection that closes."""

    def fault(asked: str) -> BaseException | None:
        return ConnectionClosedError(endpoint_url="https://x") if asked == operation else None

    return fault


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("no_aws")
def test_missing_credentials_are_told_before_anything_is_sent() -> None:
    session = Session(boto3.Session(region_name="us-west-2"))

    with pytest.raises(CredentialsMissingError, match="finds no AWS credentials") as raised:
        session.default_bucket()
    assert "LocalSession()" in (raised.value.hint or "")


@pytest.mark.usefixtures("no_aws")
def test_a_region_that_is_nowhere_is_told_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    session = Session(boto3.Session("AKID", "secret", region_name="us-wset-2"))

    with pytest.raises(UnknownRegionError, match="`us-wset-2` is no AWS region") as raised:
        session.client("sagemaker")
    assert raised.value.hint == "did you mean `us-west-2`?"


@pytest.mark.usefixtures("no_aws")
def test_any_region_will_do_where_an_endpoint_is_named() -> None:
    session = Session(
        boto3.Session("AKID", "secret", region_name="nowhere-1"), endpoint_url="http://127.0.0.1:9"
    )

    assert session.client("sagemaker").meta.region_name == "nowhere-1"


def test_expired_credentials_are_told_in_the_services_words_and_what_to_do(
    aws: FakeAws, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expired(request: Any) -> Any:
        raise FakeServiceError(400, "ExpiredTokenException", "The security token has expired")

    monkeypatch.setattr(aws, "_describe_endpoint", expired)

    with pytest.raises(ClientError, match="token has expired\nhint: the credentials have expired"):
        session.describe_endpoint("end")


def test_a_role_that_is_not_there_is_named(
    aws: FakeAws, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(form: Any) -> str:
        raise FakeServiceError(404, "NoSuchEntity", "The role cannot be found.")

    monkeypatch.setattr(aws, "_get_role", unknown)

    with pytest.raises(RoleNotFoundError, match="there is no role `Nobody`"):
        session.expand_role("Nobody")


def test_throttling_is_waited_out(aws: FakeAws, session: Session) -> None:
    throttled = 0

    def fault(operation: str) -> BaseException | None:
        nonlocal throttled
        if operation == "CreateModel" and throttled < 2:
            throttled += 1
        return None

    aws.faults.append(fault)
    original = aws._create_model

    def busy(request: dict[str, Any]) -> dict[str, Any]:
        if throttled < 2:
            raise FakeServiceError(400, "ThrottlingException", "Rate exceeded")
        return original(request)

    aws._create_model = busy  # type: ignore[method-assign]

    assert session.create_model("m", "arn:aws:iam::123456789012:role/R", "image") == "m"
    assert throttled == 2


def test_a_connection_that_drops_during_an_upload_is_taken_up_again(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    for index in range(20):
        (tmp_path / f"{index:02d}").write_text(str(index))
    aws.faults += [broken_once("PutObject"), broken_once("PutObject")]

    session.upload_data(tmp_path, "mybucket", "p")

    assert session.list_s3_files("mybucket", "p/") == [f"p/{index:02d}" for index in range(20)]


def test_a_folder_that_was_uploaded_in_part_is_said_to_be(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    for index in range(5):
        (tmp_path / f"{index}").write_text(str(index))
    aws.faults += [broken_once("PutObject") for _ in range(100)]

    with pytest.raises(ConnectionClosedError) as raised:
        session.upload_data(tmp_path, "mybucket", "p")
    assert "the folder is not whole in `s3://mybucket`" in raised.value.__notes__[0]


class Breaking(io.BytesIO):
    """A body that is cut off after half of it."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size)[:2] if not self.tell() else b""


def test_a_download_that_breaks_is_begun_again_and_leaves_no_piece(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    from intermodal.storage import Storage
    from intermodal_contract.channel import S3Uri

    client = session.client("s3")
    aws.objects["mybucket", "k"] = b"whole"
    breaks = [True, True, False]
    lock = threading.Lock()

    def cut(parsed: dict[str, Any], **_: Any) -> None:
        from botocore.response import StreamingBody

        with lock:
            if breaks.pop(0):
                parsed["Body"] = StreamingBody(Breaking(b"whole"), 5)

    client.meta.events.register("after-call.s3.GetObject", cut)

    Storage(client).get(S3Uri("mybucket", "k"), tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == b"whole"

    breaks[:] = [True] * 4
    with pytest.raises(ConnectionLostError, match="broke 4 times while `s3://mybucket/k`"):
        Storage(client).get(S3Uri("mybucket", "k"), tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k"]
