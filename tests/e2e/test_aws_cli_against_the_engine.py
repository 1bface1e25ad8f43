"""The AWS CLI, pointed by `intermodal env`, as people use it."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, TRAINING_LOGS, job_request, run_job

pytestmark = pytest.mark.e2e
AWS = Path(sys.executable).with_name("aws")


@pytest.fixture(scope="module")
def aws(engine: RunningEngine, clients: dict[str, Any]) -> Any:
    def call(*arguments: str | Path) -> str:
        done = subprocess.run(
            [AWS, *arguments], env=engine.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="module")
def job(clients: dict[str, Any]) -> dict[str, Any]:
    request = job_request("by-hand", "print('one')\nprint('two')\n", clients["s3"])
    return run_job(clients["sagemaker"], request)


def test_it_knows_who_it_is(aws: Any) -> None:
    identity = json.loads(aws("sts", "get-caller-identity"))
    assert identity["Account"] == "123456789012"


def test_s3_cp_brings_a_file_there_and_back_whatever_is_in_it(aws: Any, tmp_path: Path) -> None:
    there, back = tmp_path / "there.bin", tmp_path / "back.bin"
    there.write_bytes(bytes(range(256)) * 65_536)  # 16 MiB: sent in parts
    aws("s3", "cp", there, f"s3://{BUCKET}/big/there.bin", "--only-show-errors")
    aws("s3", "cp", f"s3://{BUCKET}/big/there.bin", back, "--only-show-errors")
    assert back.read_bytes() == there.read_bytes()


def test_s3_sync_sends_what_is_new_and_removes_what_is_gone(aws: Any, tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.csv", "späte Größe.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
        # S3 keeps whole seconds, so a file of this very second looks newer than its object.
        os.utime(tmp_path / name, (time.time() - 10, time.time() - 10))
    aws("s3", "sync", tmp_path, f"s3://{BUCKET}/synced/", "--only-show-errors")
    assert aws("s3", "sync", tmp_path, f"s3://{BUCKET}/synced/") == ""
    (tmp_path / "a.csv").unlink()
    (tmp_path / "sub/b.csv").write_text("changed and longer")
    aws("s3", "sync", "--delete", tmp_path, f"s3://{BUCKET}/synced/", "--only-show-errors")
    back = tmp_path.parent / "synced-back"
    aws("s3", "sync", f"s3://{BUCKET}/synced/", back, "--only-show-errors")
    found = {str(path.relative_to(back)): path.read_text() for path in back.rglob("*.*")}
    assert found == {"sub/b.csv": "changed and longer", "späte Größe.txt": "späte Größe.txt"}


def test_s3_ls_shows_prefixes_and_sizes(aws: Any, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("four")
    aws("s3", "cp", tmp_path / "x.txt", f"s3://{BUCKET}/listed/deep/x.txt", "--only-show-errors")
    assert "PRE deep/" in aws("s3", "ls", f"s3://{BUCKET}/listed/")
    assert aws("s3", "ls", f"s3://{BUCKET}/listed/deep/").split()[2:] == ["4", "x.txt"]


def test_s3_rm_and_rb_leave_nothing(aws: Any, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    aws("s3", "mb", "s3://short-lived")
    aws("s3", "cp", tmp_path / "x.txt", "s3://short-lived/a/b/x.txt", "--only-show-errors")
    aws("s3", "rb", "s3://short-lived", "--force")
    assert "short-lived" not in aws("s3", "ls")


def test_a_presigned_url_opens_without_any_credentials(aws: Any, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("shared")
    aws("s3", "cp", tmp_path / "x.txt", f"s3://{BUCKET}/shared.txt", "--only-show-errors")
    url = aws("s3", "presign", f"s3://{BUCKET}/shared.txt").strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"shared"


def test_list_training_jobs_shows_a_job_in_a_table_a_person_can_read(
    aws: Any, job: dict[str, Any]
) -> None:
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    listing = json.loads(aws("sagemaker", "list-training-jobs", "--status-equals", "Completed"))
    assert [one["TrainingJobName"] for one in listing["TrainingJobSummaries"]] == ["by-hand"]
    assert "by-hand" in aws("sagemaker", "list-training-jobs", "--output", "table")


def test_logs_are_read_by_filter_and_by_stream(aws: Any, job: dict[str, Any]) -> None:
    found = json.loads(
        aws("logs", "filter-log-events", "--log-group-name", TRAINING_LOGS,
            "--log-stream-name-prefix", "by-hand/", "--filter-pattern", "two")
    )  # fmt: skip
    assert [event["message"] for event in found["events"]] == ["two"]
    stream = found["events"][0]["logStreamName"]
    events = json.loads(
        aws("logs", "get-log-events", "--log-group-name", TRAINING_LOGS,
            "--log-stream-name", stream, "--start-from-head")
    )["events"]  # fmt: skip
    messages = [event["message"] for event in events]
    assert [message for message in messages if message in {"one", "two"}] == ["one", "two"]


def test_an_operation_that_is_not_there_says_so_and_nothing_else(engine: RunningEngine) -> None:
    done = subprocess.run(
        [AWS, "sagemaker", "list-clusters"],
        env=engine.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "NotImplementedException" in done.stderr
    assert "sagemaker.ListClusters" in done.stderr
