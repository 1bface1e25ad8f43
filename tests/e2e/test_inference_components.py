"""Inference components by boto3: models that share instances, one of them from no copy at all."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    create_endpoint,
    settled_endpoint,
    store_model,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENDPOINT = "shares"
PATIENCE_S = 60.0
NEEDS = {"NumberOfCpuCoresRequired": 1.0, "MinMemoryRequiredInMb": 256}
COPIES = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/two",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    """An engine whose minutes take a second."""
    with running_engine("--scaling-period=1") as engine:
        yield engine


@pytest.fixture(scope="module")
def clients(engine: RunningEngine) -> dict[str, Any]:
    names = ("sagemaker", "sagemaker-runtime", "s3", "application-autoscaling", "cloudwatch")
    clients = {name: engine.client(name, retries={"mode": "standard"}) for name in names}
    clients["s3"].create_bucket(Bucket=BUCKET)
    clients["sagemaker"].create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ExecutionRoleArn=ROLE,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "ManagedInstanceScaling": {
                    "Status": "ENABLED",
                    "MinInstanceCount": 1,
                    "MaxInstanceCount": 3,
                },
            }
        ],
    )
    clients["sagemaker"].create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    assert settled_endpoint(clients["sagemaker"], ENDPOINT)["EndpointStatus"] == "InService"
    return clients


def supervisors(engine: RunningEngine, name: str) -> list[int]:
    return engine.supervisors("inference-component", name)


def until(holds: Callable[[], bool], tell: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.1)


def described(clients: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = clients["sagemaker"].describe_inference_component(
        InferenceComponentName=name
    )
    return found


def settled(clients: dict[str, Any], name: str) -> dict[str, Any]:
    until(
        lambda: (
            described(clients, name)["InferenceComponentStatus"] not in ("Creating", "Updating")
        ),
        lambda: described(clients, name),
    )
    return described(clients, name)


def specified(clients: dict[str, Any], weights: str) -> dict[str, Any]:
    uri = store_model(clients["s3"], f"component-{weights}", weights=weights)
    return {
        "Container": {"Image": INFERENCE_IMAGE, "ArtifactUrl": uri},
        "ComputeResourceRequirements": NEEDS,
    }


def create(clients: dict[str, Any], name: str, copies: int = 1) -> dict[str, Any]:
    clients["sagemaker"].create_inference_component(
        InferenceComponentName=name,
        EndpointName=ENDPOINT,
        VariantName="AllTraffic",
        Specification=specified(clients, name),
        RuntimeConfig={"CopyCount": copies},
    )
    found = settled(clients, name)
    assert found["InferenceComponentStatus"] == "InService", found.get("FailureReason")
    return found


def ask(clients: dict[str, Any], **parameters: Any) -> str:
    answer = clients["sagemaker-runtime"].invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="text/plain", Body=b"q", **parameters
    )
    body: str = answer["Body"].read().decode()
    return body


def test_each_component_answers_for_itself(clients: dict[str, Any]) -> None:
    create(clients, "one", copies=2)
    create(clients, "two")
    assert {ask(clients, InferenceComponentName="one") for _ in range(6)} == {"q one"}
    assert ask(clients, InferenceComponentName="two") == "q two"
    # The third copy has no room on the one instance with two cores.
    (variant,) = clients["sagemaker"].describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    found = clients["sagemaker"].list_inference_components(EndpointNameEquals=ENDPOINT)
    assert {one["InferenceComponentName"] for one in found["InferenceComponents"]} == {"one", "two"}


def test_who_names_no_component_or_one_that_is_not_there_is_told(
    clients: dict[str, Any],
) -> None:
    with pytest.raises(ClientError, match="Inference Component Name header is required"):
        ask(clients)
    with pytest.raises(ClientError, match=r"Inference Component nope .* not found"):
        ask(clients, InferenceComponentName="nope")
    uri = store_model(clients["s3"], "plain")
    create_endpoint(clients["sagemaker"], "plain", uri)
    settled_endpoint(clients["sagemaker"], "plain")
    with pytest.raises(ClientError, match="header is not allowed"):
        clients["sagemaker-runtime"].invoke_endpoint(
            EndpointName="plain", InferenceComponentName="one", Body=b"q"
        )
    clients["sagemaker"].delete_endpoint(EndpointName="plain")


def test_a_stream_comes_from_the_component_that_is_named(clients: dict[str, Any]) -> None:
    answer = clients["sagemaker-runtime"].invoke_endpoint_with_response_stream(
        EndpointName=ENDPOINT, InferenceComponentName="two", ContentType="text/plain", Body=b"q"
    )
    with contextlib.closing(answer["Body"]) as body:
        parts = [event["PayloadPart"]["Bytes"] for event in body]
    assert b"".join(parts) == b"q two"


def test_its_metrics_are_its_own(clients: dict[str, Any]) -> None:
    for _ in range(5):
        ask(clients, InferenceComponentName="one")

    def invocations() -> float:
        now = datetime.now(UTC)
        points = clients["cloudwatch"].get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[{"Name": "InferenceComponentName", "Value": "one"}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    until(lambda: invocations() >= 11, invocations)


def test_another_model_takes_over_and_no_call_fails(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    clients["sagemaker"].update_inference_component(
        InferenceComponentName="one", Specification=specified(clients, "uno")
    )
    seen = set()
    while described(clients, "one")["InferenceComponentStatus"] == "Updating":
        seen.add(ask(clients, InferenceComponentName="one"))
    assert seen <= {"q one", "q uno"}
    assert settled(clients, "one")["InferenceComponentStatus"] == "InService"
    assert {ask(clients, InferenceComponentName="one") for _ in range(4)} == {"q uno"}
    until(lambda: len(supervisors(engine, "one")) == 2, lambda: supervisors(engine, "one"))


def test_a_model_that_does_not_start_leaves_the_other_one_in_service(
    clients: dict[str, Any],
) -> None:
    uri = store_model(clients["s3"], "broken", "raise ValueError('no such weights')")
    container = {"Image": INFERENCE_IMAGE, "ArtifactUrl": uri}
    clients["sagemaker"].update_inference_component(
        InferenceComponentName="one", Specification={"Container": container}
    )
    found = settled(clients, "one")
    assert found["InferenceComponentStatus"] == "InService"
    assert "no such weights" in found["FailureReason"]
    assert ask(clients, InferenceComponentName="one") == "q uno"


def test_a_killed_copy_is_replaced_and_a_killed_engine_finds_the_others(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    victim, other = supervisors(engine, "one")
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        now = supervisors(engine, "one")
        return victim not in now and other in now and len(now) == 2

    until(is_replaced, lambda: supervisors(engine, "one"))
    before = supervisors(engine, "one")
    engine.kill()
    engine.start()
    assert ask(clients, InferenceComponentName="one") == "q uno"
    assert ask(clients, InferenceComponentName="two") == "q two"
    assert supervisors(engine, "one") == before


def test_a_component_goes_to_no_copy_and_a_call_brings_it_back(clients: dict[str, Any]) -> None:
    scaling, cloudwatch = clients["application-autoscaling"], clients["cloudwatch"]
    clients["sagemaker"].update_inference_component_runtime_config(
        InferenceComponentName="two", DesiredRuntimeConfig={"CopyCount": 0}
    )
    assert settled(clients, "two")["RuntimeConfig"] == {
        "DesiredCopyCount": 0,
        "CurrentCopyCount": 0,
    }
    scaling.register_scalable_target(**COPIES, MinCapacity=0, MaxCapacity=2)
    policy = scaling.put_scaling_policy(
        **COPIES,
        PolicyName="from-zero",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )["PolicyARN"]
    cloudwatch.put_metric_alarm(
        AlarmName="nobody-serves",
        AlarmActions=[policy],
        MetricName="NoCapacityInvocationFailures",
        Namespace="AWS/SageMaker",
        Statistic="Maximum",
        Dimensions=[{"Name": "InferenceComponentName", "Value": "two"}],
        Period=10,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
    )
    with pytest.raises(ClientError, match="has no capacity to process this request"):
        ask(clients, InferenceComponentName="two")

    until(
        lambda: settled(clients, "two")["RuntimeConfig"]["CurrentCopyCount"] == 1,
        lambda: scaling.describe_scaling_activities(**COPIES),
    )
    assert ask(clients, InferenceComponentName="two") == "q two"
    scaling.deregister_scalable_target(**COPIES)


def test_instances_go_when_their_copies_have_gone(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    sagemaker = clients["sagemaker"]
    with pytest.raises(ClientError, match="Delete these first"):
        sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    for name in ("one", "two"):
        sagemaker.delete_inference_component(InferenceComponentName=name)

    def count() -> int:
        (variant,) = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
        found: int = variant["CurrentInstanceCount"]
        return found

    until(lambda: count() == 1, count)
    until(
        lambda: not sagemaker.list_inference_components()["InferenceComponents"],
        lambda: sagemaker.list_inference_components(),
    )
    assert supervisors(engine, "one") == []
    until(
        lambda: sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"] == "InService",
        count,
    )
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
