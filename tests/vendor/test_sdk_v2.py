"""The vendor's SDK, version 2, as it is: users' programs under `intermodal exec` and `env`."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.examples import told
from tests.helpers.vendor_environments import V2
from tests.helpers.vendor_sdk import User, WatchedProxy, python_or_skip

pytestmark = [pytest.mark.vendor, pytest.mark.timeout(600)]
ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def user(
    engine: RunningEngine, proxy: WatchedProxy, tmp_path_factory: pytest.TempPathFactory
) -> User:
    return User(engine, python_or_skip(V2), tmp_path_factory.mktemp("v2"), proxy)


@pytest.fixture(scope="module")
def notebook(user: User) -> str:
    return user.runs("v2_pytorch.py")


def test_fit_deploy_and_predict_do_what_the_script_says(notebook: str) -> None:
    assert told(notebook, "prediction") == "[2.0, 4.0]"


def test_the_job_logs_come_to_the_user_and_the_hook_does_not_come_into_the_job(
    notebook: str,
) -> None:
    assert "channel ['numbers.csv'] 3" in notebook
    assert "hook None False" in notebook


def test_the_role_and_the_default_bucket_are_the_engines(notebook: str) -> None:
    bucket = f"sagemaker-us-east-1-{ACCOUNT}"
    assert told(notebook, "bucket") == bucket
    assert told(notebook, "inputs") == f"s3://{bucket}/data/demo"
    assert told(notebook, "role") == f"arn:aws:iam::{ACCOUNT}:role/intermodal-local"


def test_a_job_is_attached_to(notebook: str) -> None:
    same_model, hyperparameters = told(notebook, "attached").split(" ", 1)
    assert same_model == "True"
    assert "'epochs': '3'" in hyperparameters


def test_an_image_of_ones_own_is_trained_with(user: User, engine: RunningEngine) -> None:
    uri = told(user.runs_after_env("v2_own_image.py"), "model_data")
    with tarfile.open(stored(engine, uri)) as archive:
        file = archive.extractfile("hyperparameters.json")
        assert file is not None
        assert json.load(file) == {"epochs": "3"}


@pytest.mark.usefixtures("mxnet_can_be_had")
def test_mxnet_trains(user: User, engine: RunningEngine) -> None:
    output = user.runs("v2_mxnet.py")
    assert "total 6.0" in output
    assert stored(engine, told(output, "model_data")).exists()


def test_a_transformer_moves_a_folder_through_the_model(user: User) -> None:
    output = user.runs("v2_transformer.py")
    assert told(output, "results") == "a.csv.out 1.0,2.0,2.0,4.0 b.csv.out 3.0,4.0,6.0,8.0"
    assert told(output, "attached") == "True"
    assert "scoring" in output  # the container's own log


def test_an_endpoint_s_calls_are_captured_until_it_is_disabled(user: User) -> None:
    output = user.runs("v2_capture.py")
    assert told(output, "captured") == "[1.0, 2.0] [2.0,4.0]"
    assert told(output, "encodings") == "JSON JSON"
    assert told(output, "inference") == "mine"
    assert told(output, "at first") == "Started 100"
    assert told(output, "disabled") == "Stopped"
    assert told(output, "enabled") == "Started 20"
    assert told(output, "updated") == "Started 7"


def test_many_models_are_served_and_added_while_they_are(user: User) -> None:
    output = user.runs("v2_multi_model.py")
    assert told(output, "listed") == "deep/three.tar.gz times-2.tar.gz"
    assert told(output, "answers") == "[3.0, 6.0] [2.0, 4.0]"
    assert told(output, "late") == "[4.0]"


def test_what_was_trained_is_registered_and_deployed_from_its_package(user: User) -> None:
    output = user.runs("v2_registry.py")
    assert told(output, "versions") == "1 2"
    assert told(output, "before") == "PendingManualApproval"
    assert told(output, "after") == "Approved"
    assert told(output, "rejected") == "Rejected for now"
    assert told(output, "prediction") == "[2.0, 4.0]"


def test_models_in_a_row_are_deployed_as_one_and_run_over_a_folder(user: User) -> None:
    output = user.runs("v2_pipeline.py")
    assert told(output, "answer") == "[10.0, 20.0]"
    assert told(output, "transformed") == "a.json.out [10.0,20.0]"


@pytest.mark.usefixtures("notebook")
def test_nothing_was_sent_to_aws(proxy: WatchedProxy) -> None:
    assert proxy.to_aws == []


def stored(engine: RunningEngine, uri: str) -> Path:
    return engine.home / "s3" / uri.removeprefix("s3://")


def test_hyperparameters_are_tuned_and_the_best_training_job_is_found(user: User) -> None:
    output = user.runs("v2_tuner.py")
    assert told(output, "jobs") == "3 {'Completed'}"
    assert [told(output, what) for what in ("values", "best", "model")] == ["True"] * 3


def test_a_model_is_deployed_without_instances(user: User) -> None:
    output = user.runs("v2_serverless.py")
    assert told(output, "prediction") == "[2.0, 4.0]"
    assert told(output, "config") == "5"


def test_asynchronous_endpoints_answer_by_way_of_s3(user: User) -> None:
    output = user.runs("v2_async.py")
    assert told(output, "waited") == "[2.0, 4.0]"
    assert told(output, "fetched") == "[6.0]"
    assert told(output, "failed") == "AsyncInferenceModelError"
