"""What an endpoint's traffic leaves in CloudWatch, read with boto3."""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.script_mode import create_endpoint, invoke, settled_endpoint, store_model

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
