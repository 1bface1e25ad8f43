"""Serverless endpoints by boto3 and our SDK: from no instance, throttled, idle, and killed."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from intermodal import LocalSession
from intermodal.deserializers import StringDeserializer
from intermodal.pytorch import PyTorchModel
from intermodal.serializers import StringSerializer
from intermodal.serverless import ServerlessInferenceConfig
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    invoke,
    settled_endpoint,
    store_model,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "on-demand"
PATIENCE_S = 30.0
SLOW = """
import time


def model_fn(folder):
    return None


def transform_fn(model, body, content_type, accept):
    time.sleep(1.0)
    return "slept", "text/plain"
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    """An engine that lets idle instances go after two seconds."""
    with running_engine("--serverless-idle=2") as engine:
        yield engine


@pytest.fixture(scope="module")
def clients(engine: RunningEngine) -> dict[str, Any]:
    names = ("sagemaker", "sagemaker-runtime", "s3", "cloudwatch")
    clients = {name: engine.client(name, retries={"max_attempts": 0}) for name in names}
    clients["s3"].create_bucket(Bucket=BUCKET)
    create(clients, NAME, store_model(clients["s3"], NAME), MaxConcurrency=3)
    return clients


def create(clients: dict[str, Any], name: str, uri: str, **config: int) -> None:
    sagemaker = clients["sagemaker"]
    container = {"Image": INFERENCE_IMAGE, "ModelDataUrl": uri}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    serverless = {"MemorySizeInMB": 1024, **config}
    variant = {"VariantName": "AllTraffic", "ModelName": name, "ServerlessConfig": serverless}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled_endpoint(sagemaker, name)["EndpointStatus"] == "InService"


def wait_for_none(engine: RunningEngine, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while engine.supervisors("endpoint", name):
        assert time.monotonic() < deadline, engine.supervisors("endpoint", name)
        time.sleep(0.1)


def test_it_goes_to_no_instance_and_the_next_call_brings_one(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    assert invoke(clients["sagemaker-runtime"], NAME, "hello") == "hello 3.14"
    wait_for_none(engine, NAME)
    (variant,) = clients["sagemaker"].describe_endpoint(EndpointName=NAME)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 3}
    began = time.monotonic()
    assert invoke(clients["sagemaker-runtime"], NAME, "hello") == "hello 3.14"
    assert time.monotonic() - began < 10.0
    assert len(engine.supervisors("endpoint", NAME)) == 1


def test_each_call_at_once_has_an_instance_and_what_is_too_much_is_throttled(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    create(clients, "slow", store_model(clients["s3"], "slow", SLOW), MaxConcurrency=2)
    found: Counter[str] = Counter()

    def ask() -> None:
        client = engine.client("sagemaker-runtime", retries={"max_attempts": 0})
        try:
            found[invoke(client, "slow", "?")] += 1
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            found[f"{error.response['Error']['Code']} {status}"] += 1

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == {"slept": 2, "ThrottlingException 429": 3}
    assert len(engine.supervisors("endpoint", "slow")) == 2
    clients["sagemaker"].delete_endpoint(EndpointName="slow")


def test_a_killed_engine_answers_from_what_there_is_and_from_nothing(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    assert invoke(clients["sagemaker-runtime"], NAME, "a") == "a 3.14"
    engine.kill()
    engine.start()
    assert invoke(engine.client("sagemaker-runtime"), NAME, "b") == "b 3.14"
    wait_for_none(engine, NAME)
    engine.kill()
    engine.start()
    assert invoke(engine.client("sagemaker-runtime"), NAME, "c") == "c 3.14"


def test_an_engine_that_is_killed_while_an_instance_comes_for_a_call_goes_on_with_it(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    wait_for_none(engine, NAME)
    caller = threading.Thread(target=ask_whatever_comes, args=(engine,))
    caller.start()
    deadline = time.monotonic() + PATIENCE_S
    while not engine.supervisors("endpoint", NAME):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun = engine.supervisors("endpoint", NAME)
    engine.kill()
    engine.start()
    assert invoke(engine.client("sagemaker-runtime"), NAME, "d") == "d 3.14"
    assert engine.supervisors("endpoint", NAME) == begun
    caller.join(PATIENCE_S)
    wait_for_none(engine, NAME)


def ask_whatever_comes(engine: RunningEngine) -> None:
    """A call whose server is killed, and what its client makes of that."""
    client = engine.client("sagemaker-runtime", retries={"max_attempts": 0})
    with suppress(ClientError, HTTPClientError):
        invoke(client, NAME, "?")


def test_how_long_an_instance_took_to_come_is_measured(clients: dict[str, Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = clients["cloudwatch"].list_metrics(
            Namespace="AWS/SageMaker", MetricName="ModelSetupTime"
        )["Metrics"]
        if found:
            return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_our_sdk_deploys_what_stays_ready(engine: RunningEngine, clients: dict[str, Any]) -> None:
    session = LocalSession(engine.home)
    predictor = PyTorchModel(
        model_data=store_model(clients["s3"], "ready"), role=ROLE, framework_version="2.13.0",
        sagemaker_session=session,
    ).deploy(
        serverless_inference_config=ServerlessInferenceConfig(1024, 2, provisioned_concurrency=1),
        serializer=StringSerializer(), deserializer=StringDeserializer(), endpoint_name="ready",
    )  # fmt: skip
    assert predictor.predict("x") == "x 3.14"
    time.sleep(4)
    assert len(engine.supervisors("endpoint", "ready")) == 1
    predictor.delete_endpoint()
