"""Which environment stands in for an image, and what is refused."""

import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from intermodal_engine.drivers.base import PlanRefusedError
from intermodal_engine.drivers.environment import job_variables, resolve
from tests.helpers.driver_stages import make_spec

PYTORCH = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-{}:2.2.0-cpu-py310"


@pytest.mark.parametrize("purpose", ["training", "inference"])
def test_a_pytorch_image_runs_on_the_engines_own_interpreter(purpose: str) -> None:
    environment = resolve(PYTORCH.format(purpose))
    assert environment.python == Path(sys.executable)
    program = {"training": "train", "inference": "serve"}[purpose]
    assert (environment.path_entries[0] / program).exists()
    assert environment.notes == (
        f"asked for pytorch 2.2.0, runs on torch {importlib.metadata.version('torch')}",
    )


def test_the_version_that_was_asked_for_is_no_surprise() -> None:
    version = importlib.metadata.version("torch").partition("+")[0]
    image = f"intermodal/pytorch-training:{version}-cpu-py311"
    assert resolve(image).notes == (
        f"`{image}` runs on {sys.executable} with torch {importlib.metadata.version('torch')}",
    )


@pytest.mark.parametrize(
    "image", ["intermodal/python", "intermodal/python-slim:3.11", "intermodal-python:3"]
)
def test_a_plain_python_image_is_the_engines_own_interpreter(image: str) -> None:
    assert resolve(image).python == Path(sys.executable)


@pytest.mark.parametrize(
    "image", ["ubuntu:22.04", "me/pytorch-training:1", "intermodal/pythonic:1"]
)
def test_an_unknown_image_is_refused_with_what_is_known_and_what_to_do(image: str) -> None:
    with pytest.raises(PlanRefusedError) as refused:
        resolve(image)
    assert f"`{image}`" in str(refused.value)
    assert "pytorch-training" in str(refused.value)
    assert "hint: " in str(refused.value)
    assert "--driver docker" in str(refused.value)


def test_an_image_name_that_no_registry_takes_is_refused() -> None:
    with pytest.raises(PlanRefusedError, match="no image name"):
        resolve("Not An Image")


def test_a_framework_that_is_not_installed_is_refused_with_what_installs_it() -> None:
    with pytest.raises(PlanRefusedError, match=r"needs mxnet(.|\n)*pip install"):
        resolve("intermodal/mxnet-training:1.9.1-cpu-py311")


def test_only_what_makes_certificates_and_packages_work_passes(tmp_path: Path) -> None:
    engine = {
        "AWS_ACCESS_KEY_ID": "real",
        "AWS_PROFILE": "real",
        "HF_TOKEN": "real",
        "http_proxy": "real",
        "PYTHONPATH": "real",
        "HOME": "real",
        "PATH": "real",
        "PIP_INDEX_URL": "mirror",
        "SSL_CERT_FILE": "certificates",
    }
    spec = make_spec(tmp_path, 1, ("train",))
    variables = job_variables(spec, resolve(spec.image), engine)
    assert "real" not in variables.values()
    assert variables["PIP_INDEX_URL"] == "mirror"
    assert variables["SSL_CERT_FILE"] == "certificates"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""


def test_the_specs_own_variables_win(tmp_path: Path) -> None:
    spec = replace(make_spec(tmp_path, 1, ("train",)), environment={"LANG": "de_DE", "X": "1"})
    variables = job_variables(spec, resolve(spec.image), {"X": "engine"})
    assert (variables["LANG"], variables["X"]) == ("de_DE", "1")
