"""Application Auto Scaling by boto3: an endpoint that really grows with its traffic and shrinks."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from intermodal import LocalSession
from intermodal.predictor import Predictor
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, create_endpoint, invoke, settled_endpoint, store_model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "grows"
PATIENCE_S = 60.0
HERE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{NAME}/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    """An engine whose minutes take a second."""
    with running_engine("--scaling-period=1") as engine:
        yield engine


@pytest.fixture(scope="module")
def clients(engine: RunningEngine) -> dict[str, Any]:
    names = ("sagemaker", "sagemaker-runtime", "s3", "application-autoscaling", "cloudwatch")
    clients = {name: engine.client(name) for name in names}
    clients["s3"].create_bucket(Bucket=BUCKET)
    create_endpoint(clients["sagemaker"], NAME, store_model(clients["s3"], NAME), 1)
    assert settled_endpoint(clients["sagemaker"], NAME)["EndpointStatus"] == "InService"
    return clients


class Asking:
    """Asks an endpoint so many times a second."""

    def __init__(self, client: Any, per_s: float) -> None:
        self.per_s = per_s
        self.failures: list[str] = []
        self._client = client
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(PATIENCE_S)

    def _ask(self) -> None:
        while not self._ended.wait(1 / self.per_s):
            try:
                invoke(self._client, NAME, "q")
            except Exception as error:  # noqa: BLE001 (each failure is one to tell)
                self.failures.append(repr(error))


@pytest.fixture
def asking(engine: RunningEngine) -> Iterator[Asking]:
    asking = Asking(engine.client("sagemaker-runtime"), 20)
    yield asking
    asking.end()


def counts(clients: dict[str, Any]) -> tuple[int, int]:
    (variant,) = clients["sagemaker"].describe_endpoint(EndpointName=NAME)["ProductionVariants"]
    return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]


def wait_for_counts(clients: dict[str, Any], count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while counts(clients) != (count, count):
        assert time.monotonic() < deadline, counts(clients)
        time.sleep(0.1)


def test_our_sdks_policy_scales_out_and_in_and_no_call_fails(
    engine: RunningEngine, clients: dict[str, Any], asking: Asking
) -> None:
    predictor = Predictor(NAME, LocalSession(engine.home))
    # Ten a second and more, where one instance is to have 150 a minute.
    predictor.autoscale(1, 4, 150, scale_in_cooldown=1, scale_out_cooldown=1)
    wait_for_counts(clients, 4)
    scaling = clients["application-autoscaling"]
    activity = scaling.describe_scaling_activities(**HERE)["ScalingActivities"][0]
    assert "AlarmHigh" in activity["Cause"]
    alarms = clients["cloudwatch"].describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert [one["MetricName"] for one in alarms] == ["InvocationsPerInstance"]
    asking.per_s = 2
    wait_for_counts(clients, 1)
    assert asking.failures == []
    predictor.stop_autoscaling()
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert clients["cloudwatch"].describe_alarms()["MetricAlarms"] == []


def test_a_killed_engine_ends_up_at_the_number_that_was_decided(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    scaling = clients["application-autoscaling"]
    scaling.register_scalable_target(**HERE, MinCapacity=3, MaxCapacity=4)
    engine.kill()
    engine.start()
    wait_for_counts(clients, 3)
    deadline = time.monotonic() + PATIENCE_S
    while (newest := scaling.describe_scaling_activities(**HERE)["ScalingActivities"][0])[
        "StatusCode"
    ] != "Successful":
        assert time.monotonic() < deadline, newest
        time.sleep(0.1)
