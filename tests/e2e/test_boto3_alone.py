"""boto3, pointed by `intermodal env`, and nothing else of ours: the main job from end to end."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.script_mode import (
    BUCKET,
    ECHO,
    PATIENCE,
    TRAINING_LOGS,
    create_configuration,
    create_endpoint,
    ended_job,
    input_channel,
    invoke,
    job_request,
    log_lines,
    run_job,
    settled_endpoint,
    store_model,
    wait_for_line,
)

pytestmark = pytest.mark.e2e

TRAIN = f"""
import argparse, os, pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--slope", type=float)
arguments = parser.parse_args()
rows = [
    [float(value) for value in line.split(",")]
    for file in sorted(pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).glob("*.csv"))
    for line in file.read_text().splitlines()
]
print("rows", len(rows))
print("slope", arguments.slope)
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "weights.txt").write_text(str(sum(y - arguments.slope * x for x, y in rows)))
(model / "code").mkdir()
(model / "code" / "inference.py").write_text({ECHO!r})
print("saved")
"""


@pytest.fixture(scope="module")
def job(clients: dict[str, Any]) -> dict[str, Any]:
    s3 = clients["s3"]
    s3.put_object(Bucket=BUCKET, Key="data/train/a.csv", Body=b"1,2\n2,4\n")
    s3.put_object(Bucket=BUCKET, Key="data/train/b.csv", Body=b"3,7\n")
    request = job_request(
        "trained-by-boto3",
        TRAIN,
        s3,
        HyperParameters={"slope": "2.0"},
        InputDataConfig=[input_channel("train", f"s3://{BUCKET}/data/train/")],
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    return run_job(clients["sagemaker"], request)


def test_a_job_trains_on_its_channel_and_leaves_its_model_in_s3(
    clients: dict[str, Any], job: dict[str, Any]
) -> None:
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/output/trained-by-boto3/output/model.tar.gz"
    key = uri.removeprefix(f"s3://{BUCKET}/")
    assert clients["s3"].head_object(Bucket=BUCKET, Key=key)["ContentLength"] > 0


def test_its_status_transitions_tell_what_happened_in_order(job: dict[str, Any]) -> None:
    transitions = job["SecondaryStatusTransitions"]
    steps = [one["Status"] for one in transitions]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    starts = [one["StartTime"] for one in transitions]
    assert starts == sorted(starts)
    assert job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]


def test_its_log_can_be_read_line_by_line(clients: dict[str, Any], job: dict[str, Any]) -> None:
    lines = log_lines(clients["logs"], job["TrainingJobName"])
    assert [line for line in lines if line.split()[0] in {"rows", "slope", "saved"}] == [
        "rows 3",
        "slope 2.0",
        "saved",
    ]


def test_its_log_can_be_read_page_by_page_with_tokens(
    clients: dict[str, Any], job: dict[str, Any]
) -> None:
    logs = clients["logs"]
    streams = logs.describe_log_streams(
        logGroupName=TRAINING_LOGS, logStreamNamePrefix=f"{job['TrainingJobName']}/"
    )["logStreams"]
    assert len(streams) == 1
    where = {"logGroupName": TRAINING_LOGS, "logStreamName": streams[0]["logStreamName"]}
    page = logs.get_log_events(**where, startFromHead=True, limit=1)
    lines = []
    while page["events"]:
        lines += [event["message"] for event in page["events"]]
        page = logs.get_log_events(
            **where, startFromHead=True, limit=1, nextToken=page["nextForwardToken"]
        )
    assert lines == log_lines(logs, job["TrainingJobName"])


def test_the_job_can_be_listed_and_its_tags_read(
    clients: dict[str, Any], job: dict[str, Any]
) -> None:
    sagemaker = clients["sagemaker"]
    found = sagemaker.list_training_jobs(NameContains="by-boto3", StatusEquals="Completed")
    assert [one["TrainingJobName"] for one in found["TrainingJobSummaries"]] == ["trained-by-boto3"]
    tags = sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]


def test_its_model_is_served_by_two_instances_and_the_endpoint_can_be_deleted(
    clients: dict[str, Any], job: dict[str, Any]
) -> None:
    sagemaker, runtime = clients["sagemaker"], clients["sagemaker-runtime"]
    create_endpoint(sagemaker, "by-boto3", job["ModelArtifacts"]["S3ModelArtifacts"], count=2)
    endpoint = settled_endpoint(sagemaker, "by-boto3")
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert [invoke(runtime, "by-boto3", f"q{number}") for number in range(4)] == [
        f"q{number} 1.0" for number in range(4)
    ]
    sagemaker.delete_endpoint(EndpointName="by-boto3")
    waiter = sagemaker.get_waiter("endpoint_deleted")
    waiter.wait(EndpointName="by-boto3", WaiterConfig=PATIENCE)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName="by-boto3")
    with pytest.raises(ClientError) as gone:
        invoke(runtime, "by-boto3", "anyone?")
    assert gone.value.response["Error"]["Code"] == "ValidationError"


def test_a_running_job_can_be_stopped_and_keeps_what_it_saved(clients: dict[str, Any]) -> None:
    script = (
        "import os, pathlib, time\n"
        "pathlib.Path(os.environ['SM_MODEL_DIR'], 'half.txt').write_text('half')\n"
        "print('waiting', flush=True)\n"
        "time.sleep(300)\n"
    )
    sagemaker = clients["sagemaker"]
    sagemaker.create_training_job(**job_request("stopped-by-boto3", script, clients["s3"]))
    wait_for_line(clients["logs"], "stopped-by-boto3", "waiting")
    sagemaker.stop_training_job(TrainingJobName="stopped-by-boto3")
    job = ended_job(sagemaker, "stopped-by-boto3")
    assert job["TrainingJobStatus"] == "Stopped"
    key = "output/stopped-by-boto3/output/model.tar.gz"
    assert clients["s3"].head_object(Bucket=BUCKET, Key=key)["ContentLength"] > 0


def test_a_job_that_takes_too_long_is_stopped_by_its_time_limit(clients: dict[str, Any]) -> None:
    request = job_request(
        "slow-by-boto3",
        "import time\ntime.sleep(300)\n",
        clients["s3"],
        StoppingCondition={"MaxRuntimeInSeconds": 1},
    )
    job = run_job(clients["sagemaker"], request)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_an_endpoint_can_be_updated_to_another_model_and_never_fails_to_answer(
    clients: dict[str, Any],
) -> None:
    sagemaker, runtime, s3 = clients["sagemaker"], clients["sagemaker-runtime"], clients["s3"]
    create_endpoint(sagemaker, "updated", store_model(s3, "old", weights="old"))
    assert settled_endpoint(sagemaker, "updated")["EndpointStatus"] == "InService"
    second = store_model(s3, "new", weights="new")
    create_configuration(sagemaker, "updated-2", second)
    sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="updated-2")
    answers = ["x old"]
    while answers[-1] == "x old":
        answers.append(invoke(runtime, "updated", "x"))
    assert answers[-1] == "x new"
    assert settled_endpoint(sagemaker, "updated")["EndpointStatus"] == "InService"
    sagemaker.delete_endpoint(EndpointName="updated")


def test_an_operation_that_is_not_there_says_so(clients: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="CreateCluster") as error:
        clients["sagemaker"].create_cluster(ClusterName="no")
    assert error.value.response["Error"]["Code"] == "NotImplementedException"


def test_a_job_may_ask_for_the_longest_runtime_that_aws_allows(clients: dict[str, Any]) -> None:
    longest = {"MaxRuntimeInSeconds": 28 * 86_400}
    request = job_request("longest", "pass\n", clients["s3"], StoppingCondition=longest)
    ended = run_job(clients["sagemaker"], request)
    assert ended["TrainingJobStatus"] == "Completed", ended.get("FailureReason")
