"""What the first call to a model of a multi-model endpoint takes more than a later one."""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.figures import RUNS, Figure
from benchmarks.local_engine import running_engine

_WEIGHTS_BYTES = 1 << 20
_MODELS = 2 * RUNS + 1
_CODE = """
from pathlib import Path

def model_fn(model_dir):
    return Path(model_dir, "weights").read_bytes()

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""


def measure() -> list[Figure]:
    """Asks models of 1 MB that do not compress for the first time, and at once again."""
    from intermodal.deserializers import BytesDeserializer
    from intermodal.multidatamodel import MultiDataModel
    from intermodal.pytorch import PyTorchModel
    from intermodal.serializers import IdentitySerializer

    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        many = MultiDataModel(
            "many",
            f"s3://{session.default_bucket()}/many/",
            model=PyTorchModel(
                model_data=f"s3://{session.default_bucket()}/none/model.tar.gz",
                role="arn:aws:iam::123456789012:role/bench",
                framework_version="2.13.0",
                sagemaker_session=session,
            ),
            sagemaker_session=session,
        )
        predictor = many.deploy(
            1, "ml.m5.large", serializer=IdentitySerializer(), deserializer=BytesDeserializer()
        )
        targets = [many.add_model(str(_packed(Path(folder), n))) for n in range(_MODELS)]
        samples = []
        for target in (uri.rpartition("/")[2] for uri in targets):
            times = []
            for _ in range(2):
                began = time.perf_counter()
                predictor.predict(b"hello", target_model=target)
                times.append(time.perf_counter() - began)
            samples.append((times[0] - times[1]) * 1000)
        predictor.delete_endpoint()
    name = "multi-model: call to a model of 1 MB that is not loaded, more than to one that is"
    return [Figure(name, "ms", 50.0, samples[1:])]


def _packed(folder: Path, number: int) -> Path:
    from intermodal_contract.artifact import pack_files

    code, weights = folder / "inference.py", folder / "weights"
    code.write_text(_CODE)
    weights.write_bytes(os.urandom(_WEIGHTS_BYTES))
    archive = folder / f"model-{number}.tar.gz"
    pack_files({"code/inference.py": code, "weights": weights}, archive)
    return archive
