"""What is in our images, and what is not."""

import json
from pathlib import Path

import pytest

from intermodal_contract.catalogue import newest
from intermodal_contract.image import Purpose
from intermodal_contract.serving_http import BIDIRECTIONAL_STREAM_LABEL
from tests.helpers.built_images import (
    PURPOSES,
    RELEASES,
    base_image,
    compressed_mb,
    docker,
    image,
    in_image,
    inspected,
    make,
)

PROGRAM = {"training": "train", "inference": "serve"}
OURS = {
    "training": {"intermodal-contract", "intermodal-training"},
    "inference": {"intermodal-contract", "intermodal-serving"},
}
LIMIT_MB = {
    ("pytorch", "training"): 1100,
    ("pytorch", "inference"): 900,
    ("mxnet", "training"): 530,
    ("mxnet", "inference"): 440,
}
CAPABILITIES = "com.amazonaws.sagemaker.capabilities"
every_image = pytest.mark.parametrize(
    ("framework", "purpose"),
    [(one.framework, purpose) for one in RELEASES for purpose in PURPOSES],
)


@every_image
def test_an_image_is_no_larger_than_it_may_be(framework: str, purpose: Purpose) -> None:
    assert 100 < image(framework, purpose).size_mb <= LIMIT_MB[framework, purpose]


def test_the_pytorch_training_image_is_small_on_the_wire_too(tmp_path: Path) -> None:
    assert compressed_mb(image("pytorch", "training").name, tmp_path) <= 330


def test_without_mpi_the_pytorch_training_image_is_smaller() -> None:
    name = "intermodal-test/without-mpi:1"
    done = make("build-train", MPI="0", TAG=name)
    try:
        assert done.returncode == 0, done.stderr
        assert inspected(name)["Size"] <= 1000e6
        assert in_image(name, "command -v mpirun || echo none") == "none\n"
    finally:
        docker().run("rmi", name)


@every_image
def test_the_name_is_the_catalogues(framework: str, purpose: Purpose) -> None:
    assert image(framework, purpose).name == newest(framework).image(purpose, "cpu")


@every_image
def test_labels_say_what_it_is(framework: str, purpose: Purpose) -> None:
    labels = inspected(image(framework, purpose).name)["Config"]["Labels"]
    release = newest(framework)
    oci = "org.opencontainers.image"
    assert labels[f"{oci}.version"] == release.version
    assert labels[f"{oci}.licenses"] == "Apache-2.0"
    assert labels[f"{oci}.base.name"] == (base_image() or release.builds["cpu"].base)
    assert labels[f"{oci}.title"] == f"intermodal/{framework}-{purpose}"
    assert (labels["io.intermodal.framework"], labels["io.intermodal.purpose"]) == (
        framework,
        purpose,
    )
    is_serving = purpose == "inference"
    for name in (
        f"{CAPABILITIES}.accept-bind-to-port",
        f"{CAPABILITIES}.multi-models",
        BIDIRECTIONAL_STREAM_LABEL,
    ):
        assert (labels.get(name) == "true") == is_serving


@every_image
def test_it_starts_as_the_service_starts_it(framework: str, purpose: Purpose) -> None:
    config = inspected(image(framework, purpose).name)["Config"]
    assert not config["Entrypoint"]
    assert config["Cmd"] == [PROGRAM[purpose]]
    found = in_image(image(framework, purpose).name, f"command -v {PROGRAM[purpose]}")
    assert found == f"/opt/venv/bin/{PROGRAM[purpose]}\n"


@every_image
def test_serving_needs_no_root_and_training_has_it(framework: str, purpose: Purpose) -> None:
    uid = in_image(image(framework, purpose).name, "id -u")
    assert uid == ("0\n" if purpose == "training" else "10001\n")


@every_image
def test_of_ours_it_holds_the_contract_and_one_program(framework: str, purpose: Purpose) -> None:
    listed = in_image(
        image(framework, purpose).name, "pip list --format=json --disable-pip-version-check"
    )
    names = {one["name"].lower() for one in json.loads(listed)}
    ours = {name for name in names if name.startswith("intermodal")}
    assert ours == OURS[purpose]
    assert names.isdisjoint({"boto3", "botocore", "docker", "flask", "uv", "hatchling"})
    release = newest(framework)
    assert release.distribution in names
    in_image(image(framework, purpose).name, "pip check")


@every_image
def test_no_compiler_and_no_cache_is_left(framework: str, purpose: Purpose) -> None:
    name = image(framework, purpose).name
    tools = "for tool in gcc cc g++ c++ make git uv; do command -v $tool; done; true"
    assert in_image(name, tools) == ""
    left = (
        "ls -d /source /own 2>/dev/null; find /build /run/secrets -type f; "
        "find / -xdev \\( -path '*/.cache/*' -o -path '/var/lib/apt/lists/*' "
        "-o -path '/var/cache/apt/archives/*.deb' -o -name '*.whl' \\) -type f "
        "-not -path '*/ensurepip/*'"
    )
    assert in_image(name, left, user="0") == ""


@every_image
def test_it_imports_at_once_since_all_is_compiled(framework: str, purpose: Purpose) -> None:
    name = image(framework, purpose).name
    script = (
        "import importlib.util, pathlib, sysconfig\n"
        "root = pathlib.Path(sysconfig.get_path('purelib'))\n"
        "missing = [p for p in root.rglob('*.py') if '__pycache__' not in p.parts and "
        "not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()]\n"
        "print(len(missing))\n"
    )
    # A few files of other people's are templates, no Python.
    assert int(in_image(name, f'python -c "{script}"')) < 30


@every_image
def test_the_framework_works(framework: str, purpose: Purpose) -> None:
    release = newest(framework)
    script = {
        "pytorch": "import torch; print(torch.__version__[:-4], torch.ones(2).sum().item())",
        "mxnet": "import mxnet; print(mxnet.__version__, mxnet.nd.ones(2).sum().asscalar())",
    }[framework]
    said = in_image(image(framework, purpose).name, f'python -W ignore -c "{script}"')
    assert said.splitlines()[-1] == f"{release.version} 2.0"


def test_the_framework_is_one_layer_and_ours_a_small_one_upon_it() -> None:
    sizes = (
        docker().ask(
            "history",
            "--human=false",
            "--format={{.Size}} {{.CreatedBy}}",
            image("pytorch", "training").name,
        )
        or ""
    ).splitlines()
    large = [line for line in sizes if int(line.split()[0]) > 500e6]
    assert len(large) == 1
    assert "COPY /opt/venv" in large[0]
    above = [int(line.split()[0]) for line in sizes[: sizes.index(large[0])]]
    assert sum(above) < 5e6


def test_both_images_list_what_is_in_them(tmp_path: Path) -> None:
    from containers.sbom import write_sbom

    release = newest("mxnet")
    document = json.loads(
        write_sbom(docker(), image("mxnet", "inference").name, tmp_path).read_text()
    )
    packages = {(one["name"], one.get("versionInfo")) for one in document["packages"]}
    assert (release.distribution, release.version) in packages
    assert "intermodal-serving" in {name for name, _ in packages}
