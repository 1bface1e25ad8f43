"""Asynchronous endpoints: until a request is accepted, and until the model's answer lies in S3."""

import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from benchmarks.figures import Figure, seconds_of
from benchmarks.local_engine import running_engine

_NAME = "later"
_REQUESTS = 50
_MODEL = """
import time


def model_fn(folder):
    return None


def transform_fn(model, body, content_type, accept):
    return repr(time.time()), "text/plain"
"""


def measure() -> list[Figure]:
    """Asks one request after the other; the answer says when the model was done."""
    from intermodal.async_inference import AsyncInferenceConfig
    from intermodal.pytorch import PyTorchModel
    from intermodal_contract.artifact import pack_files

    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        code, archive = Path(folder, "inference.py"), Path(folder, "model.tar.gz")
        code.write_text(_MODEL)
        pack_files({"code/inference.py": code}, archive)
        PyTorchModel(
            model_data=session.upload_data(str(archive), key_prefix="bench/later"),
            role="arn:aws:iam::123456789012:role/bench",
            framework_version="2.13.0",
            sagemaker_session=session,
        ).deploy(
            1, "ml.m5.large", async_inference_config=AsyncInferenceConfig(), endpoint_name=_NAME
        )
        runtime, s3 = session.sagemaker_runtime_client, session.client("s3")
        uri = session.upload_data(str(code), key_prefix="bench/input")
        accepted: list[float] = []
        stored: list[float] = []
        for _ in range(_REQUESTS):
            answers: list[Any] = []

            def ask(answers: list[Any] = answers) -> None:
                answers.append(
                    runtime.invoke_endpoint_async(
                        EndpointName=_NAME, InputLocation=uri, ContentType="text/plain"
                    )
                )

            accepted.append(1e3 * seconds_of(ask))
            stored.append(1e3 * _seconds_after_the_model(s3, answers[0]["OutputLocation"]))
    return [
        Figure("asynchronous: until a request is accepted", "ms", 10, accepted),
        Figure("  from the model's end until a client finds the result in S3", "ms", 50, stored),
    ]


def _seconds_after_the_model(s3: Any, uri: str) -> float:
    """Looks until the answer is there; the looking is part of it."""
    place = urlparse(uri)
    while True:
        try:
            answer = s3.get_object(Bucket=place.netloc, Key=place.path[1:])
        except s3.exceptions.NoSuchKey:
            continue
        found_at = time.time()
        return found_at - float(answer["Body"].read())
