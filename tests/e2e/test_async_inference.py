"""Asynchronous endpoints by boto3 and our SDK: queued, told of, scaled to none, and killed."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from botocore.exceptions import ClientError

from intermodal import LocalSession
from intermodal.async_inference import AsyncInferenceConfig
from intermodal.deserializers import StringDeserializer
from intermodal.errors import AsyncInferenceModelError
from intermodal.pytorch import PyTorchModel
from intermodal.serializers import StringSerializer
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    settled_endpoint,
    store_model,
)
from tests.helpers.webhook import webhook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "later"
VARIANT = "AllTraffic"
PATIENCE_S = 60.0
LARGE_BYTES = 192 << 20
HERE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{NAME}/variant/{VARIANT}",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
MODEL = """
import json
import time


def model_fn(folder):
    return None


def transform_fn(model, body, content_type, accept):
    if content_type == "big/input":
        return bytes(body), "application/octet-stream"
    text = bytes(body).decode()
    word, _, rest = text.partition(" ")
    if word == "span":
        began = time.time()
        time.sleep(float(rest))
        return json.dumps([began, time.time()]), "application/json"
    if word == "sleep":
        time.sleep(float(rest))
    if word == "fail":
        raise ValueError(rest)
    return f"answer to {text}", "text/plain"
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    """An engine whose minutes take a second."""
    with running_engine("--scaling-period=1") as engine:
        yield engine


@pytest.fixture(scope="module")
def clients(engine: RunningEngine) -> dict[str, Any]:
    names = ("sagemaker", "sagemaker-runtime", "s3", "cloudwatch", "logs")
    clients = {
        name: engine.client(name, retries={"max_attempts": 0})
        for name in (*names, "application-autoscaling")
    }
    clients["s3"].create_bucket(Bucket=BUCKET)
    create(clients, NAME, store_model(clients["s3"], NAME, MODEL))
    return clients


def create(
    clients: dict[str, Any],
    name: str,
    uri: str,
    environment: dict[str, str] | None = None,
    *,
    concurrency: int = 4,
    **output: Any,
) -> None:
    sagemaker = clients["sagemaker"]
    container = {
        "Image": INFERENCE_IMAGE,
        "ModelDataUrl": uri,
        "Environment": {"SAGEMAKER_MAX_REQUEST_SIZE": str(1 << 30), **(environment or {})},
    }
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": VARIANT,
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[variant],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency},
            "OutputConfig": {
                "S3OutputPath": f"s3://{BUCKET}/out",
                "S3FailurePath": f"s3://{BUCKET}/failed",
                **output,
            },
        },
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled_endpoint(sagemaker, name)["EndpointStatus"] == "InService"


def ask(clients: dict[str, Any], text: str | bytes, **changes: Any) -> dict[str, Any]:
    """Asks with an input of its own in S3."""
    key = f"in/{os.urandom(8).hex()}"
    clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=text)
    request = {"EndpointName": NAME, "ContentType": "text/plain", **changes}
    found: dict[str, Any] = clients["sagemaker-runtime"].invoke_endpoint_async(
        InputLocation=f"s3://{BUCKET}/{key}", **request
    )
    return found


def fetch(clients: dict[str, Any], uri: str) -> bytes | None:
    place = urlparse(uri)
    try:
        answer = clients["s3"].get_object(Bucket=place.netloc, Key=place.path[1:])
    except clients["s3"].exceptions.NoSuchKey:
        return None
    return bytes(answer["Body"].read())


def wait_for(clients: dict[str, Any], uri: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while (found := fetch(clients, uri)) is None:
        assert time.monotonic() < deadline, uri
        time.sleep(0.02)
    return found.decode()


def count(clients: dict[str, Any]) -> int:
    (variant,) = clients["sagemaker"].describe_endpoint(EndpointName=NAME)["ProductionVariants"]
    assert isinstance(variant["CurrentInstanceCount"], int)
    return variant["CurrentInstanceCount"]


def wait_for_count(clients: dict[str, Any], wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while count(clients) != wanted:
        assert time.monotonic() < deadline, count(clients)
        time.sleep(0.1)


def error_of(work: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        work(**parameters)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def test_an_answer_lies_where_the_caller_was_told(clients: dict[str, Any]) -> None:
    accepted = ask(clients, "hello", InferenceId="mine")
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "mine"
    assert accepted["OutputLocation"].startswith(f"s3://{BUCKET}/out/")
    assert accepted["FailureLocation"].startswith(f"s3://{BUCKET}/failed/")
    assert wait_for(clients, accepted["OutputLocation"]) == "answer to hello"
    assert fetch(clients, accepted["FailureLocation"]) is None


def test_an_input_may_come_with_the_request_and_names_be_chosen(clients: dict[str, Any]) -> None:
    accepted = clients["sagemaker-runtime"].invoke_endpoint_async(
        EndpointName=NAME,
        Body=b"inline",
        ContentType="text/plain",
        S3OutputPathExtension="today/run-1",
        Filename="first.txt",
    )
    assert accepted["OutputLocation"] == f"s3://{BUCKET}/out/today/run-1/first.txt"
    assert wait_for(clients, accepted["OutputLocation"]) == "answer to inline"


def test_what_the_model_says_of_a_failure_lies_at_the_failure_location(
    clients: dict[str, Any],
) -> None:
    accepted = ask(clients, "fail on purpose")
    assert "on purpose" in wait_for(clients, accepted["FailureLocation"])
    assert fetch(clients, accepted["OutputLocation"]) is None
    lines = log_of(clients)
    assert any("Received server error" in one and "on purpose" in one for one in lines)


def log_of(clients: dict[str, Any]) -> list[str]:
    events = clients["logs"].get_log_events(
        logGroupName=f"/aws/sagemaker/Endpoints/{NAME}", logStreamName=f"{VARIANT}/data-log"
    )["events"]
    return [event["message"] for event in events]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"InputLocation": f"s3://{BUCKET}/in/missing"}, "Failed to download input"),
        ({"InputLocation": "s3://no-such-bucket-here/in"}, "Failed to download input"),
        ({"Body": b"sleep 5", "InvocationTimeoutSeconds": 1}, "did not answer within 1 s"),
    ],
)
def test_a_failure_that_is_not_the_models_is_named(
    clients: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    accepted = clients["sagemaker-runtime"].invoke_endpoint_async(
        EndpointName=NAME, ContentType="text/plain", **changes
    )
    assert words in wait_for(clients, accepted["FailureLocation"])


def test_topics_are_told_of_success_and_failure(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    sns = engine.client("sns")
    with webhook() as good, webhook() as bad:
        topics = {}
        for name, hook in {"good": good, "bad": bad}.items():
            topics[name] = sns.create_topic(Name=name)["TopicArn"]
            sns.subscribe(TopicArn=topics[name], Protocol="http", Endpoint=hook.url)
            hook.wait_for("SubscriptionConfirmation")
        notifications = {
            "SuccessTopic": topics["good"],
            "ErrorTopic": topics["bad"],
            "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
        }
        create(
            clients,
            "telling",
            f"s3://{BUCKET}/models/{NAME}/model.tar.gz",
            NotificationConfig=notifications,
        )
        accepted = ask(clients, "hello", EndpointName="telling", InferenceId="told")
        message = json.loads(good.wait_for("Notification")[0]["Message"])
        assert message["inferenceId"] == "told"
        assert message["responseParameters"] == {
            "contentType": "text/plain",
            "outputLocation": accepted["OutputLocation"],
            "responseBody": {"content": "answer to hello", "encoding": "UTF-8"},
        }
        ask(clients, "fail here", EndpointName="telling")
        message = json.loads(bad.wait_for("Notification")[0]["Message"])
        assert message["invocationStatus"] == "Failed"
        assert "here" in message["failureReason"]
    clients["sagemaker"].delete_endpoint(EndpointName="telling")


def test_wrong_requests_are_refused_by_name(clients: dict[str, Any]) -> None:
    runtime = clients["sagemaker-runtime"]
    refused = error_of(runtime.invoke_endpoint_async, EndpointName=NAME)
    assert refused == "ValidationError: Provide exactly one of Body and InputLocation."
    refused = error_of(
        runtime.invoke_endpoint_async, EndpointName=NAME, InputLocation=f"s3://{BUCKET}"
    )
    assert "names a bucket and no object in it" in refused
    refused = error_of(runtime.invoke_endpoint_async, EndpointName=NAME, Body=b"x" * 128_001)
    assert "InputLocation" in refused
    refused = error_of(runtime.invoke_endpoint_async, EndpointName="nobody", Body=b"x")
    assert "Endpoint nobody of account" in refused
    refused = error_of(runtime.invoke_endpoint, EndpointName=NAME, Body=b"x")
    assert "Call InvokeEndpointAsync" in refused


def test_what_is_large_flows_through_and_is_never_held(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    size = LARGE_BYTES
    before = memory_bytes(engine)
    clients["s3"].put_object(Bucket=BUCKET, Key="in/big", Body=bytes(size))
    accepted = clients["sagemaker-runtime"].invoke_endpoint_async(
        EndpointName=NAME, ContentType="big/input", InputLocation=f"s3://{BUCKET}/in/big"
    )
    place = urlparse(accepted["OutputLocation"])
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            head = clients["s3"].head_object(Bucket=BUCKET, Key=place.path[1:])
            break
        except ClientError:
            assert time.monotonic() < deadline, fetch(clients, accepted["FailureLocation"])
            time.sleep(0.1)
    assert head["ContentLength"] == size
    assert memory_bytes(engine) < before + size // 2


def memory_bytes(engine: RunningEngine) -> int:
    """The most that the engine ever had."""
    status = Path(f"/proc/{engine.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def test_an_instance_works_on_as_many_at_once_as_it_may_and_no_more(
    clients: dict[str, Any],
) -> None:
    uri = store_model(clients["s3"], "overlap", MODEL)
    create(clients, "overlap", uri, {"SAGEMAKER_MODEL_SERVER_WORKERS": "4"}, concurrency=2)
    accepted = [ask(clients, "span 0.5", EndpointName="overlap") for _ in range(6)]
    spans = [json.loads(wait_for(clients, one["OutputLocation"])) for one in accepted]
    most = max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)
    assert most == 2, spans
    clients["sagemaker"].delete_endpoint(EndpointName="overlap")


def test_a_dead_instance_and_a_killed_engine_lose_nothing(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    accepted = [ask(clients, "sleep 1.0") for _ in range(6)]
    time.sleep(0.3)
    (supervisor,) = engine.supervisors("endpoint", NAME)
    os.kill(supervisor, signal.SIGKILL)
    time.sleep(0.5)
    accepted.append(ask(clients, "after the instance"))
    engine.kill()
    engine.start()
    for one in accepted:
        assert wait_for(clients, one["OutputLocation"]).startswith("answer to")
    assert not [one for one in accepted if fetch(clients, one["FailureLocation"]) is not None]


def test_it_goes_to_no_instance_and_the_backlog_brings_one(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    scaling = clients["application-autoscaling"]
    scaling.register_scalable_target(**HERE, MinCapacity=0, MaxCapacity=2)
    scaling.put_scaling_policy(
        **HERE,
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 5.0,
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": [{"Name": "EndpointName", "Value": NAME}],
                "Statistic": "Average",
            },
            "ScaleInCooldown": 1,
            "ScaleOutCooldown": 1,
        },
    )
    policy = scaling.put_scaling_policy(
        **HERE,
        PolicyName="from-none",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": 5,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    clients["cloudwatch"].put_metric_alarm(
        AlarmName="has-backlog",
        MetricName="HasBacklogWithoutCapacity",
        Namespace="AWS/SageMaker",
        Dimensions=[{"Name": "EndpointName", "Value": NAME}],
        Statistic="Average",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=1,
        EvaluationPeriods=1,
        DatapointsToAlarm=1,
        Period=1,
        TreatMissingData="missing",
        AlarmActions=[policy["PolicyARN"]],
    )
    wait_for_count(clients, 0)
    assert engine.supervisors("endpoint", NAME) == []
    accepted = ask(clients, "from nothing")
    assert wait_for(clients, accepted["OutputLocation"]) == "answer to from nothing"
    wait_for_count(clients, 0)
    metrics = clients["cloudwatch"].list_metrics(
        Namespace="AWS/SageMaker", Dimensions=[{"Name": "EndpointName", "Value": NAME}]
    )["Metrics"]
    names = {one["MetricName"] for one in metrics if len(one["Dimensions"]) == 1}
    assert names >= {
        *("ApproximateBacklogSize", "ApproximateAgeOfOldestRequest", "InvocationsProcessed"),
        *("InvocationFailures", "TimeInBacklog", "TotalProcessingTime"),
    }


def test_what_waits_when_the_endpoint_is_deleted_is_told_so(clients: dict[str, Any]) -> None:
    assert count(clients) == 0
    clients["cloudwatch"].delete_alarms(AlarmNames=["has-backlog"])
    accepted = ask(clients, "too late")
    clients["sagemaker"].delete_endpoint(EndpointName=NAME)
    assert "was deleted" in wait_for(clients, accepted["FailureLocation"])


def test_our_sdk_asks_and_fetches(engine: RunningEngine, clients: dict[str, Any]) -> None:
    session = LocalSession(engine.home)
    predictor = PyTorchModel(
        model_data=store_model(clients["s3"], "sdk", MODEL), role=ROLE,
        framework_version="2.13.0", sagemaker_session=session,
    ).deploy(
        1, "ml.m5.large", async_inference_config=AsyncInferenceConfig(),
        serializer=StringSerializer("text/plain"), deserializer=StringDeserializer(),
    )  # fmt: skip
    assert predictor.predict("x") == "answer to x"
    answer = predictor.predict_async("y")
    with pytest.raises(AsyncInferenceModelError, match="oh dear"):
        predictor.predict("fail oh dear")
    assert answer.get_result() == "answer to y"
    predictor.delete_model()
    predictor.delete_endpoint()
