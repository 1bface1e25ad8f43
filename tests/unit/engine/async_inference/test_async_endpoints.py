"""Asynchronous endpoints on a fake driver: what is accepted, expires, is measured, is refused."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.async_inference.exchange import InstanceLostError
from intermodal_engine.services.answers import when
from intermodal_engine.services.async_invocations import invoke_endpoint_async
from intermodal_engine.services.call import Call
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import create, describe, endpoint_world, in_service, make_healthy
from tests.helpers.lifecycle import World

OUTPUT = {"S3OutputPath": "s3://results/out", "S3FailurePath": "s3://results/failed"}
VARIANT = {
    "VariantName": "AllTraffic",
    "ModelName": "model-of-config-1",
    "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.xlarge",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    world.backends.objects.create_bucket("results")
    return world


def config(world: World, name: str = "later", **changes: Any) -> None:
    request: dict[str, Any] = {
        "EndpointConfigName": name,
        "ProductionVariants": [VARIANT],
        "AsyncInferenceConfig": {"OutputConfig": OUTPUT},
        **changes,
    }
    world.call("CreateEndpointConfig", **request)


@pytest.fixture
def served(world: World) -> World:
    config(world)
    create(world, "later")
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"
    return world


def ask(world: World, **changes: Any) -> dict[str, Any]:
    call = Call(world.backends, "request-1", "us-east-1", "123456789012", "AKIA", {})
    return asyncio.run(invoke_endpoint_async(call, {"EndpointName": "ep", "Body": b"x", **changes}))


def refused(work: Callable[..., Any], *arguments: Any, **parameters: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        work(*arguments, **parameters)
    return caught.value.message


def stored(world: World, uri: str) -> str:
    _, _, key = uri.removeprefix("s3://").partition("/")
    _, file = world.backends.objects.open("results", key)
    with file:
        return file.read().decode()


def value(world: World, metric: str) -> float:
    found = world.call(
        "GetMetricStatistics",
        "cloudwatch",
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": "EndpointName", "Value": "ep"}],
        StartTime=when(world.clock.now() - 1000),
        EndTime=when(world.clock.now() + 10),
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    return float(max(one["Maximum"] for one in found))


def test_the_configuration_is_shown_by_configuration_and_endpoint(served: World) -> None:
    expected = {"OutputConfig": OUTPUT}
    shown = served.call("DescribeEndpointConfig", EndpointConfigName="later")
    assert shown["AsyncInferenceConfig"] == expected
    assert describe(served)["AsyncInferenceConfig"] == expected


def test_what_waits_for_too_long_expires(served: World) -> None:
    served.settle()
    accepted = ask(served, RequestTTLSeconds=60)
    served.advance(59)
    assert served.backends.objects.list("results", "failed").objects == []
    assert value(served, "ApproximateBacklogSize") == 1
    served.advance(2)
    assert "RequestTTLSeconds" in stored(served, accepted["FailureLocation"])
    served.advance(2)
    assert value(served, "ExpiredRequests") == 1


def test_an_endpoint_that_is_deleted_lets_nobody_wait(served: World) -> None:
    accepted = ask(served)
    served.call("DeleteEndpoint", EndpointName="ep")
    for _ in range(10):
        served.advance(2)
    assert "was deleted" in stored(served, accepted["FailureLocation"])


def test_an_endpoint_of_the_same_name_gets_nothing_of_the_one_before(served: World) -> None:
    accepted = ask(served)
    served.call("DeleteEndpoint", EndpointName="ep")
    served.advance(0.1)
    assert served.backends.records.find("endpoint", "ep") is None
    create(served, "later")
    served.advance(2)
    assert "was deleted" in stored(served, accepted["FailureLocation"])


def test_what_was_accepted_outlives_the_engine(served: World) -> None:
    accepted = ask(served, RequestTTLSeconds=60)
    again = served.restarted()
    again.settle()
    again.advance(62)
    assert "has expired" in stored(again, accepted["FailureLocation"])


def test_an_instance_that_dies_over_a_request_gives_it_back_and_the_third_ends_it(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def lost(*_: Any) -> Any:
        nonlocal tries
        tries += 1
        raise InstanceLostError("gone")

    inference = "intermodal_engine.lifecycle.async_inference.inference"
    monkeypatch.setattr(f"{inference}.perform", lost)
    monkeypatch.setattr(f"{inference}.RETRY_S", 0.01)
    monkeypatch.setattr(served.router, "asynchronous_capacity", lambda _: 1)

    async def run() -> dict[str, Any]:
        served.backends.async_inference.bind(asyncio.get_running_loop())
        call = Call(served.backends, "request-1", "us-east-1", "123456789012", "AKIA", {})
        accepted = await invoke_endpoint_async(call, {"EndpointName": "ep", "Body": b"x"})
        while not served.backends.objects.list("results", "failed").objects:
            await asyncio.sleep(0.01)
        served.backends.async_inference.close()
        return accepted

    accepted = asyncio.run(asyncio.wait_for(run(), 20))
    assert "3 instances that worked on it are gone" in stored(served, accepted["FailureLocation"])
    assert tries == 3


def test_a_backlog_without_instances_is_measured(served: World) -> None:
    ask(served)
    served.advance(2)
    assert value(served, "HasBacklogWithoutCapacity") == 1
    assert value(served, "ApproximateBacklogSizePerInstance") == 1
    assert value(served, "ApproximateAgeOfOldestRequest") >= 1


def test_a_variant_may_scale_to_none(served: World) -> None:
    here = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/ep/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    served.call(
        "RegisterScalableTarget", "application-autoscaling", **here, MinCapacity=0, MaxCapacity=2
    )
    served.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="ep",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}],
    )
    for _ in range(4):
        served.advance(1)
    shown = describe(served)
    assert shown["EndpointStatus"] == "InService"
    assert shown["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    assert ask(served)["OutputLocation"].startswith("s3://results/out/")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ProductionVariants": [VARIANT, {**VARIANT, "VariantName": "b"}]}, "exactly one"),
        ({"AsyncInferenceConfig": {"OutputConfig": {}}}, "You must specify S3OutputPath"),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "https://x/y"}}},
            "S3OutputPath: `https://x/y` is no S3 URI",
        ),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {**OUTPUT, "S3FailurePath": "s3://A/b"}}},
            "S3FailurePath: ",
        ),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(config, world, **changes)


def test_a_serverless_variant_is_refused(world: World) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model-of-config-1",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
    }
    assert "serverless" in refused(config, world, ProductionVariants=[variant])


def test_an_endpoint_stays_what_it_is(served: World) -> None:
    words = refused(served.call, "UpdateEndpoint", EndpointName="ep", EndpointConfigName="config-1")
    assert "from real-time to asynchronous" in words


def test_an_endpoint_that_answers_its_callers_takes_no_asynchronous_request(world: World) -> None:
    in_service(world)
    assert "Call InvokeEndpoint." in refused(ask, world)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Body": b""}, "exactly one of Body and InputLocation"),
        ({"InputLocation": "s3://results/in"}, "exactly one of Body and InputLocation"),
        ({"Body": b"", "InputLocation": "https://x/y"}, "InputLocation: `https://x/y` is no S3"),
        ({"Body": b"", "InputLocation": "s3://results"}, "no object in it"),
        ({"EndpointName": "nobody"}, "Endpoint nobody of account 123456789012 not found"),
        ({"S3OutputPathExtension": "a/" * 500}, "the result cannot be stored"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    served: World, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(ask, served, **changes)


def test_each_request_is_told_in_the_log(served: World) -> None:
    ask(served, InferenceId="mine", RequestTTLSeconds=60)
    served.advance(62)
    path = served.backends.log_streams.path("/aws/sagemaker/Endpoints/ep", "AllTraffic/data-log")
    assert "inference mine (request " in path.read_text()
