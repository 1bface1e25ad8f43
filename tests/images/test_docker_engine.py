"""Jobs and endpoints of an engine with the docker driver, through boto3."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.docker_engine import (
    IMAGE,
    DockerEngine,
    deploy,
    docker_engine,
    job,
    shown_instances,
)
from tests.helpers.driver_stages import wait_for
from tests.helpers.engine import RunningEngine
from tests.helpers.processing import processing_request
from tests.helpers.script_mode import (
    BUCKET,
    ended_job,
    input_channel,
    invoke,
    log_lines,
    run_job,
    settled_endpoint,
    store_model,
    wait_for_line,
)

pytestmark = pytest.mark.e2e

FROM_INSIDE = """
import boto3, os
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])  # Debian's is too old for it
print(s3.get_object(Bucket="demo", Key="words")["Body"].read().decode())
print(open("/opt/ml/input/data/train/words").read())
open("/opt/ml/model/weights.txt", "w").write("1")
"""

READ_PIPE = """
for epoch in range(2):
    with open(f"/opt/ml/input/data/train_{epoch}", "rb") as pipe:
        print(epoch, pipe.read().decode())
"""

UNTIL_TOLD = """
import os, time
print("begun")
while not os.path.exists("/opt/ml/checkpoints/go"): time.sleep(0.02)
print("told")
"""


@pytest.fixture(scope="module")
def beside(test_image: str) -> Iterator[DockerEngine]:
    with docker_engine() as beside:
        beside.engine.client("s3").put_object(Bucket=BUCKET, Key="words", Body=b"from S3")
        yield beside


@pytest.fixture
def engine(beside: DockerEngine) -> Iterator[RunningEngine]:
    """What ran is gone by the end of a test, with all that belonged to it."""
    yield beside.engine
    wait_for(lambda: beside.left() == [])


@pytest.fixture
def sagemaker(engine: RunningEngine) -> Any:
    return engine.client("sagemaker")


def test_a_job_reads_its_channel_and_reaches_s3_with_credentials_of_its_own(
    engine: RunningEngine, sagemaker: Any
) -> None:
    channels = [input_channel("train", f"s3://{BUCKET}/words")]
    done = run_job(sagemaker, job("inside", FROM_INSIDE, InputDataConfig=channels))
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert log_lines(engine.client("logs"), "inside") == ["from S3", "from S3"]
    key = done["ModelArtifacts"]["S3ModelArtifacts"].partition(f"{BUCKET}/")[2]
    assert engine.client("s3").head_object(Bucket=BUCKET, Key=key)["ContentLength"] > 0


def test_a_pipe_feeds_a_container(engine: RunningEngine, sagemaker: Any) -> None:
    channel = input_channel("train", f"s3://{BUCKET}/words") | {"InputMode": "Pipe"}
    done = run_job(sagemaker, job("piped", READ_PIPE, InputDataConfig=[channel]))
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert log_lines(engine.client("logs"), "piped") == ["0 from S3", "1 from S3"]


def test_a_job_outlives_a_killed_engine_and_its_log_is_whole(
    beside: DockerEngine, engine: RunningEngine, sagemaker: Any
) -> None:
    checkpoints = {"S3Uri": f"s3://{BUCKET}/checkpoints"}
    sagemaker.create_training_job(**job("survivor", UNTIL_TOLD, CheckpointConfig=checkpoints))
    wait_for_line(engine.client("logs"), "survivor", "begun")
    before = beside.running()
    engine.kill()
    folder = engine.home / "instances" / "training-job" / "survivor" / "algo-1"
    (folder / "ml" / "checkpoints" / "go").touch()
    wait_for(lambda: beside.running() == [])
    engine.start()
    assert ended_job(sagemaker, "survivor")["TrainingJobStatus"] == "Completed"
    assert log_lines(engine.client("logs"), "survivor") == ["begun", "told"]
    assert len(before) == 1


def test_an_endpoint_serves_on_after_the_engine_was_killed(
    beside: DockerEngine, engine: RunningEngine, sagemaker: Any
) -> None:
    deploy(engine, "steady", store_model(engine.client("s3"), "steady"))
    assert settled_endpoint(sagemaker, "steady")["EndpointStatus"] == "InService"
    runtime = engine.client("sagemaker-runtime")
    assert invoke(runtime, "steady", "before") == "before 3.14 0"
    before = beside.running()
    assert len(before) == 2
    assert len(shown_instances(engine, "steady")) == 2
    engine.kill()
    engine.start()
    assert settled_endpoint(sagemaker, "steady")["EndpointStatus"] == "InService"
    assert {invoke(runtime, "steady", "after") for _ in range(4)} == {"after 3.14 0"}
    assert beside.running() == before
    os.kill(shown_instances(engine, "steady")[0]["pid"], signal.SIGKILL)
    wait_for(lambda: len(set(beside.running()) - set(before)) == 1)
    sagemaker.delete_endpoint(EndpointName="steady")


def test_a_job_of_two_instances_that_is_stopped_leaves_nothing(
    engine: RunningEngine, sagemaker: Any
) -> None:
    request = job("stopped", UNTIL_TOLD, ResourceConfig={"InstanceCount": 2})
    sagemaker.create_training_job(**request)
    wait_for_line(engine.client("logs"), "stopped", "begun")
    sagemaker.stop_training_job(TrainingJobName="stopped")
    assert ended_job(sagemaker, "stopped")["TrainingJobStatus"] == "Stopped"


def test_an_image_without_the_program_fails_the_job_with_what_helps(
    engine: RunningEngine, sagemaker: Any, test_image: str
) -> None:
    request = job("no-train", "")
    request["AlgorithmSpecification"]["TrainingImage"] = test_image
    reason = run_job(sagemaker, request)["FailureReason"]
    assert "cannot execute `train` in the image `intermodal-test/python:3`" in reason
    assert "pip install intermodal-training" in reason


def test_an_image_that_there_is_not_fails_the_job_with_what_helps(
    engine: RunningEngine, sagemaker: Any
) -> None:
    request = job("no-image", "")
    request["AlgorithmSpecification"]["TrainingImage"] = "intermodal/no-such:1"
    reason = run_job(sagemaker, request)["FailureReason"]
    assert "there is no image `intermodal/no-such:1` here" in reason


def test_a_processing_job_may_leave_the_entry_point_to_the_image(
    engine: RunningEngine, sagemaker: Any
) -> None:
    application = {"ImageUri": IMAGE, "ContainerArguments": ["python3", "-c", "print('own')"]}
    sagemaker.create_processing_job(
        **processing_request("own-entry", AppSpecification=application, ProcessingInputs=[])
    )
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(
        ProcessingJobName="own-entry", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )


def test_without_docker_the_engine_does_not_start_and_says_why(
    beside: DockerEngine, tmp_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    other = RunningEngine(beside.engine.home / "tmp" / "other")
    done = other.cli("up", "--detach", "--port=0", "--driver=docker", check=False)
    assert done.returncode == 1
    assert "docker is not running at `unix:///nowhere/docker.sock`" in done.stderr
    assert "hint: start docker" in done.stderr
