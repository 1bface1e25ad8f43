"""Serverless endpoints: a call that finds no instance, beside one that finds it ready."""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import CLI, running_engine
from benchmarks.serving.workloads import NPY, echo

_NAME = "cold"
_IDLE_S = 1


def measure() -> list[Figure]:
    """Waits until no instance is left, then asks, again and again."""
    from intermodal.pytorch import PyTorchModel
    from intermodal.serverless import ServerlessInferenceConfig
    from intermodal_contract.artifact import pack_files

    workload = echo()
    with (
        running_engine(f"--serverless-idle={_IDLE_S}") as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        code, archive = Path(folder, "inference.py"), Path(folder, "model.tar.gz")
        code.write_text(workload.code)
        pack_files({"code/inference.py": code}, archive)
        PyTorchModel(
            model_data=session.upload_data(str(archive), key_prefix="bench/cold"),
            role="arn:aws:iam::123456789012:role/bench",
            framework_version="2.13.0",
            sagemaker_session=session,
        ).deploy(
            serverless_inference_config=ServerlessInferenceConfig(1024, 2), endpoint_name=_NAME
        )
        client: Any = session.sagemaker_runtime_client

        def ask() -> None:
            client.invoke_endpoint(EndpointName=_NAME, ContentType=NPY, Body=workload.body)[
                "Body"
            ].read()

        cold, warm = [], []
        for _ in range(RUNS):
            _wait_for_none()
            cold.append(seconds_of(ask))
            warm.append(1e3 * seconds_of(ask))
    return [
        Figure("serverless: a call that finds no instance, light model", "s", 0.8, cold),
        Figure("  one that finds it ready", "ms", None, warm),
    ]


def _wait_for_none() -> None:
    """Until the endpoint has no instance any more."""
    while True:
        output = subprocess.run(
            [CLI, "status", "--json"], check=True, stdout=subprocess.PIPE
        ).stdout
        if not json.loads(output)["instances"]:
            return
        time.sleep(0.1)
