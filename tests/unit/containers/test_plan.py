"""What docker is told to build, and what is refused before docker is asked."""

from itertools import pairwise
from pathlib import Path

import pytest

from containers.plan import ROOT, build_argv, code_argv, plan_image
from intermodal_contract.catalogue import releases
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import PROGRAMS, InvalidImageUriError, Purpose

PURPOSES = tuple(PROGRAMS)
SINGLE = {"--build-arg", "--label", "--tag"}


def told(argv: list[str], option: str) -> list[str]:
    return [value for flag, value in pairwise(argv) if flag == option]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("framework", ["mxnet", "pytorch"])
def test_the_catalogue_says_all_that_a_build_needs(
    purpose: Purpose, device: str, framework: str
) -> None:
    plan = plan_image(purpose, framework, device)
    argv = build_argv(plan, "scratch", Path("/secret"), revision="abc", created="now")
    arguments = dict(one.split("=", 1) for one in told(argv, "--build-arg"))
    declared = {
        line.split()[1].split("=")[0]
        for line in (ROOT / "containers/Dockerfile").read_text().splitlines()
        if line.startswith("ARG ")
    }
    assert arguments.keys() <= declared
    assert declared - arguments.keys() <= {"MPI", "ASKED_AT"}
    assert arguments["LOCK"] == plan.release.lock_file.name
    assert f"=={plan.release.version}" in arguments["REQUIREMENTS"]
    assert told(argv, "--tag") == [plan.name]
    assert f"--target={purpose}" in argv


def test_labels_are_those_of_oci_and_those_that_find_our_images() -> None:
    plan = plan_image("training", "mxnet", "cpu")
    labels = plan.labels("abc", None)
    assert labels["org.opencontainers.image.version"] == plan.release.version
    assert labels["org.opencontainers.image.revision"] == "abc"
    assert "org.opencontainers.image.created" not in labels
    assert labels["io.intermodal.purpose"] == "training"


def test_only_training_images_have_mpi_and_only_those_that_want_it() -> None:
    wanted = plan_image("training", "pytorch", "cpu")
    assert "MPI" in wanted.build_arguments("scratch")
    small = plan_image("training", "pytorch", "cpu", has_mpi=False)
    assert "MPI" not in small.build_arguments("scratch")
    assert "MPI" not in plan_image("inference", "pytorch", "cpu").build_arguments("scratch")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("nightly", "intermodal/pytorch-training:nightly"),
        ("me/mine:1", "me/mine:1"),
        ("localhost:5000/mine", "localhost:5000/mine"),
    ],
)
def test_a_tag_is_a_tag_or_a_whole_name(tag: str, name: str) -> None:
    assert plan_image("training", "pytorch", "cpu", tag=tag).name == name


def test_a_tag_that_no_registry_takes_is_refused() -> None:
    with pytest.raises(InvalidImageUriError):
        plan_image("training", "pytorch", "cpu", tag="No/Capitals:1")


def test_what_the_catalogue_lacks_is_refused_with_what_it_has() -> None:
    newest = [one for one in releases() if one.framework == "mxnet"][-1]
    with pytest.raises(IntermodalError, match=r"tpu(.|\n)*DEVICE=cpu or DEVICE=gpu"):
        plan_image("training", "mxnet", "tpu")
    with pytest.raises(IntermodalError, match=r"tensorflow(.|\n)*it has mxnet, pytorch"):
        plan_image("training", "tensorflow", "cpu")
    with pytest.raises(IntermodalError, match=rf"no mxnet 0.1(.|\n)*it has {newest.version}"):
        plan_image("training", "mxnet", "cpu", framework_version="0.1")
    with pytest.raises(IntermodalError, match=r"not run on Python 2.7(.|\n)*PYTHON_VERSION=3"):
        plan_image("training", "mxnet", "cpu", python="2.7")


def test_another_base_may_have_another_python() -> None:
    plan = plan_image("training", "pytorch", "gpu", base="mine", python="3.11")
    assert plan.build_arguments("scratch")["BASE_IMAGE"] == "mine"
    assert plan.build_arguments("scratch")["PYTHON"] == "3.11"
    assert plan.name.endswith("-gpu-py311"), "a name tells the Python that is in the image"


def test_resolving_names_no_image() -> None:
    plan = plan_image("training", "pytorch", "gpu", only_resolve=True)
    argv = build_argv(plan, "scratch", Path("/secret"))
    assert "--target=resolved" in argv
    assert told(argv, "--tag") == []


def test_code_goes_onto_our_image_and_gets_a_name_only_later() -> None:
    plan = plan_image("training", "pytorch", "cpu", platform="linux/arm64")
    argv = code_argv(plan, Path("/code"), Path("/code/Dockerfile"), Path("/id"))
    assert f"IMAGE={plan.name}" in told(argv, "--build-arg")
    assert told(argv, "--tag") == []
    assert argv[-1] == "/code"
    assert "--platform=linux/arm64" in build_argv(plan, "scratch", Path("/secret"))
