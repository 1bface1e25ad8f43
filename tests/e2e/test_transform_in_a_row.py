"""Transform jobs of several containers, each of which gets what the one before it has answered."""

import os
import signal
import time
from typing import Any

import pytest

from intermodal_engine.drivers.records import InstanceFolder
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET
from tests.helpers.transform import (
    SUMS,
    create_summing_row,
    ended_transform,
    run_transform,
    transform_request,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Clients = dict[str, Any]
PATIENCE_S = 30.0
DOUBLES = (
    SUMS.replace("sum(row) * factor for", "[cell * factor for cell in row] for")
    .replace('f"{one:g}" for one in sums', '",".join(f"{x:g}" for x in one) for one in sums')
    .replace("def predict_fn(rows, factor):", "def predict_fn(rows, factor):\n    broken(rows)")
    .replace("def model_fn", "def broken(rows):\n    assert [13.0] not in rows\n\ndef model_fn")
)
"""Handlers that double each cell; a row of 13 breaks them."""


@pytest.fixture(scope="module")
def row(clients: Clients) -> str:
    create_summing_row(clients, "row", {"doubles": DOUBLES, "sums": SUMS})
    return "row"


def put(clients: Clients, prefix: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        clients["s3"].put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=text)


def results(clients: Clients, job: str) -> dict[str, str]:
    listed = clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix=f"out/{job}/").get("Contents", [])
    return {
        one["Key"].rpartition("/")[2]: clients["s3"]
        .get_object(Bucket=BUCKET, Key=one["Key"])["Body"]
        .read()
        .decode()
        for one in listed
    }


def request(job: str, prefix: str, model: str, **changes: Any) -> dict[str, Any]:
    return transform_request(job, prefix, ModelName=model, **changes)


def test_records_go_through_all_containers(clients: Clients, row: str) -> None:
    put(clients, "plain", {"a.csv": "1,2\n3,4\n", "b.csv": "5,6\n", "c.csv": "7\n"})
    resources = {"InstanceCount": 2}
    job = run_transform(
        clients["sagemaker"], request("plain", "plain", row, TransformResources=resources)
    )
    assert job["TransformJobStatus"] == "Completed", job
    assert results(clients, "plain") == {
        "a.csv.out": "12\n28\n",
        "b.csv.out": "44\n",
        "c.csv.out": "28\n",
    }
    streams = clients["logs"].describe_log_streams(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix="plain/"
    )["logStreams"]
    names = {one["logStreamName"].rpartition("/")[2] for one in streams}
    assert {"doubles", "sums"} <= names


def test_a_failed_record_names_object_offset_and_container(clients: Clients, row: str) -> None:
    put(clients, "odd", {"a.csv": "1\n", "b.csv": "2\n13\n"})
    job = run_transform(
        clients["sagemaker"],
        request("odd", "odd", row, BatchStrategy="SingleRecord", ModelClientConfig=no_retries()),
    )
    assert job["TransformJobStatus"] == "Failed"
    assert (
        f"s3://{BUCKET}/odd/b.csv, byte 2: container doubles: Bad HTTP status"
        in (job["FailureReason"])
    )
    assert results(clients, "odd") == {"a.csv.out": "4\n"}


def no_retries() -> dict[str, int]:
    return {"InvocationsMaxRetries": 0, "InvocationsTimeoutInSeconds": 60}


def test_a_container_that_dies_fails_the_job_by_its_name(
    clients: Clients, engine: RunningEngine
) -> None:
    create_summing_row(clients, "slow-row", {"doubles": DOUBLES, "sums": SUMS}, PAUSE_S="0.4")
    put(clients, "mortal", {f"{n}.csv": "1\n" for n in range(30)})
    clients["sagemaker"].create_transform_job(**request("mortal", "mortal", "slow-row"))
    deadline = time.monotonic() + PATIENCE_S
    while not results(clients, "mortal"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pid = supervisor_of(engine, "mortal", "-1")
    os.kill(pid, signal.SIGKILL)
    job = ended_transform(clients["sagemaker"], "mortal")
    assert job["TransformJobStatus"] == "Failed"
    assert "/sums`" in job["FailureReason"] or "container sums" in job["FailureReason"], job
    assert engine.supervisors("transform-job", "mortal") == []


def supervisor_of(engine: RunningEngine, job: str, ending: str) -> int:
    """The supervisor of the container whose folder ends so, once there is one."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline
        for folder in (engine.home / "instances" / "transform-job" / job).glob(f"*{ending}"):
            pid = InstanceFolder(folder).living_supervisor()
            if pid is not None:
                return pid
        time.sleep(0.05)


def test_a_killed_engine_goes_on_with_all_containers(
    clients: Clients, engine: RunningEngine, row: str
) -> None:
    create_summing_row(clients, "steady-row", {"doubles": DOUBLES, "sums": SUMS}, PAUSE_S="0.2")
    put(clients, "steady", {f"{n}.csv": f"{n}\n" for n in range(6)})
    clients["sagemaker"].create_transform_job(**request("steady", "steady", "steady-row"))
    supervisor_of(engine, "steady", "-1")
    before = engine.supervisors("transform-job", "steady")
    engine.kill()
    engine.start()
    job = ended_transform(clients["sagemaker"], "steady")
    assert job["TransformJobStatus"] == "Completed", job
    assert len(before) == 2
    assert results(clients, "steady") == {f"{n}.csv.out": f"{4 * n}\n" for n in range(6)}
