"""What an endpoint's traffic leaves in CloudWatch, read with boto3."""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.script_mode import (
    create_endpoint,
    invoke,
    job_request,
    settled_endpoint,
    store_model,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Clients = dict[str, Any]
PATIENCE_S = 15.0
FRAIL = """
def model_fn(folder):
    return folder

def input_fn(body, content_type):
    return body

def predict_fn(body, model):
    if "bad" in str(body):
        raise RuntimeError("bad input")
    return "fine"

def output_fn(answer, accept):
    return answer, "text/plain"
"""


def total(cloudwatch: Any, metric: str) -> float:
    """The sum of an endpoint's metric over the last minutes."""
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": "counted"},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return math.fsum(one["Sum"] for one in answer["Datapoints"])


def test_requests_and_errors_are_counted(clients: Clients) -> None:
    uri = store_model(clients["s3"], "counted", FRAIL)
    create_endpoint(clients["sagemaker"], "counted", uri)
    assert settled_endpoint(clients["sagemaker"], "counted")["EndpointStatus"] == "InService"
    for _ in range(5):
        assert invoke(clients["sagemaker-runtime"], "counted", "good") == "fine"
    with pytest.raises(ClientError, match="ModelError"):
        invoke(clients["sagemaker-runtime"], "counted", "bad")
    deadline = time.monotonic() + PATIENCE_S
    while total(clients["cloudwatch"], "Invocations") < 6:
        assert time.monotonic() < deadline, "the requests never came to be counted"
        time.sleep(0.1)
    assert total(clients["cloudwatch"], "Invocations") == 6
    assert total(clients["cloudwatch"], "Invocation5XXErrors") == 1
    assert total(clients["cloudwatch"], "Invocation4XXErrors") == 0
    assert total(clients["cloudwatch"], "ModelLatency") > 0


BURNS = """
import time
end = time.monotonic() + 13
while time.monotonic() < end:
    pass
"""


def values(cloudwatch: Any, namespace: str, metric: str, **dimensions: str) -> list[float]:
    """A metric's averages by second over the last minute."""
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=1),
        EndTime=now + timedelta(seconds=1),
        Period=1,
        Statistics=["Average"],
    )
    return [one["Average"] for one in answer["Datapoints"]]


def wait_for_value(clients: Clients, least: float, *metric: str, **dimensions: str) -> float:
    deadline = time.monotonic() + 2 * PATIENCE_S
    while max(found := values(clients["cloudwatch"], *metric, **dimensions), default=-1.0) < least:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return max(found)


def test_what_instances_use_is_shown_of_endpoints_and_of_jobs(clients: Clients) -> None:
    job = job_request("burns", BURNS, clients["s3"])
    clients["sagemaker"].create_training_job(**job)
    variant = {"EndpointName": "counted", "VariantName": "AllTraffic"}
    group = "/aws/sagemaker/Endpoints"
    assert 0 < wait_for_value(clients, 0.01, group, "MemoryUtilization", **variant) < 100
    wait_for_value(clients, 0.0, group, "CPUUtilization", **variant)
    jobs = "/aws/sagemaker/TrainingJobs"
    host = "burns/algo-1"
    assert 30 < wait_for_value(clients, 30.0, jobs, "CPUUtilization", Host=host) < 250
    assert wait_for_value(clients, 0.01, jobs, "MemoryUtilization", Host=host) < 100
