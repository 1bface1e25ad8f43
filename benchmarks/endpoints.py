"""From a stored model to its first prediction, with a model that needs no framework."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import running_engine

if TYPE_CHECKING:
    from intermodal.predictor import Predictor

_INFERENCE = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""


def measure() -> list[Figure]:
    """Times `deploy()` plus one `predict()`, endpoint after endpoint."""
    from intermodal.pytorch import PyTorchModel
    from intermodal_contract.artifact import pack_files

    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "inference.py")
        code.write_text(_INFERENCE)
        archive = Path(folder, "model.tar.gz")
        pack_files({"code/inference.py": code}, archive)
        model_data = session.upload_data(str(archive), key_prefix="bench")

        def deploy_and_predict() -> None:
            model = PyTorchModel(
                model_data=f"{model_data}",
                role="arn:aws:iam::123456789012:role/bench",
                framework_version="2.13.0",
                sagemaker_session=session,
            )
            predictors.append(model.deploy(initial_instance_count=1, instance_type="ml.m5.large"))
            predictors[-1].predict(b"hello")

        predictors: list[Predictor] = []
        samples = []
        for _ in range(RUNS + 1):
            with contextlib.redirect_stdout(io.StringIO()):
                samples.append(seconds_of(deploy_and_predict))
            predictors.pop().delete_endpoint()
    return [Figure("deploy() of a trivial model to first prediction", "s", 1.0, samples[1:])]
