"""The quickstart, as `make quickstart` runs it: what it tells is checked against what is there."""

import re

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.examples import run_example, told

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def output(engine: RunningEngine) -> str:
    return run_example("quickstart.py", engine.environment)


def test_it_reaches_the_accuracy_that_it_promises(output: str) -> None:
    assert float(told(output, "accuracy").split()[0]) >= 0.95


def test_two_instances_serve_in_two_zones(output: str) -> None:
    assert len(set(told(output, "zones").split(", "))) == 2


def test_hardly_a_request_fails_though_an_instance_is_killed(output: str) -> None:
    answered, failed = re.findall(r"\d+", told(output, "requests"))
    assert int(answered) > 200
    # What was inside the killed instance at that moment cannot be saved; four clients were sending.
    assert int(failed) <= 4


def test_the_model_lies_where_it_says(output: str, engine: RunningEngine) -> None:
    uri = told(output, "model.tar.gz")
    path = engine.home / "s3" / uri.removeprefix("s3://")
    assert str(path) in output
    assert path.stat().st_size > 100_000


def test_the_same_digit_comes_back_over_plain_signed_http(output: str) -> None:
    assert re.search(r'^HTTP 200: \{"digits": \[0\],.*\(it is a 0\)$', output, re.MULTILINE)


def test_it_leaves_no_endpoint_behind(output: str, engine: RunningEngine) -> None:
    assert "deleted" in output
    sagemaker = engine.client("sagemaker")
    statuses = [one["EndpointStatus"] for one in sagemaker.list_endpoints()["Endpoints"]]
    assert set(statuses) <= {"Deleting"}
    assert sagemaker.list_models()["Models"] == []
