"""Models of several containers, in a row and by name, by boto3, in real containers of ours."""

import json
import math
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.containers_in_a_row import ask, create_model, deploy
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import create_endpoint, settled_endpoint, store_model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Clients = dict[str, Any]
PATIENCE_S = 20.0
HOSTS = ("first", "second", "third")


@pytest.fixture(scope="module")
def row(clients: Clients) -> str:
    """An endpoint of one instance with three containers, each after the other."""
    create_model(clients, "row", ["one", "two", "three"], HOSTS)
    assert deploy(clients, "row")["EndpointStatus"] == "InService"
    return "row"


@pytest.fixture(scope="module")
def direct(clients: Clients) -> str:
    """An endpoint of two containers, of which each request names one."""
    create_model(clients, "direct", ["one", "two"], HOSTS[:2], "Direct")
    assert deploy(clients, "direct")["EndpointStatus"] == "InService"
    return "direct"


def refusal(clients: Clients, endpoint: str, **request: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        ask(clients, endpoint, **request)
    response: dict[str, Any] = dict(caught.value.response)
    return response


def total(clients: Clients, endpoint: str, metric: str, container: str | None = None) -> float:
    """How many values a metric has."""
    dimensions = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    if container:
        dimensions["ContainerName"] = container
    now = datetime.now(UTC)
    answer = clients["cloudwatch"].get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["SampleCount"],
    )
    return math.fsum(one["SampleCount"] for one in answer["Datapoints"])


def test_each_container_gets_what_the_one_before_it_has_answered(
    clients: Clients, row: str
) -> None:
    text, kind = ask(clients, row)
    assert text == "x > one got text/plain > two got text/x-one > three got text/x-two"
    assert kind == "text/x-three"


def test_a_large_body_goes_through_all_of_them(clients: Clients, row: str) -> None:
    text = "y" * (3 << 20)
    answer, _ = ask(clients, row, text)
    assert answer == f"{text} > one got text/plain > two got text/x-one > three got text/x-two"


def test_an_error_says_which_container(clients: Clients, row: str) -> None:
    response = refusal(clients, row, text="break two")
    assert response["Error"]["Code"] == "ModelError"
    assert 'Received server error (500) from second with message "' in response["Error"]["Message"]
    assert "two is broken" in response["OriginalMessage"]


def test_what_the_client_accepts_is_the_last_containers_business(
    clients: Clients, row: str
) -> None:
    assert ask(clients, row, Accept="text/csv")[1] == "text/x-three"
    logs = clients["logs"]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        streams = logs.describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{row}")
        said = {}
        for stream in streams["logStreams"]:
            name = stream["logStreamName"]
            events = logs.get_log_events(
                logGroupName=f"/aws/sagemaker/Endpoints/{row}", logStreamName=name
            )["events"]
            said[name.rpartition("/")[2]] = {one["message"] for one in events}
        if "asked for text/csv" in said.get("third", ()):
            break
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    assert set(said) == set(HOSTS)
    assert "asked for text/csv" not in said["first"] | said["second"]


def test_how_long_each_container_takes_is_a_metric(clients: Clients, row: str) -> None:
    before = total(clients, row, "ContainerLatency", "second")
    ask(clients, row)
    deadline = time.monotonic() + PATIENCE_S
    while total(clients, row, "ContainerLatency", "second") <= before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert total(clients, row, "ModelLatency") > 0
    assert total(clients, row, "Invocations", "second") == 0


def test_images_and_containers_are_described(clients: Clients, row: str) -> None:
    described = clients["sagemaker"].describe_endpoint(EndpointName=row)
    assert len(described["ProductionVariants"][0]["DeployedImages"]) == 3
    model = clients["sagemaker"].describe_model(ModelName=row)
    assert [one["ContainerHostname"] for one in model["Containers"]] == list(HOSTS)


def test_a_container_is_invoked_by_its_name(clients: Clients, direct: str) -> None:
    answer, _ = ask(clients, direct, TargetContainerHostname="second")
    assert answer == "x > two got text/plain"
    assert ask(clients, direct, TargetContainerHostname="first")[0] == "x > one got text/plain"
    deadline = time.monotonic() + PATIENCE_S
    while total(clients, direct, "Invocations", "second") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    message = refusal(clients, direct, text="break two", TargetContainerHostname="second")["Error"]
    assert "from second with message" in message["Message"]


def test_a_container_is_named_where_one_must_be_and_nowhere_else(
    clients: Clients, direct: str, row: str
) -> None:
    create_endpoint(clients["sagemaker"], "lone", store_model(clients["s3"], "lone"))
    assert settled_endpoint(clients["sagemaker"], "lone")["EndpointStatus"] == "InService"
    unknown = refusal(clients, direct, TargetContainerHostname="fourth")["Error"]
    assert unknown["Code"] == "ValidationError"
    assert unknown["Message"] == "Container fourth not found for endpoint direct."
    missing = refusal(clients, direct)["Error"]
    assert missing["Code"] == "ValidationError"
    assert "is missing a target container hostname header" in missing["Message"]
    for endpoint in (row, "lone"):
        error = refusal(clients, endpoint, TargetContainerHostname="second")["Error"]
        assert error["Code"] == "ValidationError"
        assert "is not configured for direct invocation" in error["Message"]


def test_a_container_that_cannot_start_is_told_by_its_name(clients: Clients) -> None:
    create_model(clients, "halting", ["one", "two"])
    uri = clients["sagemaker"].describe_model(ModelName="halting")["Containers"][1]["ModelDataUrl"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    clients["s3"].put_object(Bucket=bucket, Key=key, Body=b"no archive")
    described = deploy(clients, "halting")
    assert described["EndpointStatus"] == "Failed"
    assert "two.tar.gz" in described["FailureReason"]


def test_a_dead_container_takes_its_instance_along_and_another_one_comes(
    clients: Clients, engine: RunningEngine
) -> None:
    create_model(clients, "wounded-row", ["one", "two"], HOSTS[:2])
    assert deploy(clients, "wounded-row", 2)["EndpointStatus"] == "InService"
    before = engine.supervisors("endpoint", "wounded-row")
    assert len(before) == 4
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        assert ask(clients, "wounded-row")[0].startswith("x > one got")
        after = engine.supervisors("endpoint", "wounded-row")
        if len(after) == 4 and len(set(before) & set(after)) == 2:
            break
        assert time.monotonic() < deadline, (before, after)
    assert settled_endpoint(clients["sagemaker"], "wounded-row")["EndpointStatus"] == "InService"


def test_a_killed_engine_finds_all_containers(clients: Clients, engine: RunningEngine) -> None:
    create_model(clients, "lasting-row", ["one", "two"])
    assert deploy(clients, "lasting-row")["EndpointStatus"] == "InService"
    before = engine.supervisors("endpoint", "lasting-row")
    status = json.loads(engine.cli("status", "--json").stdout)
    shown = [one for one in status["instances"] if one["name"] == "lasting-row"]
    assert sorted(one["pid"] for one in shown) == before
    names = [one["instance"].partition(".")[2] for one in shown]
    assert names == ["container-1", "container-2"]
    engine.kill()
    engine.start()
    text, _ = ask(clients, "lasting-row")
    assert text == "x > one got text/plain > two got text/x-one"
    assert engine.supervisors("endpoint", "lasting-row") == before
    clients["sagemaker"].delete_endpoint(EndpointName="lasting-row")
    deadline = time.monotonic() + PATIENCE_S
    while engine.supervisors("endpoint", "lasting-row"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
