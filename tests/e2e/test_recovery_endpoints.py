"""The engine is killed with -9 while an endpoint serves, and started again: it serves on."""

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    create_endpoint,
    invoke,
    settled_endpoint,
    store_model,
)

pytestmark = pytest.mark.e2e


Clients = dict[str, Any]


def deploy(clients: Clients, name: str, count: int = 2) -> None:
    create_endpoint(clients["sagemaker"], name, store_model(clients["s3"], name), count)


def in_service(clients: Clients, name: str) -> bool:
    endpoint = settled_endpoint(clients["sagemaker"], name)
    return bool(endpoint["EndpointStatus"] == "InService")


def test_an_endpoint_answers_again_with_the_same_processes(
    engine: RunningEngine, clients: Clients
) -> None:
    deploy(clients, "steady")
    assert in_service(clients, "steady")
    before = engine.supervisors("endpoint", "steady")
    assert len(before) == 2
    engine.kill()
    engine.start()
    assert in_service(clients, "steady")
    runtime = clients["sagemaker-runtime"]
    assert {invoke(runtime, "steady", "again") for _ in range(6)} == {"again 3.14"}
    assert engine.supervisors("endpoint", "steady") == before


def test_an_instance_that_died_while_the_engine_was_dead_is_replaced(
    engine: RunningEngine, clients: Clients
) -> None:
    deploy(clients, "halved")
    assert in_service(clients, "halved")
    before = engine.supervisors("endpoint", "halved")
    engine.kill()
    os.kill(before[0], signal.SIGKILL)
    engine.start()
    assert in_service(clients, "halved")
    runtime = clients["sagemaker-runtime"]
    assert invoke(runtime, "halved", "still") == "still 3.14"
    after = wait_for_supervisors(engine, "halved", without=before[0])
    assert before[1] in after
    assert len(after) == 2


def test_an_endpoint_that_was_being_created_comes_into_service(
    engine: RunningEngine, clients: Clients
) -> None:
    deploy(clients, "young")
    engine.kill()
    engine.start()
    assert in_service(clients, "young")
    assert invoke(clients["sagemaker-runtime"], "young", "hello") == "hello 3.14"
    assert len(engine.supervisors("endpoint", "young")) == 2


def test_a_dead_instance_is_replaced_while_the_other_goes_on_answering(
    engine: RunningEngine, clients: Clients
) -> None:
    deploy(clients, "wounded")
    assert in_service(clients, "wounded")
    before = engine.supervisors("endpoint", "wounded")
    os.kill(before[0], signal.SIGKILL)
    runtime = clients["sagemaker-runtime"]
    deadline = time.monotonic() + 30
    while True:
        assert invoke(runtime, "wounded", "x") == "x 3.14"
        after = engine.supervisors("endpoint", "wounded")
        if before[0] not in after and len(after) == 2:
            break
        assert time.monotonic() < deadline, after


def wait_for_supervisors(engine: RunningEngine, name: str, without: int) -> list[int]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        after = engine.supervisors("endpoint", name)
        if without not in after and len(after) == 2:
            return after
        time.sleep(0.05)
    raise AssertionError(f"{without} was not replaced: {after}")


def test_status_shows_each_instance_with_its_zone_and_its_process(
    engine: RunningEngine, clients: Clients
) -> None:
    deploy(clients, "shown")
    assert in_service(clients, "shown")
    status = json.loads(engine.cli("status", "--json").stdout)
    shown = [one for one in status["instances"] if one["name"] == "shown"]
    assert sorted(one["pid"] for one in shown) == engine.supervisors("endpoint", "shown")
    assert sorted(one["zone"] for one in shown) == ["us-east-1a", "us-east-1b"]
    assert {one["variant"] for one in shown} == {"AllTraffic"}
    assert shown[0]["instance"] in engine.cli("status").stdout
