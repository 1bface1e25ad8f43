"""Spot drills on real jobs: who resumes from checkpoints loses time, and nothing else."""

import io
import json
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import (
    BUCKET,
    LINE_PATIENCE_S,
    ended_job,
    input_channel,
    job_request,
    log_lines,
    run_job,
    wait_for_line,
)

pytestmark = pytest.mark.e2e

EPOCHS = 30
EPOCH_S = 0.15

TRAIN = """
import os, time
import numpy as np

def save(epoch, weights, generator):
    path = "/opt/ml/checkpoints/last.npz"
    with open(path + ".new", "wb") as file:
        np.savez(file, epoch=epoch, weights=weights, random=repr(generator.bit_generator.state))
    os.replace(path + ".new", path)

def load():
    generator = np.random.default_rng(7)
    try:
        with np.load("/opt/ml/checkpoints/last.npz") as saved:
            generator.bit_generator.state = eval(str(saved["random"]))
            return int(saved["epoch"]), saved["weights"], generator
    except FileNotFoundError:
        return 0, generator.normal(0, 0.01, (65, 10)), generator

data = np.load("/opt/ml/input/data/train/digits.npz")
digits = data["digits"]
pixels = np.column_stack([data["pixels"] / 16, np.ones(len(digits))])
done, weights, generator = load()
print(f"begins after epoch={done}", flush=True)
for epoch in range(done + 1, EPOCHS + 1):
    order = generator.permutation(len(digits))
    for batch in np.array_split(order, 20):
        scores = pixels[batch] @ weights
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        scores[np.arange(len(batch)), digits[batch]] -= 1
        weights -= 0.5 * pixels[batch].T @ scores / len(batch)
    chances = pixels @ weights
    chances = np.exp(chances - chances.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    loss = float(-np.log(chances[np.arange(len(digits)), digits]).mean())
    accuracy = float((chances.argmax(axis=1) == digits).mean())
    time.sleep(EPOCH_S)
    save(epoch, weights, generator)
    print(f"epoch={epoch} loss={loss!r} accuracy={accuracy!r}", flush=True)
np.save("/opt/ml/model/weights.npy", weights)
""".replace("EPOCHS", str(EPOCHS)).replace("EPOCH_S", str(EPOCH_S))

FORGETFUL = "import time\nprint('begins', flush=True)\ntime.sleep(60)\n"

SPOT: dict[str, Any] = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine("--spot-capacity-wait=0.3", "--stop-grace=2") as engine:
        s3 = engine.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        pixels, digits = load_digits(return_X_y=True)
        data = io.BytesIO()
        np.savez(data, pixels=pixels, digits=digits)
        s3.put_object(Bucket=BUCKET, Key="digits/digits.npz", Body=data.getvalue())
        yield engine


def training(engine: RunningEngine, name: str, script: str = TRAIN, **changes: Any) -> Any:
    request = job_request(name, script, engine.client("s3"), **SPOT, **changes)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "loss", "Regex": r"loss=(\S+)"},
        {"Name": "accuracy", "Regex": r"accuracy=(\S+)"},
    ]
    return request


def resumable(engine: RunningEngine, name: str) -> Any:
    return training(
        engine,
        name,
        InputDataConfig=[input_channel("train", f"s3://{BUCKET}/digits")],
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/{name}"},
    )


def final_metrics(job: dict[str, Any]) -> dict[str, float]:
    return {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}


def losses(engine: RunningEngine, name: str) -> dict[int, str]:
    """By epoch, as printed; of an epoch that was done twice both must be the same."""
    found: dict[int, str] = {}
    for line in log_lines(engine.client("logs"), name):
        if match := re.match(r"epoch=(\d+) (.*)", line):
            assert found.setdefault(int(match[1]), match[2]) == match[2]
    return found


def interrupted_at(engine: RunningEngine, name: str, epochs: list[int], draw: random.Random) -> Any:
    """Runs a job and interrupts it once after each of these epochs, anywhere in the next ones."""
    engine.client("sagemaker").create_training_job(**resumable(engine, name))
    wait_for_line(engine.client("logs"), name, "begins after epoch=0")
    for attempt, epoch in enumerate(epochs, start=1):
        wait_for_epoch(engine, name, attempt, epoch)
        time.sleep(draw.uniform(0, 2 * EPOCH_S))
        drilled = json.loads(engine.cli("drill", "spot", name, "--json", "--no-wait").stdout)
        assert (drilled["job"], drilled["notice_s"], drilled["capacity_wait_s"]) == (name, 2, 0.3)
    return ended_job(engine.client("sagemaker"), name)


def wait_for_epoch(engine: RunningEngine, name: str, attempt: int, epoch: int) -> None:
    """Waits until an attempt trains which has got that far; on a slow machine farther."""
    deadline = time.monotonic() + LINE_PATIENCE_S
    while begun(engine, name) < attempt or max(losses(engine, name), default=0) < epoch:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(engine: RunningEngine, name: str) -> int:
    return sum("begins" in line for line in log_lines(engine.client("logs"), name))


def test_three_interruptions_leave_the_result_of_thirty_epochs_as_it_is(
    engine: RunningEngine,
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed of the interruptions: {seed}")
    draw = random.Random(seed)
    epochs = sorted(draw.sample(range(1, EPOCHS - 15), 3))
    plain = run_job(engine.client("sagemaker"), resumable(engine, "plain"))
    drilled = interrupted_at(engine, "drilled", epochs, draw)

    assert plain["TrainingJobStatus"] == drilled["TrainingJobStatus"] == "Completed", drilled
    assert final_metrics(plain) == final_metrics(drilled)
    assert final_metrics(plain)["accuracy"] > 0.95
    assert losses(engine, "plain") == losses(engine, "drilled")
    assert len(losses(engine, "plain")) == EPOCHS
    assert model(engine, plain) == model(engine, drilled)

    statuses = [one["Status"] for one in drilled["SecondaryStatusTransitions"]]
    once = ["Starting", "Downloading", "Training"]
    assert statuses == [*once, *["Interrupted", *once] * 3, "Uploading", "Completed"]
    beginnings = [line for line in log_lines(engine.client("logs"), "drilled") if "begins" in line]
    assert len(beginnings) == 4
    assert "begins after epoch=0" not in beginnings[1:]
    assert 0 < drilled["BillableTimeInSeconds"] < drilled["TrainingTimeInSeconds"]
    assert "Interrupted" not in [one["Status"] for one in plain["SecondaryStatusTransitions"]]


def model(engine: RunningEngine, job: dict[str, Any]) -> bytes:
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    return bytes(engine.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def test_a_script_that_saves_nothing_is_told_so(engine: RunningEngine) -> None:
    sagemaker = engine.client("sagemaker")
    sagemaker.create_training_job(**training(engine, "forgetful", FORGETFUL))
    wait_for_line(engine.client("logs"), "forgetful", "begins")
    started = time.monotonic()
    done = engine.cli("drill", "spot", "forgetful", "--after=0.5")
    assert time.monotonic() - started > 0.5
    assert "interrupted `forgetful`: SIGTERM now, SIGKILL after 2 s" in done.stdout
    assert "now it is Training" in done.stdout
    assert re.search(r"whole again after \d+\.\d+ s", done.stdout)
    assert re.search(r"on AWS: 0\.\d+ USD; 1 x ml.m5.large .* at 0.3 of the price", done.stdout)
    assert "it will start from its beginning" in done.stderr
    wait_for_epoch(engine, "forgetful", attempt=2, epoch=0)
    job = sagemaker.describe_training_job(TrainingJobName="forgetful")
    told = [one["StatusMessage"] for one in job["SecondaryStatusTransitions"]]
    assert any("it had saved nothing to resume from" in message for message in told), told
    sagemaker.stop_training_job(TrainingJobName="forgetful")
    assert ended_job(sagemaker, "forgetful")["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize("options", [(), ("--after=60",)])
def test_what_cannot_be_interrupted_is_said_at_once(
    engine: RunningEngine, options: tuple[str, ...]
) -> None:
    request = job_request("on-demand", "", engine.client("s3"))
    ended = run_job(
        engine.client("sagemaker"), {**request, "TrainingJobName": f"od-{len(options)}"}
    )
    assert ended["TrainingJobStatus"] == "Completed"
    for name in ("nobody", ended["TrainingJobName"]):
        started = time.monotonic()
        done = engine.cli("drill", "spot", name, *options, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"training job `{name}`" in done.stderr
        assert time.monotonic() - started < 30
    none = engine.cli("drill", "spot", "nobody", f"--home={engine.home / 'none'}", check=False)
    assert none.returncode == 3


def test_a_rate_interrupts_a_job_by_itself() -> None:
    with running_engine(
        "--spot-capacity-wait=0.1", "--stop-grace=1", "--spot-interruptions-per-hour=3600"
    ) as engine:
        engine.client("s3").create_bucket(Bucket=BUCKET)
        sagemaker = engine.client("sagemaker")
        sagemaker.create_training_job(**training(engine, "unlucky", FORGETFUL))
        deadline = time.monotonic() + LINE_PATIENCE_S
        statuses: list[str] = []
        while statuses.count("Interrupted") < 2:
            assert time.monotonic() < deadline, statuses
            time.sleep(0.1)
            job = sagemaker.describe_training_job(TrainingJobName="unlucky")
            statuses = [one["Status"] for one in job["SecondaryStatusTransitions"]]
        sagemaker.stop_training_job(TrainingJobName="unlucky")
        assert ended_job(sagemaker, "unlucky")["TrainingJobStatus"] == "Stopped"
