"""The vendor's SDK, version 3, as it is: users' programs under `intermodal exec` and `env`."""

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.examples import told
from tests.helpers.script_mode import BUCKET, log_lines, store_model
from tests.helpers.vendor_environments import V3
from tests.helpers.vendor_sdk import User, WatchedProxy, python_or_skip

pytestmark = [pytest.mark.vendor, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def user(
    engine: RunningEngine, proxy: WatchedProxy, tmp_path_factory: pytest.TempPathFactory
) -> User:
    return User(engine, python_or_skip(V3), tmp_path_factory.mktemp("v3"), proxy)


@pytest.fixture(scope="module")
def trained(user: User) -> str:
    return user.runs("v3_trainer.py")


def test_torchrun_runs_on_two_hosts(trained: str, engine: RunningEngine) -> None:
    lines = log_lines(engine.client("logs"), told(trained, "job"))
    said = sorted(line for line in lines if line.startswith("rank "))
    assert said == ["rank 0 of 2 has 2.0", "rank 1 of 2 has 2.0"]


def test_the_model_builder_deploys_what_was_trained(trained: str) -> None:
    assert told(trained, "prediction") == "[2.0,4.0]"


def test_the_resource_classes_deploy_invoke_and_delete(user: User, engine: RunningEngine) -> None:
    s3 = engine.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    output = user.runs_after_env("v3_resources.py", store_model(s3, "resources"))
    assert told(output, "prediction") == "hello 3.14"
    assert told(output, "bucket") == "sagemaker-us-east-1-123456789012"
    assert "resources" not in told(output, "endpoints")


@pytest.mark.usefixtures("trained")
def test_nothing_was_sent_to_aws(proxy: WatchedProxy) -> None:
    assert proxy.to_aws == []
