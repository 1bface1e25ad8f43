"""Which environment stands in for an image, and what is refused."""

import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from intermodal_contract.catalogue import Release, nearest
from intermodal_engine.drivers.base import PlanRefusedError
from intermodal_engine.drivers.environment import Environments

VENDOR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
PYTORCH = VENDOR + "/pytorch-{}:2.2.0-cpu-py310"
INSTALLED = importlib.metadata.version("torch")


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments")


@pytest.mark.parametrize("purpose", ["training", "inference"])
def test_an_image_runs_on_the_engines_own_interpreter_if_that_has_the_release(
    purpose: str, environments: Environments
) -> None:
    environment = environments.resolve(PYTORCH.format(purpose))
    assert environment.python == Path(sys.executable)
    assert environment.make is None
    program = {"training": "train", "inference": "serve"}[purpose]
    assert (environment.path_entries[0] / program).exists()
    assert environment.notes == (f"asked for pytorch 2.2.0, runs on torch {INSTALLED}",)


def test_the_version_that_was_asked_for_is_no_surprise(environments: Environments) -> None:
    image = nearest("pytorch", "2").image("training", "cpu")
    assert environments.resolve(image).notes == (
        f"`{image}` runs on {sys.executable} with torch {INSTALLED}",
    )


def test_an_interpreter_with_exactly_the_version_asked_for_serves_though_the_catalogue_moved_on(
    tmp_path: Path,
) -> None:
    newer = replace(nearest("pytorch", "2"), version="99.0.0")
    environments = Environments(tmp_path, (newer,))
    asked = INSTALLED.partition("+")[0]
    assert environments.resolve(f"intermodal/pytorch-training:{asked}-cpu-py311").make is None
    assert environments.resolve(PYTORCH.format("training")).make is not None


@pytest.mark.parametrize("requirement", ["numpy==1.0.0", "numpy>=99", "no-such-thing==1.0"])
def test_an_interpreter_that_lacks_one_requirement_does_not_serve(
    requirement: str, tmp_path: Path
) -> None:
    release = replace(nearest("pytorch", "2"), requires=(requirement,))
    environments = Environments(tmp_path, (release,))
    assert environments.resolve(PYTORCH.format("training")).make is not None


def test_a_framework_that_is_not_installed_runs_in_an_environment_of_its_own(
    environments: Environments, tmp_path: Path
) -> None:
    release = nearest("mxnet", "1")
    environment = environments.resolve(f"{VENDOR}/mxnet-training:1.4.1-gpu-py3")
    folder = environment.python.parents[1]
    assert folder.parent == tmp_path / "environments"
    assert folder.name.startswith(f"mxnet-{release.version}-")
    assert environment.path_entries == (folder / "bin",)
    assert environment.notes == (
        f"asked for mxnet 1.4.1, runs on mxnet {release.version} in {folder}",
    )
    assert not folder.parent.exists(), "planning has no effect"


@pytest.mark.parametrize("change", ["lock", "own", "python"])
def test_another_lock_or_python_or_version_of_ours_is_another_environment(
    change: str, tmp_path: Path
) -> None:
    def name(release: Release, own: str = "intermodal-training==1") -> str:
        image = release.image("training", "cpu")
        return Environments(tmp_path, (release,), (own,)).resolve(image).python.parents[1].name

    release = nearest("mxnet", "1")
    before = name(release)
    assert before == name(release)
    if change == "lock":
        lock_file = tmp_path / "lock.txt"
        lock_file.write_text(release.lock_file.read_text() + "more==1.0\n")
        assert name(replace(release, lock_file=lock_file)) != before
    elif change == "own":
        assert name(release, "intermodal-training==2") != before
    else:
        assert name(replace(release, pythons=("3.99",))) != before


@pytest.mark.parametrize(
    "image", ["intermodal/python", "intermodal/python-slim:3.11", "intermodal-python:3"]
)
def test_a_plain_python_image_is_the_engines_own_interpreter(
    image: str, environments: Environments
) -> None:
    assert environments.resolve(image).python == Path(sys.executable)


@pytest.mark.parametrize(
    "image",
    [
        "ubuntu:22.04",
        "me/pytorch-training:1",
        "intermodal/pythonic:1",
        f"{VENDOR}/tensorflow-training:2.12.0-cpu-py310",
    ],
)
def test_an_unknown_image_is_refused_with_what_is_known_and_what_to_do(
    image: str, environments: Environments
) -> None:
    with pytest.raises(PlanRefusedError) as refused:
        environments.resolve(image)
    assert f"`{image}`" in str(refused.value)
    assert "for mxnet and pytorch" in str(refused.value)
    assert "hint: " in str(refused.value)
    assert "--driver docker" in str(refused.value)


def test_an_image_name_that_no_registry_takes_is_refused(environments: Environments) -> None:
    with pytest.raises(PlanRefusedError, match="no image name"):
        environments.resolve("Not An Image")
