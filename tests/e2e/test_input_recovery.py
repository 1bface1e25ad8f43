"""Pipes outlive the engine: kill -9 of the engine neither ends an epoch early nor stops a job."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.supervision import processes
from tests.helpers.engine import RunningEngine, fresh_engine
from tests.helpers.script_mode import (
    BUCKET,
    ended_job,
    input_channel,
    job_request,
    log_lines,
    wait_for_line,
)

__all__ = ["fresh_engine"]
pytestmark = pytest.mark.e2e

EPOCHS = 3
SLOW_READER = f"""
import hashlib, os, time
base = "/opt/ml" if os.path.isdir("/opt/ml/input/data") else os.environ["SAGEMAKER_BASE_DIR"]
for epoch in range({EPOCHS}):
    digest = hashlib.md5()
    with open(f"{{base}}/input/data/train_{{epoch}}", "rb") as pipe:
        digest.update(pipe.read(1 << 20))
        print("OPEN", epoch)
        while not os.path.exists(f"{{base}}/go"):
            time.sleep(0.02)
        while data := pipe.read(1 << 20):
            digest.update(data)
    print("EPOCH", epoch, digest.hexdigest())
"""
"""Stops in its first epoch until it is told to go on."""


def test_a_pipe_is_fed_to_its_end_though_the_engine_is_killed(fresh_engine: RunningEngine) -> None:
    engine = fresh_engine
    body = bytes(range(256)) * (40 << 10)  # 10 MiB
    request = pipe_job(engine, "outlived", body)
    engine.client("sagemaker").create_training_job(**request)
    wait_for_line(engine.client("logs"), "outlived", "OPEN 0")
    feeding = feeders(engine)

    engine.kill()
    engine.start()
    assert feeders(engine) == feeding
    (engine.home / "instances/training-job/outlived/algo-1/ml/go").touch()
    ended = ended_job(engine.client("sagemaker"), "outlived")

    lines = log_lines(engine.client("logs"), "outlived")
    assert ended["TrainingJobStatus"] == "Completed", (ended.get("FailureReason"), lines)
    digest = hashlib.md5(body).hexdigest()
    assert [line for line in lines if line.startswith("EPOCH")] == [
        f"EPOCH {epoch} {digest}" for epoch in range(EPOCHS)
    ]
    assert feeders(engine) == set()


def test_a_job_that_is_stopped_leaves_nothing_that_feeds(fresh_engine: RunningEngine) -> None:
    engine = fresh_engine
    request = pipe_job(engine, "stopped", b"x" * (100 << 20))
    sagemaker = engine.client("sagemaker")
    sagemaker.create_training_job(**request)
    wait_for_line(engine.client("logs"), "stopped", "OPEN 0")

    sagemaker.stop_training_job(TrainingJobName="stopped")

    assert ended_job(sagemaker, "stopped")["TrainingJobStatus"] == "Stopped"
    assert feeders(engine) == set()


def pipe_job(engine: RunningEngine, name: str, body: bytes) -> dict[str, Any]:
    s3 = engine.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="data/one", Body=body)
    channel = {**input_channel("train", f"s3://{BUCKET}/data"), "InputMode": "Pipe"}
    return job_request(name, SLOW_READER, s3, InputDataConfig=[channel])


def feeders(engine: RunningEngine) -> set[int]:
    """Guards and feeders of this engine's instances; the writers come and go."""
    home = str(engine.home).encode()
    return {
        pid
        for pid in processes.all_pids()
        if b"feeder.py" in command(pid) and home in command(pid) and not is_writer(pid)
    }


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_writer(pid: int) -> bool:
    """Guard, feeder, writer: the third generation."""
    return b"feeder.py" in command(parent(pid)) and b"feeder.py" in command(parent(parent(pid)))


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0
