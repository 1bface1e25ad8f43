"""A secret is in the file that is its own, and in nothing that the engine writes or answers."""

import json
import stat
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, TRAINING_LOGS, job_request, run_job

pytestmark = pytest.mark.e2e

TELLS_ITS_KEYS = """
import json, os, pathlib
names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
keys = [os.environ[one] for one in names]
pathlib.Path("/opt/ml/model/keys.json").write_text(json.dumps(keys))
"""
FAILS = TELLS_ITS_KEYS + "\nraise SystemExit('this job gives up')\n"


def test_the_home_and_the_key_pair_are_their_owners_alone(engine: RunningEngine) -> None:
    assert stat.S_IMODE(engine.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((engine.home / "credentials.json").stat().st_mode) == 0o600


def test_no_secret_is_in_a_log_an_answer_or_any_other_file(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    answers = _work(engine, clients)
    pair = json.loads((engine.home / "credentials.json").read_bytes())
    job_secret, job_token = _keys_that_the_job_told(clients["s3"])[1:]
    own = pair["secret_access_key"].encode()
    for text in (*answers, *_printed(engine)):
        assert own not in text
        assert job_secret not in text
        assert job_token not in text
    holders = [path for path in _files(engine.home) if own in path.read_bytes()]
    assert [path.name for path in holders] == ["credentials.json"]
    written = [engine.home / "engine.log", *_files(engine.home / "logs")]
    assert len(written) > 2
    for path in written:
        content = path.read_bytes()
        assert job_secret not in content, path
        assert job_token not in content, path


def test_the_credentials_of_a_job_that_has_ended_open_nothing(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    run_job(clients["sagemaker"], job_request("ended", TELLS_ITS_KEYS, clients["s3"]))
    told = _keys_that_the_job_told(clients["s3"], "ended")
    access, secret, token = (one.decode() for one in told)
    keys = {
        "aws_access_key_id": access,
        "aws_secret_access_key": secret,
        "aws_session_token": token,
        "endpoint_url": engine.endpoint_url,
        "region_name": "us-east-1",
    }
    with pytest.raises(ClientError, match="ExpiredToken"):
        boto3.client("s3", **keys).list_objects_v2(Bucket=BUCKET)
    with pytest.raises(ClientError, match="ExpiredToken"):
        boto3.client("sagemaker", **keys).list_models()


def _work(engine: RunningEngine, clients: dict[str, Any]) -> list[bytes]:
    """A job that succeeds, one that fails, calls that are refused; what was answered."""
    sagemaker, s3 = clients["sagemaker"], clients["s3"]
    answers: list[Any] = [run_job(sagemaker, job_request("tells", TELLS_ITS_KEYS, s3))]
    answers.append(run_job(sagemaker, job_request("fails", FAILS, s3)))
    answers += clients["logs"].filter_log_events(logGroupName=TRAINING_LOGS)["events"]
    for path in ("/", "/demo", "/endpoints/x/invocations", "/_intermodal/health", "/metrics"):
        answers.append(_refusal(engine.endpoint_url + path))
    with pytest.raises(ClientError) as caught:
        sagemaker.describe_training_job(TrainingJobName="missing")
    answers.append(caught.value.response)
    return [json.dumps(one, default=str).encode() for one in answers]


def _refusal(url: str) -> str:
    scope = "AKIAEXAMPLE/20260101/us-east-1/s3/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"
    request = urllib.request.Request(url, headers={"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read())
    except urllib.error.HTTPError as error:
        return str(error.read())


def _printed(engine: RunningEngine) -> Iterator[bytes]:
    for command in (["status", "--json"], ["logs", "tells"], ["logs", "fails"], ["images"]):
        result = engine.cli(*command)
        yield (result.stdout + result.stderr).encode()


def _keys_that_the_job_told(s3: Any, job: str = "tells") -> list[bytes]:
    body = s3.get_object(Bucket=BUCKET, Key=f"output/{job}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=BytesIO(body)) as tar:
        member = tar.extractfile("keys.json")
        assert member is not None
        return [str(one).encode() for one in json.load(member)]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
