"""A multi-model endpoint of boto3's: archives below a prefix, one container for all of them."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, ROLE, settled_endpoint, tar_gz

Clients = dict[str, Any]
PATIENCE_S = 20.0

SAYS = """
from pathlib import Path

def model_fn(model_dir):
    return Path(model_dir, "word").read_text()

def input_fn(body, content_type):
    return bytes(body).decode()

def predict_fn(text, word):
    return f"{word} {text}"

def output_fn(answer, accept):
    return answer, "text/plain"
"""


def archive(word: str, code: str = SAYS) -> bytes:
    """A model with code of its own, that says a word and what it was asked."""
    return tar_gz({"word": word, "code/inference.py": code})


def put_model(clients: Clients, endpoint: str, target: str, body: bytes) -> None:
    """Adds a model, or replaces it."""
    clients["s3"].put_object(Bucket=BUCKET, Key=f"many/{endpoint}/{target}", Body=body)


def deploy(clients: Clients, name: str, count: int = 1, **container: Any) -> dict[str, Any]:
    """Creates model, configuration and endpoint; describes the endpoint once it has settled."""
    sagemaker = clients["sagemaker"]
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": INFERENCE_IMAGE,
            "Mode": "MultiModel",
            "ModelDataUrl": f"s3://{BUCKET}/many/{name}/",
            **container,
        },
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return settled_endpoint(sagemaker, name)


def ask(clients: Clients, endpoint: str, target: str, text: str = "hello") -> str:
    """One prediction of one model."""
    answer = clients["sagemaker-runtime"].invoke_endpoint(
        EndpointName=endpoint, TargetModel=target, ContentType="text/plain", Body=text
    )
    return str(answer["Body"].read().decode())


def statistics(
    clients: Clients, endpoint: str, metric: str, namespace: str = "AWS/SageMaker"
) -> Mapping[str, float]:
    """`Sum`, `SampleCount` and `Maximum` of an endpoint's metric over the last minutes."""
    now = datetime.now(UTC)
    answer = clients["cloudwatch"].get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum", "SampleCount", "Maximum"],
    )
    points = answer["Datapoints"]
    return {
        "Sum": math.fsum(one["Sum"] for one in points),
        "SampleCount": math.fsum(one["SampleCount"] for one in points),
        "Maximum": max((one["Maximum"] for one in points), default=0.0),
    }


def wait_for(
    clients: Clients,
    endpoint: str,
    metric: str,
    statistic: str,
    value: float,
    namespace: str = "AWS/SageMaker",
) -> None:
    """Waits until a statistic has a value."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := statistics(clients, endpoint, metric, namespace))[statistic] != value:
        assert time.monotonic() < deadline, f"{metric}: {found}"
        time.sleep(0.1)
