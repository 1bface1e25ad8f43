"""boto3 alone against a running engine: real data is processed, in one and in two instances."""

import csv
import io
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from sklearn.datasets import load_digits

from tests.helpers.engine import RunningEngine
from tests.helpers.processing import cluster, processing_request, s3_input, s3_output, s3_outputs
from tests.helpers.script_mode import BUCKET, PATIENCE

pytestmark = pytest.mark.e2e

LOGS = "/aws/sagemaker/ProcessingJobs"
IMAGE = "intermodal/python:3"
GATEWAY = "198.19.255.254"
"""Where a job with a network of its own finds the engine."""
CODE = "/opt/ml/processing/input/code/run.py"
SHARDS = 4
PATIENCE_S = 30.0

SPLIT = """
import argparse, csv, json, pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--train-share", type=float)
share = parser.parse_args().train_share
root = pathlib.Path("/opt/ml/processing")
host = json.loads(pathlib.Path("/opt/ml/config/resourceconfig.json").read_text())["current_host"]
job = json.loads(pathlib.Path("/opt/ml/config/processingjobconfig.json").read_text())
print("job", job["ProcessingJobName"], "host", host)
files = sorted((root / "input" / "digits").glob("*.csv"))
rows = [row for file in files for row in csv.reader(file.open())]
print("files", " ".join(file.name for file in files))
scaled = [[float(value) / 16 for value in row[:-1]] + [row[-1]] for row in rows]
cut = int(share * len(scaled))
for name, part in (("train", scaled[:cut]), ("test", scaled[cut:])):
    with (root / name / f"{host}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(part)
pathlib.Path("/opt/ml/output/message").write_text(f"{host}: {len(rows)} rows. ")
"""

WAITS = """
import pathlib, time
pathlib.Path("/opt/ml/processing/live/first.txt").write_text("there already")
print("waiting", flush=True)
time.sleep(60)
"""

ROUTES = """
import os, socket
rows = [line.split() for line in open("/proc/net/route").readlines()[1:]]
print("ways out:", sum(row[1] == "00000000" for row in rows))
print("credentials:", sorted(name for name in os.environ if name.startswith("AWS_")))
for target in os.environ["TARGETS"].split():
    host, port = target.split(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
        print(target, "is reached")
    except OSError:
        print(target, "is out of reach")
"""

COUNTS = """
import pathlib, time
for number in range(150):
    print(f"line {number:04}", flush=True)
    time.sleep(0.01)
pathlib.Path("/opt/ml/processing/late/done.txt").write_text("whole")
"""


@pytest.fixture(scope="module")
def digits(clients: dict[str, Any]) -> list[list[str]]:
    """Real handwritten digits, as CSV in S3 in several objects; all their rows."""
    data = load_digits()
    rows = [
        [*(str(int(value)) for value in image), str(label)]
        for image, label in zip(data.data, data.target, strict=True)
    ]
    for number in range(SHARDS):
        text = io.StringIO()
        csv.writer(text).writerows(rows[number::SHARDS])
        key = f"digits/{number}.csv"
        clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=text.getvalue())
    return rows


def request(clients: dict[str, Any], name: str, script: str, **changes: Any) -> dict[str, Any]:
    """Uploads a script and returns the request of the job that runs it."""
    clients["s3"].put_object(Bucket=BUCKET, Key=f"code/{name}/run.py", Body=script)
    application = {
        "ImageUri": IMAGE,
        "ContainerEntrypoint": ["python3", CODE],
        **changes.pop("application", {}),
    }
    code = s3_input("code", f"s3://{BUCKET}/code/{name}/run.py", "input/code")
    inputs = [code, *changes.pop("inputs", [])]
    return processing_request(
        name, AppSpecification=application, ProcessingInputs=inputs, **changes
    )


def run(clients: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Creates a job and waits for its end, with boto3's own waiter."""
    clients["sagemaker"].create_processing_job(**wanted)
    return ended(clients, wanted["ProcessingJobName"])


def ended(clients: dict[str, Any], name: str) -> dict[str, Any]:
    waiter = clients["sagemaker"].get_waiter("processing_job_completed_or_stopped")
    try:
        waiter.wait(ProcessingJobName=name, WaiterConfig=PATIENCE)
    except WaiterError as error:
        if "ProcessingJobStatus" not in error.last_response:
            raise
    description: dict[str, Any] = clients["sagemaker"].describe_processing_job(
        ProcessingJobName=name
    )
    return description


def lines(clients: dict[str, Any], name: str) -> list[str]:
    pages = clients["logs"].get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=LOGS, logStreamNamePrefix=f"{name}/")
    return [event["message"] for page in found for event in page["events"]]


def text(clients: dict[str, Any], key: str) -> str:
    body: bytes = clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body.decode()


def keys(clients: dict[str, Any], prefix: str) -> list[str]:
    found = clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return [one["Key"].removeprefix(prefix) for one in found]


def wait_until_there(clients: dict[str, Any], key: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not keys(clients, key):
        assert time.monotonic() < deadline, f"{key} did not come up"
        time.sleep(0.05)


def wait_for(clients: dict[str, Any], name: str, line: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if line in lines(clients, name):
                return
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
        assert time.monotonic() < deadline, f"`{line}` did not come up"
        time.sleep(0.05)


def split_outputs(prefix: str) -> dict[str, Any]:
    return s3_outputs(
        *(s3_output(name, f"s3://{BUCKET}/{prefix}/{name}") for name in ("train", "test"))
    )


def test_real_digits_are_split_and_scaled_by_a_script(
    clients: dict[str, Any], digits: list[list[str]]
) -> None:
    job = run(
        clients,
        request(
            clients,
            "split",
            SPLIT,
            inputs=[s3_input("digits", f"s3://{BUCKET}/digits/", "input/digits")],
            application={"ContainerArguments": ["--train-share", "0.8"]},
            ProcessingOutputConfig=split_outputs("split"),
            Tags=[{"Key": "team", "Value": "blue"}],
        ),
    )
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ExitMessage"] == f"algo-1: {len(digits)} rows. "
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    train = list(csv.reader(io.StringIO(text(clients, "split/train/algo-1.csv"))))
    test = list(csv.reader(io.StringIO(text(clients, "split/test/algo-1.csv"))))
    assert len(train) == int(0.8 * len(digits))
    assert sorted(row[-1] for row in train + test) == sorted(row[-1] for row in digits)
    assert max(float(value) for row in train + test for value in row[:-1]) == 1.0
    assert "job split host algo-1" in lines(clients, "split")
    tags = clients["sagemaker"].list_tags(ResourceArn=job["ProcessingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]


def test_two_instances_get_half_of_the_objects_each(
    clients: dict[str, Any], digits: list[list[str]]
) -> None:
    source = s3_input(
        "digits",
        f"s3://{BUCKET}/digits/",
        "input/digits",
        S3DataDistributionType="ShardedByS3Key",
    )
    job = run(
        clients,
        request(
            clients,
            "split-in-two",
            SPLIT,
            inputs=[source],
            application={"ContainerArguments": ["--train-share", "0.5"]},
            ProcessingOutputConfig=split_outputs("two"),
            ProcessingResources=cluster(2),
        ),
    )
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert keys(clients, "two/train/") == ["algo-1.csv", "algo-2.csv"]
    counts = [int(part.split()[1]) for part in job["ExitMessage"].strip(". ").split(". ")]
    assert sum(counts) == len(digits)
    assert abs(counts[0] - counts[1]) <= 2
    found = [line for line in lines(clients, "split-in-two") if line.startswith("files")]
    assert sorted(found) == ["files 0.csv 2.csv", "files 1.csv 3.csv"]


def test_a_manifest_names_the_objects_that_are_brought_in(
    clients: dict[str, Any], digits: list[list[str]]
) -> None:
    manifest = [{"prefix": f"s3://{BUCKET}/digits/"}, "1.csv", "3.csv"]
    clients["s3"].put_object(Bucket=BUCKET, Key="some.manifest", Body=json.dumps(manifest))
    source = s3_input(
        "digits", f"s3://{BUCKET}/some.manifest", "input/digits", S3DataType="ManifestFile"
    )
    job = run(
        clients,
        request(
            clients,
            "by-manifest",
            SPLIT,
            inputs=[source],
            application={"ContainerArguments": ["--train-share", "0.5"]},
            ProcessingOutputConfig=split_outputs("manifest"),
        ),
    )
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert "files 1.csv 3.csv" in lines(clients, "by-manifest")
    assert job["ExitMessage"] == f"algo-1: {len(digits[1::4]) + len(digits[3::4])} rows. "


def test_code_in_the_folder_of_the_data_is_found(
    clients: dict[str, Any], digits: list[list[str]]
) -> None:
    listing = "import os; print(sorted(os.listdir('/opt/ml/processing/input')))"
    data = s3_input("data", f"s3://{BUCKET}/digits", "input")
    job = run(clients, request(clients, "nested", listing, inputs=[data]))
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert "['0.csv', '1.csv', '2.csv', '3.csv', 'code']" in lines(clients, "nested")


def test_a_job_is_stopped_and_what_it_wrote_is_kept(clients: dict[str, Any]) -> None:
    outputs = s3_outputs(s3_output("live", f"s3://{BUCKET}/stopped", "Continuous"))
    wanted = request(clients, "stopped", WAITS, ProcessingOutputConfig=outputs)
    clients["sagemaker"].create_processing_job(**wanted)
    wait_until_there(clients, "stopped/first.txt")  # while the job runs
    clients["sagemaker"].stop_processing_job(ProcessingJobName="stopped")
    job = ended(clients, "stopped")
    assert job["ProcessingJobStatus"] == "Stopped"
    assert text(clients, "stopped/first.txt") == "there already"
    with pytest.raises(ClientError, match="is in status Stopped"):
        clients["sagemaker"].stop_processing_job(ProcessingJobName="stopped")


def test_a_failing_script_is_quoted_in_the_reason_and_listed_as_failed(
    clients: dict[str, Any],
) -> None:
    script = (
        "import pathlib, sys\n"
        "pathlib.Path('/opt/ml/processing/out/half.csv').write_text('1')\n"
        "pathlib.Path('/opt/ml/output/message').write_text('row 7 is no number')\n"
        "raise ValueError('row 7')\n"
    )
    outputs = s3_outputs(s3_output("out", f"s3://{BUCKET}/failed"))
    job = run(clients, request(clients, "failing", script, ProcessingOutputConfig=outputs))
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information")
    assert "ValueError: row 7" in job["FailureReason"]
    assert job["FailureReason"].endswith("exit code: 1")
    assert job["ExitMessage"] == "row 7 is no number"
    assert keys(clients, "failed/") == ["half.csv"]
    found = clients["sagemaker"].list_processing_jobs(NameContains="failing", StatusEquals="Failed")
    (summary,) = found["ProcessingJobSummaries"]
    assert summary["ExitMessage"] == "row 7 is no number"


def test_an_isolated_job_has_no_way_out_not_even_to_the_engine(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    targets = [f"{GATEWAY}:{engine.port}", f"127.0.0.1:{engine.port}"]
    environment = {"TARGETS": " ".join(targets)}
    job = run(clients, request(clients, "open", ROUTES, Environment=environment))
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert {f"{target} is reached" for target in targets} & {*lines(clients, "open")}
    isolated = request(
        clients,
        "isolated",
        ROUTES,
        Environment=environment,
        NetworkConfig={"EnableNetworkIsolation": True},
    )
    job = run(clients, isolated)
    if "network isolation was asked for" in job.get("FailureReason", ""):
        pytest.skip("this machine can give an instance no network of its own")
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    said = lines(clients, "isolated")
    assert "ways out: 0" in said
    assert "credentials: []" in said
    assert {f"{target} is out of reach" for target in targets} <= {*said}


def test_an_image_without_a_known_entry_point_fails_with_what_to_do(
    clients: dict[str, Any],
) -> None:
    wanted = processing_request("imageless", AppSpecification={"ImageUri": IMAGE})
    job = run(clients, wanted)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "ContainerEntrypoint" in job["FailureReason"]


def test_a_job_goes_on_while_the_engine_is_dead_and_the_next_engine_completes_it(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    outputs = s3_outputs(s3_output("late", f"s3://{BUCKET}/survived"))
    wanted = request(clients, "survivor", COUNTS, ProcessingOutputConfig=outputs)
    clients["sagemaker"].create_processing_job(**wanted)
    wait_for(clients, "survivor", "line 0020")
    engine.kill()
    engine.start()
    job = ended(clients, "survivor")
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    written = [line for line in lines(clients, "survivor") if line.startswith("line")]
    assert written == [f"line {number:04}" for number in range(150)]
    assert text(clients, "survived/done.txt") == "whole"
