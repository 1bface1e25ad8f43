"""Which image runs for which name, and how refusals read."""

import pytest

from intermodal_contract.catalogue import nearest
from intermodal_contract.image import parse_image_uri
from intermodal_engine.drivers.base import PlanRefusedError
from intermodal_engine.drivers.containers.images import choose, digest_path, pulled, why_not_pulled
from intermodal_engine.drivers.containers.machine import LocalImage, Machine

AMD = Machine(architecture="amd64", memory_bytes=1 << 34)
GPUS = Machine(architecture="amd64", memory_bytes=1 << 34, has_gpus=True)
HERE = LocalImage("sha256:1", "amd64")
VENDOR = "763104351884.dkr.ecr.us-east-1.amazonaws.com/"
ASKED = f"{VENDOR}mxnet-training:1.4.1-gpu-py3"
MXNET = nearest("mxnet", "1.4.1")


def has(*names: str, image: LocalImage = HERE):  # type: ignore[no-untyped-def] # a lambda's
    return lambda name: image if name in names else None


@pytest.mark.parametrize("name", ["my/own:1", ASKED, f"my/own@sha256:{'0' * 64}"])
def test_what_is_here_under_that_very_name_runs(name: str) -> None:
    choice = choose(name, has(name), AMD)
    assert (choice.name, choice.image, choice.notes) == (name, HERE, ())


def test_what_runs_is_named_by_its_digest_in_its_own_repository() -> None:
    paths = (f"other@sha256:{'1' * 64}", f"me:5000/own@sha256:{'2' * 64}")
    pushed = LocalImage(f"sha256:{'3' * 64}", "amd64", digests=paths)
    name = "me:5000/own:1"
    assert digest_path(choose(name, has(name, image=pushed), AMD)) == paths[1]


def test_what_no_registry_has_is_named_by_its_id_and_what_is_not_here_by_nothing() -> None:
    assert digest_path(choose("my/own:1", has("my/own:1"), AMD)) == "my/own@sha256:1"
    assert digest_path(choose("my/own:1", has(), AMD)) is None


def test_a_name_of_the_vendors_runs_on_the_image_of_the_catalogue_and_says_so() -> None:
    ours = MXNET.image("training", "cpu")
    choice = choose(f"{VENDOR}mxnet-training:1.4.1-cpu-py3", has(ours), AMD)
    assert (choice.name, choice.image) == (ours, HERE)
    assert choice.notes == (
        f"asked for mxnet 1.4.1, runs on {MXNET.distribution} {MXNET.version} in `{ours}`",
    )


def test_without_gpus_an_image_for_gpus_runs_on_cpus_with_a_note() -> None:
    choice = choose(ASKED, has(MXNET.image("training", "cpu")), AMD)
    assert "this machine has none" in choice.notes[1]


def test_with_gpus_an_image_for_gpus_runs_as_such() -> None:
    release = nearest("pytorch", "2.13.0")
    name = release.image("inference", "gpu" if "gpu" in release.devices else release.devices[0])
    asked = f"{VENDOR}pytorch-inference:2.13.0-gpu-py311"
    assert choose(asked, has(name), GPUS).name == name


@pytest.mark.parametrize(
    ("purpose", "target"), [("training", "build-train"), ("inference", "build-serve")]
)
def test_an_image_that_is_not_built_is_refused_with_the_command_that_builds_it(
    purpose: str, target: str
) -> None:
    with pytest.raises(PlanRefusedError, match=f"make {target} FRAMEWORK=mxnet DEVICE=cpu"):
        choose(f"intermodal/mxnet-{purpose}:1.9.1-cpu-py38", has(), AMD)


def test_other_images_are_to_be_pulled() -> None:
    assert choose("registry.example/team/model:7", has(), AMD).image is None
    assert choose(f"{VENDOR}tensorflow-training:2.1-cpu-py37", has(), AMD).image is None


@pytest.mark.parametrize("name", ["intermodal/python:3", "Not An Image"])
def test_a_name_that_leads_nowhere_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(PlanRefusedError, match=r"\nhint: "):
        choose(name, has(), AMD)


def test_an_image_for_another_processor_is_refused_naming_both() -> None:
    arm = LocalImage("sha256:2", "arm64")
    with pytest.raises(PlanRefusedError, match=r"made for arm64(.|\n)*is amd64(.|\n)*hint: "):
        choose("my/own:1", has("my/own:1", image=arm), AMD)
    desktop = Machine("amd64", 1 << 34, is_desktop=True)
    assert "emulated" in choose("my/own:1", has("my/own:1", image=arm), desktop).notes[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", ("python", "latest")),
        ("registry:5000/a/b:7", ("registry:5000/a/b", "7")),
        (f"a/b:1@sha256:{'0' * 64}", ("a/b", f"sha256:{'0' * 64}")),
    ],
)
def test_what_to_pull(name: str, expected: tuple[str, str]) -> None:
    assert pulled(parse_image_uri(name)) == expected


@pytest.mark.parametrize(
    ("image", "cause", "advice"),
    [
        (ASKED, "no basic auth credentials", "aws ecr get-login-password"),
        ("reg.example/a:1", "pull access denied for a", "docker login reg.example"),
        ("a/b:1", "manifest unknown", "has no such image"),
        ("a/b:1", "no matching manifest for linux/arm64/v8", "processor"),
        ("a/b:1", "write /var/lib/x: no space left on device", "docker system df"),
        ("a/b:1", "dial tcp: connection refused", "docker pull a/b:1"),
    ],
)
def test_a_pull_that_failed_says_what_would_help(image: str, cause: str, advice: str) -> None:
    text = why_not_pulled(image, cause)
    assert text.startswith(f"`{image}` cannot be pulled: {cause}\nhint: ")
    assert advice in text
