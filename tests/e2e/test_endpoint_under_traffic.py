"""An endpoint that is changed, killed and updated while it is asked all the time: no call fails.

The calls are boto3's with its default retries; each one is counted.
"""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    create_configuration,
    create_endpoint,
    invoke,
    settled_endpoint,
    store_model,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Clients = dict[str, Any]
NAME = "asked"
PATIENCE_S = 60.0
ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 0,
    }
}
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            "WaitIntervalInSeconds": 2,
        }
    }
}


class Traffic:
    """Clients that ask an endpoint without a pause, and what they got."""

    def __init__(self, make_client: Callable[[], Any], clients: int = 3) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        made = [make_client() for _ in range(clients)]
        self._threads = [threading.Thread(target=self._ask, args=(one,)) for one in made]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _ask(self, client: Any) -> None:
        while not self._ended.is_set():
            try:
                answer = invoke(client, NAME, "q")
            except (ClientError, BotoCoreError) as error:
                with self._lock:
                    self.failures.append(repr(error))
            else:
                with self._lock:
                    self.answers[answer] += 1


@pytest.fixture(scope="module")
def traffic(engine: RunningEngine, clients: Clients) -> Iterator[Traffic]:
    """The endpoint, which answers with the weights of its model, and those who ask it."""
    for name, weights in (("asked", "one"), ("second", "two"), ("third", "three")):
        uri = store_model(clients["s3"], name, weights=weights)
        if name != NAME:
            create_configuration(clients["sagemaker"], name, uri, 2)
    bad = store_model(clients["s3"], "bad", "raise ValueError('no such weights')")
    create_configuration(clients["sagemaker"], "bad", bad, 2)
    create_endpoint(clients["sagemaker"], NAME, f"s3://demo/models/{NAME}/model.tar.gz", 2)
    assert settled_endpoint(clients["sagemaker"], NAME)["EndpointStatus"] == "InService"
    traffic = Traffic(lambda: engine.client("sagemaker-runtime"))
    yield traffic
    traffic.end()


def moved(clients: Clients, config: str, policy: dict[str, Any]) -> dict[str, Any]:
    """Updates the endpoint and waits for what comes of it."""
    clients["sagemaker"].update_endpoint(
        EndpointName=NAME, EndpointConfigName=config, DeploymentConfig=policy
    )
    return settled_endpoint(clients["sagemaker"], NAME)


def went_well(traffic: Traffic, *answers: str) -> None:
    """No call has failed, and these answers still come."""
    before = dict(traffic.answers)
    deadline = time.monotonic() + PATIENCE_S
    while any(traffic.answers[f"q {one}"] <= before.get(f"q {one}", 0) for one in answers):
        assert time.monotonic() < deadline, traffic.answers
        time.sleep(0.02)
    assert traffic.failures == []


def test_a_canary_and_then_all_of_it_moves(traffic: Traffic, clients: Clients) -> None:
    endpoint = moved(clients, "second", CANARY)
    assert endpoint["EndpointConfigName"] == "second"
    assert endpoint["LastDeploymentConfig"] == CANARY
    went_well(traffic, "two")
    assert {"q one", "q two"} <= set(traffic.answers)


def test_a_rolling_update(traffic: Traffic, clients: Clients) -> None:
    assert moved(clients, "third", ROLLING)["EndpointConfigName"] == "third"
    went_well(traffic, "three")


def test_a_bad_update_is_rolled_back(traffic: Traffic, clients: Clients) -> None:
    for policy in (ROLLING, CANARY):
        endpoint = moved(clients, "bad", policy)
        assert endpoint["EndpointConfigName"] == "third"
        assert "no such weights" in endpoint["FailureReason"]
        went_well(traffic, "three")


def zones_of(engine: RunningEngine) -> dict[int, str]:
    """The zone of each living instance, by the pid of its supervisor."""
    shown = json.loads(engine.cli("status", "--json").stdout)
    return {one["pid"]: one["zone"] for one in shown["instances"] if one["name"] == NAME}


def resized(clients: Clients, count: int) -> dict[str, Any]:
    clients["sagemaker"].update_endpoint_weights_and_capacities(
        EndpointName=NAME,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}],
    )
    return settled_endpoint(clients["sagemaker"], NAME)


def test_out_to_four_instances_and_in_to_two(
    traffic: Traffic, engine: RunningEngine, clients: Clients
) -> None:
    for count in (4, 2):
        (variant,) = resized(clients, count)["ProductionVariants"]
        assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (count, count)
        assert len(engine.supervisors("endpoint", NAME)) == count
        went_well(traffic, "three")


def test_an_instance_dies_and_is_replaced(
    traffic: Traffic, engine: RunningEngine, clients: Clients
) -> None:
    victim, other = engine.supervisors("endpoint", NAME)
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while victim in (now := engine.supervisors("endpoint", NAME)) or len(now) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert other in now
    went_well(traffic, "three")


def test_the_engine_is_restarted_as_planned(traffic: Traffic, engine: RunningEngine) -> None:
    before = engine.supervisors("endpoint", NAME)
    for _ in range(3):
        engine.restart()
        went_well(traffic, "three")
    assert engine.supervisors("endpoint", NAME) == before


def test_a_zone_is_lost_and_its_instances_come_back(
    traffic: Traffic, engine: RunningEngine, clients: Clients
) -> None:
    resized(clients, 4)
    folders = {pid: where for pid, where in zones_of(engine).items() if where.endswith("a")}
    assert len(folders) == 2
    for pid in folders:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while sorted(zone[-1] for zone in zones_of(engine).values()) != ["a", "a", "b", "c"] or (
        zones_of(engine).keys() & folders.keys()
    ):
        assert time.monotonic() < deadline, zones_of(engine)
        time.sleep(0.05)
    went_well(traffic, "three")


def test_the_engine_is_killed_and_started_again(
    traffic: Traffic, engine: RunningEngine, clients: Clients
) -> None:
    before = engine.supervisors("endpoint", NAME)
    traffic.end()  # a call that is under way is lost with the process that carries it
    assert traffic.failures == []
    engine.kill()
    engine.start()
    assert settled_endpoint(clients["sagemaker"], NAME)["EndpointStatus"] == "InService"
    assert invoke(clients["sagemaker-runtime"], NAME, "q") == "q three"
    assert engine.supervisors("endpoint", NAME) == before
