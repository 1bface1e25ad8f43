"""What a boto3 user writes to train a script and to serve a model, without any SDK of ours."""

import io
import json
import tarfile
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError, WaiterError

BUCKET = "demo"
ROLE = "arn:aws:iam::123456789012:role/demo"
TRAINING_IMAGE = "intermodal/pytorch-training:2.13.0-cpu-py311"
INFERENCE_IMAGE = "intermodal/pytorch-inference:2.13.0-cpu-py311"
TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
LINE_PATIENCE_S = 30.0
PATIENCE = {"Delay": 0.1, "MaxAttempts": 600}
"""For boto3's waiters, which look every 30 to 120 s unless told otherwise."""

ECHO = """
import os

def model_fn(model_dir):
    with open(os.path.join(model_dir, "weights.txt")) as file:
        return file.read()

def input_fn(body, content_type):
    return bytes(body).decode()

def predict_fn(text, weights):
    return f"{text} {weights}"

def output_fn(prediction, accept):
    return prediction
"""
"""Handlers of a model that answers what it was asked, and its own weights."""


def tar_gz(files: Mapping[str, str]) -> bytes:
    """An archive of text files by name."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


def job_request(name: str, script: str, s3: Any, **changes: Any) -> dict[str, Any]:
    """Uploads a script and returns the parameters of the job that runs it.

    Args:
        name: of the job.
        script: the text of train.py.
        s3: a client of S3; the bucket must be there.
        changes: top-level parameters that replace ours; `HyperParameters` are added to ours.
    """
    key = f"source/{name}/sourcedir.tar.gz"
    s3.put_object(Bucket=BUCKET, Key=key, Body=tar_gz({"train.py": script}))
    hyperparameters = {
        "sagemaker_program": json.dumps("train.py"),
        "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/{key}"),
        **changes.pop("HyperParameters", {}),
    }
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": hyperparameters,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        **changes,
    }


def run_job(sagemaker: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Creates a job, waits with boto3's own waiter, whichever way it ends, and describes it."""
    sagemaker.create_training_job(**request)
    return ended_job(sagemaker, request["TrainingJobName"])


def ended_job(sagemaker: Any, name: str) -> dict[str, Any]:
    """Waits until a job has ended, whichever way, and describes it."""
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    try:
        waiter.wait(TrainingJobName=name, WaiterConfig=PATIENCE)
    except WaiterError as error:
        if "TrainingJobStatus" not in error.last_response:
            raise
    description: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
    return description


def log_lines(logs: Any, job: str) -> list[str]:
    """All lines of a job's log, through FilterLogEvents and its pages."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=TRAINING_LOGS, logStreamNamePrefix=f"{job}/"
    )
    return [event["message"] for page in pages for event in page["events"]]


def wait_for_line(logs: Any, job: str, wanted: str) -> None:
    """Waits until a line has come up in a job's log."""
    deadline = time.monotonic() + LINE_PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if wanted in log_lines(logs, job):
                return
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
        time.sleep(0.05)
    raise AssertionError(f"`{wanted}` did not come up in the log of {job}")


def input_channel(name: str, uri: str) -> dict[str, Any]:
    """One entry of InputDataConfig."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def store_model(s3: Any, name: str, handlers: str = ECHO, weights: str = "3.14") -> str:
    """Uploads a model archive with its handlers; returns its URI."""
    key = f"models/{name}/model.tar.gz"
    archive = tar_gz({"weights.txt": weights, "code/inference.py": handlers})
    s3.put_object(Bucket=BUCKET, Key=key, Body=archive)
    return f"s3://{BUCKET}/{key}"


def create_configuration(sagemaker: Any, name: str, model_uri: str, count: int = 1) -> None:
    """Creates a model and an endpoint configuration of one name."""
    container = {"Image": INFERENCE_IMAGE, "ModelDataUrl": model_uri}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def create_endpoint(sagemaker: Any, name: str, model_uri: str, count: int = 1) -> None:
    """Creates a model, a configuration and an endpoint of one name; waits for nothing."""
    create_configuration(sagemaker, name, model_uri, count)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def settled_endpoint(sagemaker: Any, name: str) -> dict[str, Any]:
    """Waits until an endpoint is in service or has failed, and describes it."""
    try:
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=PATIENCE)
    except WaiterError as error:
        if "EndpointStatus" not in error.last_response:
            raise
    description: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    return description


def invoke(runtime: Any, name: str, text: str) -> str:
    """One prediction."""
    answer = runtime.invoke_endpoint(EndpointName=name, ContentType="text/plain", Body=text)
    return str(answer["Body"].read().decode())
