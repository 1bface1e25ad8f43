"""Models of several containers of boto3's, each with code that says what it got."""

from collections.abc import Sequence
from typing import Any

from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, ROLE, settled_endpoint, tar_gz

Clients = dict[str, Any]

STAMPS = """
def model_fn(model_dir):
    return open(f"{model_dir}/word").read()

def input_fn(body, content_type):
    return (body if isinstance(body, str) else bytes(body).decode()), content_type

def predict_fn(data, word):
    text, kind = data
    if f"break {word}" in text:
        raise ValueError(f"{word} is broken")
    return f"{text} > {word} got {kind}"

def output_fn(answer, accept):
    print("asked for", accept, flush=True)
    return answer, "text/x-{word}"
"""
"""Adds a word and the content type that it got; answers with a content type of its own."""


def store(clients: Clients, model: str, word: str, code: str = STAMPS) -> str:
    """Uploads the archive of one container; returns its URI."""
    key = f"rows/{model}/{word}.tar.gz"
    files = {"word": word, "code/inference.py": code.replace("{word}", word)}
    clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=tar_gz(files))
    return f"s3://{BUCKET}/{key}"


def create_model(
    clients: Clients,
    name: str,
    words: Sequence[str],
    hosts: Sequence[str] = (),
    mode: str | None = None,
) -> None:
    """Creates a model with a container a word.

    Args:
        clients: boto3's.
        name: the model's.
        words: of the containers, in their order.
        hosts: their names; empty: they have none.
        mode: `Serial` or `Direct`.
    """
    containers = [
        {"Image": INFERENCE_IMAGE, "ModelDataUrl": store(clients, name, word)} for word in words
    ]
    for container, host in zip(containers, hosts, strict=False):
        container["ContainerHostname"] = host
    execution = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
    clients["sagemaker"].create_model(
        ModelName=name, ExecutionRoleArn=ROLE, Containers=containers, **execution
    )


def deploy(clients: Clients, name: str, count: int = 1) -> dict[str, Any]:
    """Creates an endpoint of the model of that name; describes it once it has settled."""
    sagemaker = clients["sagemaker"]
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return settled_endpoint(sagemaker, name)


def ask(clients: Clients, endpoint: str, text: str = "x", **more: Any) -> tuple[str, str]:
    """One prediction, and its content type."""
    answer = clients["sagemaker-runtime"].invoke_endpoint(
        EndpointName=endpoint, ContentType="text/plain", Body=text, **more
    )
    return answer["Body"].read().decode(), answer["ContentType"]
