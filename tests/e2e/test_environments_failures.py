"""An environment that cannot be made, and an engine that ends while one is made."""

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, ended_job, job_request, log_lines, run_job

pytestmark = pytest.mark.e2e

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/mxnet-training:1.4.1-cpu-py3"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> Iterator[RunningEngine]:
    """An engine whose only place for packages never answers."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", url)
    with running_engine("--max-instances=20") as engine:
        yield engine


def create_job(engine: RunningEngine, *names: str) -> Any:
    s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    image = {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
    for name in names:
        request = job_request(name, "print('ran')\n", s3, AlgorithmSpecification=image)
        sagemaker.create_training_job(**request)
    return sagemaker


def test_jobs_that_wait_for_an_environment_are_stopped_at_once_and_keep_nobody_waiting(
    engine: RunningEngine, listener: socket.socket
) -> None:
    names = [f"waiting-{number}" for number in range(10)]
    sagemaker = create_job(engine, *names)
    connection, _ = listener.accept()
    with connection:
        quick = job_request("quick", "print('ran')\n", engine.client("s3"))
        assert run_job(sagemaker, quick)["TrainingJobStatus"] == "Completed"
        for name in names:
            sagemaker.stop_training_job(TrainingJobName=name)
        began = time.monotonic()
        assert {ended_job(sagemaker, name)["TrainingJobStatus"] for name in names} == {"Stopped"}
        assert time.monotonic() - began < 10


def test_an_engine_ends_at_once_though_it_makes_an_environment_and_the_next_one_goes_on(
    engine: RunningEngine,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sagemaker = create_job(engine, "waiting")
    connection, _ = listener.accept()
    with connection:
        job = sagemaker.describe_training_job(TrainingJobName="waiting")
        assert job["SecondaryStatus"] == "DownloadingTrainingImage"
        began = time.monotonic()
        engine.stop()
        assert time.monotonic() - began < 10

    monkeypatch.delenv("PIP_FIND_LINKS")
    engine.start()
    job = ended_job(sagemaker, "waiting")
    assert job["TrainingJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert "the image's environment cannot be made; uv said:" in reason
    assert "mxnet was not found" in reason
    assert "hint: packages come from where pip's or uv's configuration says" in reason
    log = log_lines(engine.client("logs"), "waiting")
    assert sum("making an environment for mxnet" in line for line in log) == 2
    assert "ran" not in log
