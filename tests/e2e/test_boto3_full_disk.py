"""A full disk: what was stored stays, what could not be done says why."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, ended_job, job_request, run_job

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]
DISK_BYTES = 48 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def engine(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEngine]:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))  # where the engine's home is made
    with running_engine() as engine:
        engine.client("s3").create_bucket(Bucket=BUCKET)
        yield engine


def test_an_object_that_does_not_fit_is_refused_and_what_was_there_stays(
    engine: RunningEngine,
) -> None:
    s3 = engine.client("s3")
    s3.put_object(Bucket=BUCKET, Key="precious", Body=b"first")
    with pytest.raises(ClientError, match="no space is left"):
        s3.put_object(Bucket=BUCKET, Key="precious", Body=bytes(DISK_BYTES))
    assert s3.get_object(Bucket=BUCKET, Key="precious")["Body"].read() == b"first"
    s3.put_object(Bucket=BUCKET, Key="small", Body=b"fits again")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["precious", "small"]


def test_a_job_that_fills_the_disk_fails_with_that_reason_while_it_is_full(
    engine: RunningEngine,
) -> None:
    script = (
        "import os, pathlib\n"
        "file = pathlib.Path(os.environ['SM_MODEL_DIR'], 'huge.bin')\n"
        f"file.write_bytes(os.urandom({DISK_BYTES}))\n"
    )
    s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
    s3.put_object(Bucket=BUCKET, Key="precious", Body=b"first")
    sagemaker.create_training_job(**job_request("huge", script, s3))
    job = ended_job(sagemaker, "huge")
    assert job["TrainingJobStatus"] == "Failed"
    assert "space" in job["FailureReason"]
    assert (engine.home / "instances/training-job/huge/algo-1/ml/model/huge.bin").exists()
    assert s3.get_object(Bucket=BUCKET, Key="precious")["Body"].read() == b"first"


def test_a_model_that_cannot_be_uploaded_fails_its_job_with_that_reason(
    engine: RunningEngine,
) -> None:
    script = (
        "import os, pathlib\n"
        "file = pathlib.Path(os.environ['SM_MODEL_DIR'], 'large.bin')\n"
        f"file.write_bytes(os.urandom({DISK_BYTES * 6 // 10}))\n"
    )
    job = run_job(engine.client("sagemaker"), job_request("large", script, engine.client("s3")))
    assert job["TrainingJobStatus"] == "Failed"
    assert "space" in job["FailureReason"]
