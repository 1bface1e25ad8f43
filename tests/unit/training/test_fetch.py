"""The source from S3, every request signed as botocore would sign it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_contract.artifact import pack
from intermodal_contract.channel import S3Uri
from intermodal_training.errors import SourceError
from intermodal_training.fetch import fetch_file, fetch_prefix
from tests.helpers.signed_s3 import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    SignedS3,
    serving_s3,
)
from tests.helpers.train_program import TrainProgram


@pytest.fixture
def s3() -> Iterator[SignedS3]:
    with serving_s3() as store:
        yield store


@pytest.fixture
def environment(s3: SignedS3) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    }


def packed(train: TrainProgram, text: str) -> bytes:
    archive = train.root / "made.tar.gz"
    pack(train.source({"train.py": text}), archive)
    return archive.read_bytes()


def test_an_archive_in_s3_is_fetched_and_run(
    train: TrainProgram, s3: SignedS3, environment: dict[str, str]
) -> None:
    s3.objects["bucket/job/source/sourcedir.tar.gz"] = packed(train, "print('from S3')")
    train.environment = environment
    result = train.run({}, source="s3://bucket/job/source/sourcedir.tar.gz")
    assert (result.code, result.out, result.err) == (0, "from S3\n", "")
    assert [path.name for path in train.paths.code.iterdir()] == ["train.py"]


def test_a_missing_archive_is_named(
    train: TrainProgram, s3: SignedS3, environment: dict[str, str]
) -> None:
    train.environment = environment
    result = train.run({}, source="s3://bucket/sourcedir.tar.gz")
    assert result.code == 1
    assert result.failure is not None
    assert result.failure.startswith(
        "the submitted source `s3://bucket/sourcedir.tar.gz` does not exist"
    )


@pytest.mark.parametrize("key", ["plain", "with space+plus/ünïcode", "a//b", "c~d'(e)*!&=@:,$%20"])
@pytest.mark.parametrize("token", [None, SESSION_TOKEN])
def test_any_key_is_signed_right(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str], key: str, token: str | None
) -> None:
    s3.objects[f"bucket/{key}"] = b"content"
    if token:
        environment["AWS_SESSION_TOKEN"] = token
    fetch_file(S3Uri("bucket", key), tmp_path / "x", environment)
    assert (tmp_path / "x").read_bytes() == b"content"


def test_a_prefix_is_fetched_whole_over_many_pages(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str]
) -> None:
    for number in range(5):
        s3.objects[f"bucket/code dir/sub/{number}.py"] = b"%d" % number
    s3.objects["bucket/code dir/"] = b""
    s3.objects["bucket/code dir2/other.py"] = b"not mine"
    fetch_prefix(S3Uri("bucket", "code dir"), tmp_path, environment)
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == [
        f"{number}.py" for number in range(5)
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]


def test_an_empty_prefix_and_a_hostile_key_are_refused(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str]
) -> None:
    with pytest.raises(SourceError, match="holds nothing"):
        fetch_prefix(S3Uri("bucket", "none"), tmp_path, environment)
    s3.objects["bucket/x/../../evil"] = b""
    with pytest.raises(SourceError, match="cannot be a file's name"):
        fetch_prefix(S3Uri("bucket", "x"), tmp_path / "in", environment)


def test_a_busy_s3_is_asked_again(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str]
) -> None:
    s3.objects["bucket/x"] = b"at last"
    s3.failures_left = 1
    fetch_file(S3Uri("bucket", "x"), tmp_path / "x", environment)
    assert (tmp_path / "x").read_bytes() == b"at last"
    assert len(s3.requests) == 2


def test_what_breaks_off_is_fetched_anew(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str]
) -> None:
    s3.objects |= {"bucket/in/x": b"whole", "bucket/in/y": b"too"}
    s3.cuts = [0, 2]
    fetch_file(S3Uri("bucket", "in/x"), tmp_path / "x", environment)
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert len(s3.requests) == 3
    s3.cuts = [40]  # the listing
    fetch_prefix(S3Uri("bucket", "in"), tmp_path / "in", environment)
    found = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    assert found == {"x": b"whole", "y": b"too"}


def test_what_always_breaks_off_is_refused(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    s3.objects["bucket/x"] = b"whole"
    s3.cuts = [3] * 6
    with pytest.raises(SourceError, match="cannot be fetched"):
        fetch_file(S3Uri("bucket", "x"), tmp_path / "x", environment)


@pytest.mark.parametrize(
    ("uri", "secret", "message"),
    [
        (S3Uri("bucket", "none"), SECRET_ACCESS_KEY, "`s3://bucket/none` does not exist"),
        (S3Uri("forbidden", "x"), SECRET_ACCESS_KEY, "S3 refuses access to `s3://forbidden/x`"),
        (S3Uri("bucket", "x"), "wrong", "SignatureDoesNotMatch"),
    ],
)
def test_a_refusal_says_what_and_why(
    tmp_path: Path,
    s3: SignedS3,
    environment: dict[str, str],
    uri: S3Uri,
    secret: str,
    message: str,
) -> None:
    environment["AWS_SECRET_ACCESS_KEY"] = secret
    with pytest.raises(SourceError) as caught:
        fetch_file(uri, tmp_path / "x", environment)
    assert message in caught.value.message
    assert len(s3.requests) == 1


def test_credentials_come_from_the_containers_endpoint_as_on_aws(
    tmp_path: Path, s3: SignedS3
) -> None:
    s3.objects["bucket/x"] = b"content"
    environment = {
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{s3.url}/credentials",
    }
    fetch_file(S3Uri("bucket", "x"), tmp_path / "x", environment)
    assert (tmp_path / "x").read_bytes() == b"content"


def test_other_credentials_are_boto3s_business(
    tmp_path: Path, s3: SignedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.objects["bucket/sub/x"] = b"content"
    s3.page_size = 10
    shared = tmp_path / "credentials"
    shared.write_text(
        f"[default]\naws_access_key_id={ACCESS_KEY_ID}\n"
        f"aws_secret_access_key={SECRET_ACCESS_KEY}\nregion=eu-west-1\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    fetch_prefix(S3Uri("bucket", "sub"), tmp_path / "out", {"AWS_ENDPOINT_URL": s3.url})
    assert (tmp_path / "out/x").read_bytes() == b"content"


def test_boto3_is_not_loaded_where_signed_http_does(
    tmp_path: Path, s3: SignedS3, environment: dict[str, str]
) -> None:
    s3.objects["bucket/x"] = b"content"
    script = (
        "import sys, pathlib\n"
        "from intermodal_contract.channel import S3Uri\n"
        "from intermodal_training.fetch import fetch_file\n"
        f"path = pathlib.Path({str(tmp_path / 'x')!r})\n"
        f"fetch_file(S3Uri('bucket', 'x'), path, {environment!r})\n"
        "print([name for name in sys.modules if name.startswith('boto')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
