"""The reference program as a user runs it, and what the same user does next with our SDK.

The version of MXNet that they all ask for exists nowhere any more.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from intermodal import LocalSession
from intermodal.mxnet import MXNet, MXNetModel
from intermodal_contract.catalogue import nearest
from tests.helpers.engine import RunningEngine
from tests.helpers.examples import EXAMPLES, run_example, told
from tests.helpers.script_mode import ROLE, log_lines

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ASKED_FOR = "1.4.1"
RUNS = f"mxnet {nearest('mxnet', ASKED_FOR).version}"
DATA = "s3://mybucket/data/train"
HELD_OUT = np.arange(1797) % 5 == 0


@pytest.fixture(scope="module")
def output(mxnet_can_be_had: None, engine: RunningEngine) -> str:
    return run_example("reference.py", engine.environment)


@pytest.fixture(scope="module")
def session(output: str, engine: RunningEngine) -> LocalSession:
    """Of the user who has just run the program: its data lie in the bucket."""
    return LocalSession(engine.home, default_bucket="mybucket")


def test_it_reaches_the_accuracy_that_it_promises(output: str) -> None:
    assert float(told(output, "accuracy").split()[0]) >= 0.95


def test_two_instances_serve_in_two_zones(output: str) -> None:
    assert len(set(told(output, "zones").split(", "))) == 2


def test_the_logs_of_the_job_and_of_the_endpoint_say_which_version_really_runs(output: str) -> None:
    assert f"\nintermodal: asked for mxnet {ASKED_FOR}, runs on {RUNS} in " in output
    assert told(output, "asked for") == f"mxnet {ASKED_FOR}"
    assert told(output, "trained by") == f"{RUNS} on cpu(0), worker 0 of 1"
    assert told(output, "served by") == f"loaded model-symbol.json with {RUNS}"


def test_the_names_of_v1_are_taken_and_the_new_ones_shown(output: str) -> None:
    renamed = dict(re.findall(r"DeprecationWarning: `(\w+)` is .*; write `(\w+)`", output))
    assert renamed == {
        "train_instance_count": "instance_count",
        "train_instance_type": "instance_type",
    }


def test_the_model_holds_what_the_vendors_serving_images_load_too(
    output: str, engine: RunningEngine
) -> None:
    uri = told(output, "model.tar.gz")
    with tarfile.open(engine.home / "s3" / uri.removeprefix("s3://")) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert names >= {"model-symbol.json", "model-0000.params", "model-shapes.json"}


def test_it_leaves_no_endpoint_and_no_model_behind(output: str, engine: RunningEngine) -> None:
    sagemaker = engine.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []
    assert engine.supervisors("endpoint", "*") == []


@pytest.fixture(scope="module")
def trained_by_two(session: LocalSession) -> MXNet:
    """By the program's script, each instance on half of the data."""
    with pytest.warns(DeprecationWarning, match="is the name of the vendor.s SDK v1"):
        estimator = MXNet(
            "train.py",
            source_dir=str(EXAMPLES / "mxnet_digits"),
            role=ROLE,
            train_instance_count=2,
            train_instance_type="ml.m5.xlarge",
            framework_version=ASKED_FOR,
            distributions={"parameter_server": {"enabled": True}},
            base_job_name="two",
            sagemaker_session=session,
        )
    estimator.fit(DATA, logs=False)
    return estimator


def test_two_instances_train_on_halves_and_end_with_the_same_parameters(
    trained_by_two: MXNet, engine: RunningEngine
) -> None:
    lines = log_lines(engine.client("logs"), trained_by_two.jobs[-1].name)
    workers = [line for line in lines if line.startswith("mxnet ")]
    assert sorted(workers) == [f"{RUNS} on cpu(0), worker {rank} of 2" for rank in (0, 1)]
    shares = re.findall(r"^(\d+) of (\d+) images", "\n".join(lines), re.MULTILINE)
    assert shares == [("718", "1437")] * 2
    losses = re.findall(r"^epoch=10 loss=([\d.]+)", "\n".join(lines), re.MULTILINE)
    assert len(set(losses)) == 2, "both have trained, each on other images"
    parameters = [line for line in lines if line.startswith("parameters=")]
    assert len(parameters) == 2
    assert len(set(parameters)) == 1


@pytest.fixture
def predictor(trained_by_two: MXNet, session: LocalSession, tmp_path: Path) -> Iterator[Any]:
    """Of an archive that somebody has, with code of their own for what is answered."""
    answers = tmp_path / "answers.py"
    answers.write_text(
        "import json\n\n"
        "def output_fn(scores, accept):\n"
        "    return json.dumps(scores.argmax(axis=1).tolist())\n"
    )
    model = MXNetModel(
        model_data=str(trained_by_two.model_data),
        role=ROLE,
        entry_point=str(answers),
        framework_version=ASKED_FOR,
        sagemaker_session=session,
    )
    predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
    yield predictor
    predictor.delete_model()
    predictor.delete_endpoint()


def test_an_existing_archive_is_deployed_with_code_of_ones_own(predictor: Any) -> None:
    pixels, digits = load_digits(return_X_y=True)
    predicted = predictor.predict(pixels[HELD_OUT].tolist())
    assert np.mean(np.array(predicted) == digits[HELD_OUT]) >= 0.95
