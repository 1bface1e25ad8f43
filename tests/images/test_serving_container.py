"""A serving image by itself: the whole contract over HTTP, signals, a user without rights."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from containers.plan import ROOT
from tests.e2e.serving.test_conformance import MODEL
from tests.helpers.built_images import RELEASES, docker, image
from tests.helpers.serving_process import write_code

PATIENCE_S = 30.0
every_framework = pytest.mark.parametrize("framework", sorted({one.framework for one in RELEASES}))


@contextmanager
def container(framework: str, model: Path, *options: str) -> Iterator[tuple[str, int]]:
    """The id of a container that serves a model folder, and the port where it answers."""
    started = docker().run(
        *("run", "--detach", "--publish=127.0.0.1::8080", f"--volume={model}:/opt/ml/model:ro"),
        *(*options, image(framework, "inference").name, "serve"),
    )
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()
    try:
        port = int((docker().ask("port", name, "8080/tcp") or "").rpartition(":")[2])
        wait_until_healthy(name, port)
        yield name, port
    finally:
        docker().run("rm", "--force", name)


def wait_until_healthy(name: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    running = ("inspect", "--format={{.State.Running}}", name)
    while time.monotonic() < deadline and docker().ask(*running) == "true":
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise AssertionError(docker().run("logs", name).stderr)


def invoke(port: int, body: str, content_type: str = "application/json") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": content_type})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_code(tmp_path, MODEL) / "model"


@every_framework
def test_the_image_keeps_the_whole_inference_contract(framework: str, model: Path) -> None:
    with container(framework, model) as (_, port):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/e2e/serving/test_conformance.py"],
            cwd=ROOT,
            env={**os.environ, "INTERMODAL_CONFORMANCE_URL": f"http://127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert "passed" in done.stdout


@every_framework
def test_sigterm_arrives_and_ends_it_well(framework: str, model: Path) -> None:
    with container(framework, model) as (name, port):
        assert invoke(port, "[1]") == "[1]"
        began = time.monotonic()
        docker().run("stop", "--time=20", name)
        assert time.monotonic() - began < 10
        assert docker().ask("inspect", "--format={{.State.ExitCode}}", name) == "0"


def test_it_serves_with_no_rights_at_all(model: Path) -> None:
    options = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--tmpfs=/tmp")
    with container("pytorch", model, *options) as (name, port):
        assert invoke(port, "[1]") == "[1]"
        uids = set((docker().ask("exec", name, "id", "-u") or "").split())
        assert uids == {"10001"}


def test_packages_of_a_models_code_are_installed_without_root(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        import six

        def model_fn(model_dir):
            return six.text_type("installed")

        def predict_fn(data, model):
            return [model]
        """,
    )
    (tmp_path / "model/code/requirements.txt").write_text("six\n")
    with container("mxnet", tmp_path / "model") as (_, port):
        assert "installed" in invoke(port, "[1]")


def test_a_worker_that_is_killed_is_replaced(model: Path) -> None:
    with container("mxnet", model, "--env=SAGEMAKER_MODEL_SERVER_WORKERS=2") as (name, port):
        listed = (docker().ask("top", name, "-eo", "pid,ppid,args") or "").splitlines()[1:]
        first = listed[0].split()[0]
        workers = [line.split()[0] for line in listed if line.split()[1] == first]
        assert len(workers) >= 2
        os.kill(int(workers[0]), 9)
        wait_until_healthy(name, port)
        assert invoke(port, "[1]") == "[1]"
        assert docker().ask("inspect", "--format={{.State.Running}}", name) == "true"
