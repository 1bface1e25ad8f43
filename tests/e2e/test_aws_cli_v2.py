"""Version 2 of the AWS CLI, where one is installed: an old one takes `--endpoint-url` only."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    TRAINING_LOGS,
    job_request,
    run_job,
    store_model,
)

pytestmark = pytest.mark.e2e
Aws = Callable[..., Any]


@pytest.fixture(scope="module")
def aws(engine: RunningEngine, clients: dict[str, Any]) -> Aws:
    program = version_2()
    environment = {
        name: value for name, value in engine.environment.items() if name != "AWS_ENDPOINT_URL"
    }

    def call(*arguments: str | Path) -> Any:
        done = subprocess.run(
            [program, "--endpoint-url", engine.endpoint_url, "--no-cli-pager", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    return call


def version_2() -> str:
    """The first `aws` on the path that is of version 2, whichever others come before it."""
    for folder in os.get_exec_path():
        program = shutil.which("aws", path=folder)
        if program is None:
            continue
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        if told.stdout.startswith("aws-cli/2."):
            return program
    pytest.skip("VERSION 2 OF THE AWS CLI IS NOT TESTED: there is no such `aws` on the PATH")


def test_s3_sync_sends_large_and_small_files_and_brings_them_back(aws: Aws, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    (there / "sub").mkdir(parents=True)
    (there / "big.bin").write_bytes(bytes(range(256)) * 65_536)  # 16 MiB: sent in parts
    (there / "sub/späte Größe.txt").write_text("small")
    aws("s3", "sync", there, f"s3://{BUCKET}/v2/", "--only-show-errors")
    aws("s3", "sync", f"s3://{BUCKET}/v2/", back, "--only-show-errors")
    assert (back / "big.bin").read_bytes() == (there / "big.bin").read_bytes()
    assert (back / "sub/späte Größe.txt").read_text() == "small"


def test_a_job_and_its_log_are_shown(aws: Aws, clients: dict[str, Any]) -> None:
    run_job(clients["sagemaker"], job_request("by-v2", "print('hello')\n", clients["s3"]))
    listed = aws("sagemaker", "list-training-jobs", "--status-equals", "Completed")
    assert [one["TrainingJobName"] for one in listed["TrainingJobSummaries"]] == ["by-v2"]
    found = aws(
        "logs", "filter-log-events", "--log-group-name", TRAINING_LOGS, "--filter-pattern", "hello"
    )
    assert [event["message"] for event in found["events"]] == ["hello"]
    assert "hello" in aws("logs", "tail", TRAINING_LOGS, "--since", "10m")


def test_a_model_is_made_and_deleted(aws: Aws, clients: dict[str, Any]) -> None:
    uri = store_model(clients["s3"], "by-v2")
    container = f"Image={INFERENCE_IMAGE},ModelDataUrl={uri}"
    here = ("--model-name", "by-v2")
    aws("sagemaker", "create-model", *here, "--primary-container", container,
        "--execution-role-arn", ROLE)  # fmt: skip
    assert aws("sagemaker", "describe-model", *here)["PrimaryContainer"]["ModelDataUrl"] == uri
    aws("sagemaker", "delete-model", *here)
    assert aws("sagemaker", "list-models")["Models"] == []


def test_it_knows_who_it_is(aws: Aws) -> None:
    assert aws("sts", "get-caller-identity")["Account"] == "123456789012"
