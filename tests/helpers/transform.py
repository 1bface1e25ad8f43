"""What the tests of transform jobs ask for, and a model that shows what it was asked."""

import time
from typing import Any

from botocore.exceptions import WaiterError

from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, PATIENCE, ROLE, store_model

SUMS = """
import csv, io, os, time

def model_fn(model_dir):
    return float(open(os.path.join(model_dir, "weights.txt")).read())

def input_fn(body, content_type):
    time.sleep(float(os.environ.get("PAUSE_S", "0")))
    text = body if isinstance(body, str) else bytes(body).decode()
    print(f"request {len(text.splitlines())} lines\\n", end="", flush=True)
    return [[float(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]

def predict_fn(rows, factor):
    return [sum(row) * factor for row in rows]

def output_fn(sums, accept):
    return "\\n".join(f"{one:g}" for one in sums)
"""
"""Handlers that sum each CSV line, times the model's own weight."""


def create_summing_model(
    clients: dict[str, Any], name: str = "sums", handlers: str = SUMS, **environment: str
) -> None:
    """A model of these handlers, whose weight is 2."""
    uri = store_model(clients["s3"], name, handlers, weights="2")
    container = {"Image": INFERENCE_IMAGE, "ModelDataUrl": uri, "Environment": environment}
    clients["sagemaker"].create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE
    )


def create_summing_row(
    clients: dict[str, Any], name: str, codes: dict[str, str], **environment: str
) -> None:
    """A model of a container for each name, each with the handlers there, and the weight 2."""
    containers = [
        {
            "ContainerHostname": host,
            "Image": INFERENCE_IMAGE,
            "ModelDataUrl": store_model(clients["s3"], f"{name}-{host}", code, weights="2"),
            "Environment": environment,
        }
        for host, code in codes.items()
    ]
    clients["sagemaker"].create_model(ModelName=name, Containers=containers, ExecutionRoleArn=ROLE)


def transform_request(name: str, prefix: str, **changes: Any) -> dict[str, Any]:
    """A CreateTransformJob request over CSV lines below a prefix of the demo bucket.

    Args:
        name: of the job; its outputs go below `out/NAME`.
        prefix: key of the objects.
        changes: top-level parameters; those of `TransformInput`, `TransformOutput` and
            `TransformResources` are added to ours.
    """
    parts: dict[str, dict[str, Any]] = {
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}
            },
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{BUCKET}/out/{name}",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    own = {key: {**part, **changes.pop(key, {})} for key, part in parts.items()}
    return {"TransformJobName": name, "ModelName": "sums", **own, **changes}


def run_transform(sagemaker: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Creates a job and waits for its end with boto3's own waiter."""
    sagemaker.create_transform_job(**request)
    return ended_transform(sagemaker, request["TransformJobName"])


def ended_transform(sagemaker: Any, name: str) -> dict[str, Any]:
    """Waits until a job has ended, whichever way, and describes it."""
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    try:
        waiter.wait(TransformJobName=name, WaiterConfig=PATIENCE)
    except WaiterError as error:
        if "TransformJobStatus" not in error.last_response:
            raise
    described: dict[str, Any] = sagemaker.describe_transform_job(TransformJobName=name)
    return described


def outputs(s3: Any, name: str) -> dict[str, str]:
    """The text of every output of a job, by its key below the job's."""
    prefix = f"out/{name}/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {
        key.removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        for key in keys
    }


def wait_for_outputs(s3: Any, name: str, count: int, patience_s: float = 60.0) -> None:
    """Waits until a job has so many outputs."""
    deadline = time.monotonic() + patience_s
    while len(outputs(s3, name)) < count:
        assert time.monotonic() < deadline, f"{name} has not made {count} outputs"
        time.sleep(0.05)
