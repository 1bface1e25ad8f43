"""What the command line tells and frees of real jobs, and what a job's own code may do."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.engine import CLI, RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, ended_job, job_request, run_job, wait_for_line

pytestmark = pytest.mark.e2e

WHO_AM_I = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
boto3.client("s3").put_object(Bucket="demo", Key="from-the-job", Body=b"hello")
print("done")
"""

WAITS = """
import time
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
s3 = boto3.client("s3", config=Config(retries={"total_max_attempts": 1}))
print("waits", flush=True)
while True:
    try:
        s3.head_object(Bucket="demo", Key="go")
        break
    except (BotoCoreError, ClientError):
        time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as engine:
        engine.client("s3").create_bucket(Bucket=BUCKET)
        yield engine


@pytest.fixture(scope="module")
def job(engine: RunningEngine) -> dict[str, Any]:
    return run_job(
        engine.client("sagemaker"), job_request("who-am-i", WHO_AM_I, engine.client("s3"))
    )


def test_a_jobs_own_code_reaches_the_engine_as_its_role(
    engine: RunningEngine, job: dict[str, Any]
) -> None:
    shown = engine.cli("logs", "who-am-i").stdout.splitlines()
    assert "arn:aws:sts::123456789012:assumed-role/demo/SageMaker" in shown
    assert shown.index("done") > 0
    answer = engine.client("s3").get_object(Bucket=BUCKET, Key="from-the-job")
    assert answer["Body"].read() == b"hello"


def test_follow_prints_lines_as_they_come_and_ends_with_the_job(engine: RunningEngine) -> None:
    script = "import time\nfor n in range(5):\n    print('line', n, flush=True); time.sleep(0.1)\n"
    sagemaker = engine.client("sagemaker")
    sagemaker.create_training_job(**job_request("followed", script, engine.client("s3")))
    command = [*CLI, "logs", "followed", "--follow", f"--home={engine.home}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(5)]
    assert "`followed` has ended: Completed" in done.stderr
    assert ended_job(sagemaker, "followed")["TrainingJobStatus"] == "Completed"


def test_prune_frees_an_ended_jobs_folder_beside_a_running_engine(
    engine: RunningEngine, job: dict[str, Any]
) -> None:
    folder = engine.home / "instances" / "training-job" / "who-am-i"
    freed = json.loads(engine.cli("prune", "--older-than=0s", "--json").stdout)
    assert str(engine.home) in freed[0]["path"]
    assert not folder.exists()
    job = engine.client("sagemaker").describe_training_job(TrainingJobName="who-am-i")
    assert job["TrainingJobStatus"] == "Completed"


def test_a_job_that_outlives_the_engine_reaches_the_next_one_whose_port_nobody_named(
    engine: RunningEngine,
) -> None:
    sagemaker, s3 = engine.client("sagemaker"), engine.client("s3")
    sagemaker.create_training_job(**job_request("waits", WAITS, s3))
    wait_for_line(engine.client("logs"), "waits", "waits")
    engine.stop()
    engine.cli("up", "--detach", "--port=0")
    s3.put_object(Bucket=BUCKET, Key="go", Body=b"")
    assert ended_job(sagemaker, "waits")["TrainingJobStatus"] == "Completed"
