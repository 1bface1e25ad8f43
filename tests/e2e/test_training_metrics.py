"""A training curve as it grows, read from CloudWatch by clients of every age."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.loaders
import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import ended_job, job_request, wait_for_line

pytestmark = pytest.mark.e2e

JOB = "learns"
NAMESPACE = "/aws/sagemaker/TrainingJobs"
DIMENSIONS = [{"Name": "TrainingJobName", "Value": JOB}]
LOSSES = [round(1 / epoch, 4) for epoch in range(1, 6)]
LEARNS = f"""
import os, pathlib, time
for loss in {LOSSES}:
    print(f"loss={{loss}}", flush=True)
    time.sleep(0.1)
print("waits", flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module")
def job(clients: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A job that has printed all its losses and still runs."""
    request = job_request(JOB, LEARNS, clients["s3"])
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "train:loss", "Regex": r"loss=(\S+)"}
    ]
    clients["sagemaker"].create_training_job(**request)
    wait_for_line(clients["logs"], JOB, "waits")
    yield clients["sagemaker"].describe_training_job(TrainingJobName=JOB)
    clients["sagemaker"].stop_training_job(TrainingJobName=JOB)
    ended_job(clients["sagemaker"], JOB)


@pytest.fixture(scope="module", params=["smithy-rpc-v2-cbor", "json", "query"])
def cloudwatch(
    request: pytest.FixtureRequest, engine: RunningEngine, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A client that speaks this protocol: the newest speak CBOR, the oldest forms and XML."""
    model = botocore.loaders.Loader().load_service_model("cloudwatch", "service-2")
    model["metadata"] |= {"protocol": request.param, "protocols": [request.param]}
    folder = tmp_path_factory.mktemp("models")
    file = folder / "cloudwatch" / model["metadata"]["apiVersion"] / "service-2.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(model))
    session = botocore.session.Session()
    loader = botocore.loaders.Loader(extra_search_paths=[str(folder)])
    session.register_component("data_loader", loader)
    client = session.create_client(
        "cloudwatch",
        endpoint_url=engine.endpoint_url,
        region_name=engine.environment["AWS_REGION"],
        aws_access_key_id=engine.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=engine.environment["AWS_SECRET_ACCESS_KEY"],
    )
    assert client.meta.service_model.resolved_protocol == request.param
    return client


def curve(cloudwatch: Any, job: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """What the vendor's TrainingJobAnalytics asks for, oldest first."""
    wanted = {
        "Namespace": NAMESPACE,
        "MetricName": "train:loss",
        "Dimensions": DIMENSIONS,
        "StartTime": job["TrainingStartTime"],
        "EndTime": datetime.now(UTC) + timedelta(minutes=1),
        "Period": 60,
        "Statistics": ["Average"],
        **changes,
    }
    found: list[dict[str, Any]] = cloudwatch.get_metric_statistics(**wanted)["Datapoints"]
    return sorted(found, key=lambda one: one["Timestamp"])


def test_the_curve_of_a_running_job_is_there_by_the_minute_and_by_the_second(
    cloudwatch: Any, job: dict[str, Any]
) -> None:
    deadline = time.monotonic() + 10
    counts = ["SampleCount", "Average", "Minimum", "Maximum"]
    while sum(one["SampleCount"] for one in curve(cloudwatch, job, Statistics=counts)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    by_minute = curve(cloudwatch, job, Statistics=counts)
    assert len(by_minute) in (1, 2)  # the five lines may lie on both sides of a full minute
    assert max(one["Maximum"] for one in by_minute) == LOSSES[0]
    assert min(one["Minimum"] for one in by_minute) == LOSSES[-1]
    assert {one["Unit"] for one in by_minute} == {"None"}
    assert all(one["Timestamp"].second == 0 for one in by_minute)
    by_second = curve(cloudwatch, job, Period=1, ExtendedStatistics=["p50"])
    assert by_second[0]["Timestamp"] >= job["TrainingStartTime"] - timedelta(seconds=1)
    assert all("p50" in one["ExtendedStatistics"] for one in by_second)


def test_several_series_come_in_pages(cloudwatch: Any, job: dict[str, Any]) -> None:
    metric = {"Namespace": NAMESPACE, "MetricName": "train:loss", "Dimensions": DIMENSIONS}
    queries = [
        {"Id": name.lower(), "MetricStat": {"Metric": metric, "Period": 3600, "Stat": name}}
        for name in ("Minimum", "Maximum")
    ]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=job["TrainingStartTime"] - timedelta(hours=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        PaginationConfig={"PageSize": 1},
    )
    values: dict[str, list[float]] = {}
    for page in pages:
        for one in page["MetricDataResults"]:
            values.setdefault(one["Id"], []).extend(one["Values"])
    assert min(values["minimum"]) == LOSSES[-1]
    assert max(values["maximum"]) == LOSSES[0]


def test_a_jobs_metrics_can_be_found_by_its_name(cloudwatch: Any, job: dict[str, Any]) -> None:
    found = cloudwatch.list_metrics(Namespace=NAMESPACE, Dimensions=DIMENSIONS)["Metrics"]
    assert found == [{"Namespace": NAMESPACE, "MetricName": "train:loss", "Dimensions": DIMENSIONS}]
    assert cloudwatch.list_metrics(Namespace="AWS/EC2")["Metrics"] == []


def test_errors_are_those_of_the_service(cloudwatch: Any, job: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="exceeds the limit of 1,440") as refused:
        curve(cloudwatch, job, Period=1, StartTime=datetime.now(UTC) - timedelta(days=1))
    assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
    with pytest.raises(ClientError, match=r"`cloudwatch\.PutDashboard`") as missing:
        cloudwatch.put_dashboard(DashboardName="mine", DashboardBody="{}")
    assert missing.value.response["Error"]["Code"] == "NotImplementedException"
