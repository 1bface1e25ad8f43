"""How long a training job lives and what becomes of it, through boto3 and the process driver."""

import io
import json
import os
import signal
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

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

INSTANCES = 3

COUNTS_VISITS = """
import os, pathlib
cache = pathlib.Path(os.environ["SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"])
visits = cache / "visits"
count = int(visits.read_text()) if visits.exists() else 0
print("visits before", count)
visits.write_text(str(count + 1))
"""

TELLS_ITS_GROUP = """
import json, os, socket
hosts = json.loads(os.environ["SM_HOSTS"])
print("TOLD " + json.dumps({
    "host": os.environ["SM_CURRENT_HOST"],
    "type": os.environ["SM_CURRENT_INSTANCE_TYPE"],
    "group": os.environ["SM_CURRENT_INSTANCE_GROUP"],
    "group_hosts": json.loads(os.environ["SM_CURRENT_INSTANCE_GROUP_HOSTS"]),
    "groups": json.loads(os.environ["SM_INSTANCE_GROUPS"]),
    "is_hetero": os.environ["SM_IS_HETERO"],
    "channels": json.loads(os.environ["SM_CHANNELS"]),
    "addresses": len({socket.gethostbyname(host) for host in hosts}),
}), flush=True)
"""

GOES_ON_WHERE_IT_WAS = """
import pathlib, time
began = pathlib.Path("/opt/ml/checkpoints/began")
if began.exists():
    print("goes on", flush=True)
else:
    began.write_text("yes")
    print("begins", flush=True)
    time.sleep(300)
"""

SAVES_WHEN_IT_IS_STOPPED = """
import os, pathlib, signal, sys, time

half = pathlib.Path(os.environ["SM_OUTPUT_INTERMEDIATE_DIR"])
half.mkdir(parents=True, exist_ok=True)
(half / "plot.svg").write_text("half a curve")

def stop(number, frame):
    pathlib.Path(os.environ["SM_MODEL_DIR"], "late.txt").write_text("saved after SIGTERM")
    pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve.csv").write_text("1,2")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
print("waits", flush=True)
time.sleep(300)
"""

NEVER_ENDS = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(os.environ["SM_MODEL_DIR"], "early.txt").write_text("saved before")
print("waits", flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine("--stop-grace=1", f"--max-instances={INSTANCES}") as engine:
        yield engine


def resources(count: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "InstanceType": "ml.m5.large",
        "InstanceCount": count,
        "VolumeSizeInGB": 1,
        **changes,
    }


def warm(clients: dict[str, Any], name: str, script: str = COUNTS_VISITS, **changes: Any) -> Any:
    """Runs a job that asks for a warm pool; describes it."""
    wanted = {"ResourceConfig": resources(KeepAlivePeriodInSeconds=600), **changes}
    job = run_job(clients["sagemaker"], job_request(name, script, clients["s3"], **wanted))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


def described(clients: dict[str, Any], name: str) -> dict[str, Any]:
    job: dict[str, Any] = clients["sagemaker"].describe_training_job(TrainingJobName=name)
    return job


def statuses(job: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in job["SecondaryStatusTransitions"]]


def members(clients: dict[str, Any], key: str) -> dict[str, bytes]:
    """The files of an archive in S3."""
    body = clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        files = ((one.name, tar.extractfile(one)) for one in tar.getmembers())
        return {name: file.read() for name, file in files if file is not None}


def test_a_warm_pool_is_kept_and_reused_by_the_next_job_like_it(clients: dict[str, Any]) -> None:
    first = warm(clients, "warm-1")
    assert first["WarmPoolStatus"] == {"Status": "Available"}
    assert "visits before 0" in log_lines(clients["logs"], "warm-1")

    other = warm(clients, "warm-other", RoleArn="arn:aws:iam::123456789012:role/other")
    assert "visits before 0" in log_lines(clients["logs"], "warm-other")
    second = warm(clients, "warm-2")
    assert "visits before 1" in log_lines(clients["logs"], "warm-2")

    left = described(clients, "warm-1")["WarmPoolStatus"]
    assert (left["Status"], left["ReusedByJob"]) == ("Reused", "warm-2")
    assert left["ResourceRetainedBillableTimeInSeconds"] >= 0
    assert second["WarmPoolStatus"] == other["WarmPoolStatus"] == {"Status": "Available"}
    listed = clients["sagemaker"].list_training_jobs(WarmPoolStatusEquals="Available")
    names = {one["TrainingJobName"] for one in listed["TrainingJobSummaries"]}
    assert {"warm-other", "warm-2"} <= names
    assert "warm-1" not in names


def test_a_warm_pool_ends_when_its_time_is_over(clients: dict[str, Any]) -> None:
    warm(clients, "warm-short", ResourceConfig=resources(KeepAlivePeriodInSeconds=600))
    clients["sagemaker"].update_training_job(
        TrainingJobName="warm-short", ResourceConfig={"KeepAlivePeriodInSeconds": 1}
    )
    assert described(clients, "warm-short")["WarmPoolStatus"] == {"Status": "Available"}
    deadline = time.monotonic() + 10
    while described(clients, "warm-short")["WarmPoolStatus"]["Status"] != "Terminated":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    warm(clients, "warm-late", ResourceConfig=resources(KeepAlivePeriodInSeconds=600))
    assert "ReusedByJob" not in described(clients, "warm-short")["WarmPoolStatus"]


def test_groups_of_instances_differ_in_type_and_in_what_data_they_get(
    clients: dict[str, Any],
) -> None:
    for key in ("cpu/a", "all/b"):
        clients["s3"].put_object(Bucket=BUCKET, Key=f"groups/{key}", Body=b"1")
    some = input_channel("some", f"s3://{BUCKET}/groups/cpu")
    some["DataSource"]["S3DataSource"]["InstanceGroupNames"] = ["cpus"]
    groups = [
        {"InstanceGroupName": "gpus", "InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "cpus", "InstanceType": "ml.c5.xlarge", "InstanceCount": 2},
    ]
    request = job_request(
        "hetero",
        TELLS_ITS_GROUP,
        clients["s3"],
        ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
        InputDataConfig=[some, input_channel("all", f"s3://{BUCKET}/groups/all")],
    )
    job = run_job(clients["sagemaker"], request)
    lines = log_lines(clients["logs"], "hetero")
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), lines)
    told = sorted(
        (json.loads(line[5:]) for line in lines if line.startswith("TOLD ")),
        key=lambda one: str(one["host"]),
    )
    assert [(one["host"], one["type"], one["group"]) for one in told] == [
        ("algo-1", "ml.g5.xlarge", "gpus"),
        ("algo-2", "ml.c5.xlarge", "cpus"),
        ("algo-3", "ml.c5.xlarge", "cpus"),
    ]
    assert [one["channels"] for one in told] == [["all"], ["all", "some"], ["all", "some"]]
    assert [one["group_hosts"] for one in told] == [["algo-1"], *[["algo-2", "algo-3"]] * 2]
    assert {one["is_hetero"] for one in told} == {"true"}
    assert {tuple(one["groups"]) for one in told} == {("gpus", "cpus")}
    assert {one["addresses"] for one in told} == {3}
    assert job["ResourceConfig"]["InstanceGroups"] == groups


def test_what_the_platform_broke_is_repeated_with_the_checkpoints(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    request = job_request(
        "repeated",
        GOES_ON_WHERE_IT_WAS,
        clients["s3"],
        RetryStrategy={"MaximumRetryAttempts": 1},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/repeated"},
    )
    clients["sagemaker"].create_training_job(**request)
    wait_for_line(clients["logs"], "repeated", "begins")
    (supervisor,) = engine.supervisors("training-job", "repeated")
    os.kill(supervisor, signal.SIGKILL)
    job = ended_job(clients["sagemaker"], "repeated")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    once = ["Starting", "Downloading", "Training"]
    assert statuses(job) == [*once, "Restarting", *once, "Uploading", "Completed"]
    told = [one["StatusMessage"] for one in job["SecondaryStatusTransitions"]]
    assert "`algo-1` was lost" in told[3]
    assert "Checkpoint files restored: 1" in told[6]
    assert "goes on" in log_lines(clients["logs"], "repeated")


def test_what_the_script_did_wrong_is_not_repeated(clients: dict[str, Any]) -> None:
    request = job_request(
        "not-repeated",
        "import sys\nsys.exit(3)\n",
        clients["s3"],
        RetryStrategy={"MaximumRetryAttempts": 5},
    )
    job = run_job(clients["sagemaker"], request)
    assert statuses(job) == ["Starting", "Downloading", "Training", "Failed"]
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert "exit code: 3" in job["FailureReason"]


def test_the_reason_names_the_instance_that_failed(clients: dict[str, Any]) -> None:
    script = (
        "import os, sys, time\n"
        "if os.environ['SM_CURRENT_HOST'] == 'algo-2':\n"
        "    sys.exit(5)\n"
        "time.sleep(60)\n"
    )
    request = job_request("one-fails", script, clients["s3"], ResourceConfig=resources(2))
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Failed"
    assert "exit code 5 of the script on algo-2" in job["FailureReason"]


def test_a_stopped_job_has_its_grace_and_its_model_and_output_are_kept(
    clients: dict[str, Any],
) -> None:
    request = job_request("stopped", SAVES_WHEN_IT_IS_STOPPED, clients["s3"])
    clients["sagemaker"].create_training_job(**request)
    wait_for_line(clients["logs"], "stopped", "waits")
    clients["s3"].get_waiter("object_exists").wait(
        Bucket=BUCKET,
        Key="output/stopped/output/intermediate/plot.svg",
        WaiterConfig={"Delay": 0.1, "MaxAttempts": 100},
    )
    clients["sagemaker"].stop_training_job(TrainingJobName="stopped")
    job = ended_job(clients["sagemaker"], "stopped")
    assert job["TrainingJobStatus"] == "Stopped"
    assert statuses(job)[-3:] == ["Stopping", "Uploading", "Stopped"]
    model = members(clients, "output/stopped/output/model.tar.gz")
    assert model == {"late.txt": b"saved after SIGTERM"}
    data = members(clients, "output/stopped/output/output.tar.gz")
    assert data == {"curve.csv": b"1,2"}


def test_a_job_beyond_its_time_that_heeds_no_signal_is_killed_after_the_grace(
    clients: dict[str, Any],
) -> None:
    limit = {"MaxRuntimeInSeconds": 1}
    request = job_request("stubborn", NEVER_ENDS, clients["s3"], StoppingCondition=limit)
    job = run_job(clients["sagemaker"], request)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert 2 <= job["TrainingTimeInSeconds"] <= 10
    model = members(clients, "output/stubborn/output/model.tar.gz")
    assert model == {"early.txt": b"saved before"}


def test_a_full_machine_lets_the_next_job_wait_and_refuses_what_can_never_fit(
    clients: dict[str, Any],
) -> None:
    sagemaker = clients["sagemaker"]
    large = job_request(
        "fills-the-machine",
        SAVES_WHEN_IT_IS_STOPPED,
        clients["s3"],
        ResourceConfig=resources(INSTANCES),
    )
    sagemaker.create_training_job(**large)
    wait_for_line(clients["logs"], "fills-the-machine", "waits")
    sagemaker.create_training_job(**job_request("has-to-wait", "pass\n", clients["s3"]))
    deadline = time.monotonic() + LINE_PATIENCE_S
    while described(clients, "has-to-wait")["SecondaryStatus"] != "Pending":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    waits = described(clients, "has-to-wait")["SecondaryStatusTransitions"][-1]["StatusMessage"]
    assert f"{INSTANCES} of {INSTANCES} instances are in use" in waits
    sagemaker.stop_training_job(TrainingJobName="fills-the-machine")
    job = ended_job(sagemaker, "has-to-wait")
    assert statuses(job)[:3] == ["Starting", "Pending", "Downloading"]
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    too_large = job_request("too-large", "", clients["s3"], ResourceConfig=resources(INSTANCES + 1))
    with pytest.raises(ClientError) as refused:
        sagemaker.create_training_job(**too_large)
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
