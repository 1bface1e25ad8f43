"""boto3 alone: objects are moved through a model in batches, and what comes of them into S3."""

import gzip
import json
import time
import uuid
from datetime import UTC
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET
from tests.helpers.transform import (
    SUMS,
    create_summing_model,
    ended_transform,
    outputs,
    run_transform,
    transform_request,
    wait_for_outputs,
)

pytestmark = pytest.mark.e2e

LOGS = "/aws/sagemaker/TransformJobs"
ONE_MB = {"MaxPayloadInMB": 1}

Clients = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def models(clients: Clients) -> None:
    """A model, and objects of CSV lines."""
    create_summing_model(clients)
    for number in range(3):
        body = "".join(f"{number},{line}\n" for line in range(10))
        clients["s3"].put_object(Bucket=BUCKET, Key=f"in/part/{number}.csv", Body=body)


def expected(number: int) -> str:
    return "".join(f"{2 * (number + line)}\n" for line in range(10))


def messages(clients: Clients, name: str, part: str = "") -> list[str]:
    pages = clients["logs"].get_paginator("filter_log_events")
    events = [
        event
        for page in pages.paginate(logGroupName=LOGS, logStreamNamePrefix=f"{name}/i-")
        for event in page["events"]
    ]
    return [one["message"] for one in events if one["logStreamName"].endswith(part)]


def test_every_object_becomes_one_of_the_same_name_with_out_behind_it(clients: Clients) -> None:
    job = run_transform(clients["sagemaker"], transform_request("many", "in/"))
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert outputs(clients["s3"], "many") == {
        f"part/{number}.csv.out": expected(number) for number in range(3)
    }
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert "request 10 lines" in messages(clients, "many")
    listed = clients["sagemaker"].list_transform_jobs(NameContains="many")
    assert listed["TransformJobSummaries"][0]["TransformJobStatus"] == "Completed"


def test_single_records_are_asked_one_by_one_and_several_at_once_in_order(clients: Clients) -> None:
    request = transform_request(
        "single", "in/part/1", BatchStrategy="SingleRecord", MaxConcurrentTransforms=4
    )
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert outputs(clients["s3"], "single") == {"1.csv.out": expected(1)}
    assert messages(clients, "single").count("request 1 lines") == 10


def test_instances_share_the_objects(clients: Clients) -> None:
    request = transform_request("shared", "in/", TransformResources={"InstanceCount": 2})
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert len(outputs(clients["s3"], "shared")) == 3
    pages = clients["logs"].get_paginator("filter_log_events")
    streams = [
        event["logStreamName"]
        for page in pages.paginate(logGroupName=LOGS, logStreamNamePrefix="shared/")
        for event in page["events"]
        if event["message"] == "request 10 lines"
    ]
    assert len(streams) == 3
    assert len(set(streams)) == 2


def test_results_are_joined_with_their_records_and_filtered(clients: Clients) -> None:
    request = transform_request(
        "joined",
        "in/part/2",
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    lines = "".join(f"2,{2 * line}\n" for line in range(10))
    assert outputs(clients["s3"], "joined") == {"2.csv.out": lines}


def test_a_manifest_names_compressed_objects(clients: Clients) -> None:
    s3 = clients["s3"]
    s3.put_object(Bucket=BUCKET, Key="zip/a.csv.gz", Body=gzip.compress(b"1,2\n3,4\n"))
    manifest = json.dumps([{"prefix": f"s3://{BUCKET}/zip/"}, "a.csv.gz"])
    s3.put_object(Bucket=BUCKET, Key="manifests/one.json", Body=manifest)
    source = {"S3DataType": "ManifestFile", "S3Uri": f"s3://{BUCKET}/manifests/one.json"}
    request = transform_request(
        "zipped",
        "",
        TransformInput={"DataSource": {"S3DataSource": source}, "CompressionType": "Gzip"},
    )
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert outputs(s3, "zipped") == {"a.csv.gz.out": "6\n14\n"}


def test_a_whole_object_of_any_size_is_streamed(clients: Clients) -> None:
    body = "1,2\n" * 400_000
    clients["s3"].put_object(Bucket=BUCKET, Key="big/all.csv", Body=body)
    request = transform_request(
        "streamed", "big/", TransformInput={"SplitType": "None"}, MaxPayloadInMB=0
    )
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert outputs(clients["s3"], "streamed") == {"all.csv.out": "6\n" * 400_000}
    assert "request 400000 lines" in messages(clients, "streamed")


def test_a_bad_record_fails_its_object_by_name_and_offset_and_the_others_are_kept(
    clients: Clients,
) -> None:
    s3 = clients["s3"]
    s3.put_object(Bucket=BUCKET, Key="mixed/a.csv", Body="1,1\n2,2\n")
    s3.put_object(Bucket=BUCKET, Key="mixed/b.csv", Body="1,1\n2,none\n3,3\n")
    s3.put_object(Bucket=BUCKET, Key="mixed/c.csv", Body="3,3\n" + "4" * (2 << 20) + "\n")
    request = transform_request(
        "mixed",
        "mixed/",
        BatchStrategy="SingleRecord",
        ModelClientConfig={"InvocationsMaxRetries": 0},
        **ONE_MB,
    )
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert reason.startswith("AlgorithmError: See job logs for more information: 2 of 3 objects")
    assert f"s3://{BUCKET}/mixed/b.csv, byte 4: " in reason
    assert "could not convert string to float" in reason
    assert f"s3://{BUCKET}/mixed/c.csv: the record at byte 4 is longer than MaxPayload" in reason
    assert outputs(s3, "mixed") == {"a.csv.out": "4\n8\n"}
    assert any("byte 4" in line for line in messages(clients, "mixed", "/data-log"))


def test_a_filter_that_matches_nothing_is_told(clients: Clients) -> None:
    request = transform_request("no-match", "in/part/0", DataProcessing={"InputFilter": "$[5]"})
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Failed"
    assert "the filter `$[5]` does not match: there is no element 5" in job["FailureReason"]
    assert outputs(clients["s3"], "no-match") == {}


def test_a_container_that_dies_fails_the_job_with_its_last_words(clients: Clients) -> None:
    create_summing_model(clients, "crashing", handlers="raise ValueError('no weights today')")
    request = transform_request("crash", "in/", ModelName="crashing")
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Failed"
    assert "no weights today" in job["FailureReason"]


def test_a_server_error_is_tried_again(clients: Clients) -> None:
    flaky = SUMS.replace(
        "    time.sleep",
        "    if not os.path.exists('/tmp/asked'):\n"
        "        open('/tmp/asked', 'w').close()\n"
        "        raise RuntimeError('not yet')\n"
        "    time.sleep",
    )
    create_summing_model(clients, "flaky", flaky, INTERMODAL_WORKERS="1")
    request = transform_request("retried", "in/part/0", ModelName="flaky")
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert outputs(clients["s3"], "retried") == {"0.csv.out": expected(0)}


def test_no_object_no_bucket_and_no_model_are_named(clients: Clients) -> None:
    sagemaker = clients["sagemaker"]
    job = run_transform(sagemaker, transform_request("nothing", "nowhere/"))
    assert job["TransformJobStatus"] == "Failed"
    assert "matched no files" in job["FailureReason"]
    output = {"S3OutputPath": "s3://not-there/out"}
    job = run_transform(sagemaker, transform_request("lost", "in/", TransformOutput=output))
    assert job["TransformJobStatus"] == "Failed"
    assert "`not-there` of `S3OutputPath`" in job["FailureReason"]
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.create_transform_job(**transform_request("no-model", "in/", ModelName="none"))


def test_a_stopped_job_keeps_what_is_whole(clients: Clients) -> None:
    s3, sagemaker = clients["s3"], clients["sagemaker"]
    for number in range(50):
        s3.put_object(Bucket=BUCKET, Key=f"slow/{number:02}.csv", Body="1,1\n")
    request = transform_request("stopped", "slow/", Environment={"PAUSE_S": "0.3"})
    sagemaker.create_transform_job(**request)
    wait_for_outputs(s3, "stopped", 2)
    sagemaker.stop_transform_job(TransformJobName="stopped")
    job = ended_transform(sagemaker, "stopped")
    assert job["TransformJobStatus"] == "Stopped"
    assert 2 <= len(outputs(s3, "stopped")) < 50
    assert set(outputs(s3, "stopped").values()) == {"4\n"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_transform_job(TransformJobName="stopped")


def test_a_killed_engine_loses_no_object_and_does_none_twice(
    engine: RunningEngine, clients: Clients
) -> None:
    s3, sagemaker = clients["s3"], clients["sagemaker"]
    for number in range(30):
        s3.put_object(Bucket=BUCKET, Key=f"kill/{number:02}.csv", Body=f"{number},1\n")
    request = transform_request("killed", "kill/", Environment={"PAUSE_S": "0.1"})
    sagemaker.create_transform_job(**request)
    wait_for_outputs(s3, "killed", 3)
    engine.kill()
    time.sleep(0.5)  # some five objects that no engine sees
    engine.start()
    job = ended_transform(sagemaker, "killed")
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    found = outputs(s3, "killed")
    assert found == {f"{n:02}.csv.out": f"{2 * (n + 1)}\n" for n in range(30)}
    assert messages(clients, "killed").count("request 1 lines") == 30


def test_what_went_in_and_came_out_is_captured_and_rows_have_inference_ids(
    clients: Clients,
) -> None:
    capture = {"DestinationS3Uri": f"s3://{BUCKET}/captured", "GenerateInferenceId": True}
    request = transform_request("captured", "in/", DataCaptureConfig=capture)
    job = run_transform(clients["sagemaker"], request)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    hour = job["TransformStartTime"].astimezone(UTC).strftime("%Y/%m/%d/%H")
    for kind, place, end in (("input", "in", ""), ("output", "out/captured", ".out")):
        key = f"captured/{kind}/{hour}/captured.jsonl"
        manifest = json.loads(clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read())
        names = [f"part/{number}.csv{end}" for number in range(3)]
        assert manifest == [{"prefix": f"s3://{BUCKET}/{place}/"}, *names]
    rows = [row.split(",") for row in outputs(clients["s3"], "captured")["part/1.csv.out"].split()]
    assert "".join(f"{row[0]}\n" for row in rows) == expected(1)
    started = job["TransformStartTime"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {row[2] for row in rows} == {started}
    assert len({uuid.UUID(row[1]) for row in rows}) == 10
