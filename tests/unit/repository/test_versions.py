"""One repository, one version."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PARTS = {
    ".": "intermodal",
    "contract": "intermodal_contract",
    "training": "intermodal_training",
    "serving": "intermodal_serving",
    "engine": "intermodal_engine",
}


def project(part: str) -> dict[str, Any]:
    text = (ROOT / part / "pyproject.toml").read_text()
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


VERSION = project(".")["version"]


@pytest.mark.parametrize("part", PARTS)
def test_every_distribution_carries_the_one_version(part: str) -> None:
    assert project(part)["version"] == VERSION


@pytest.mark.parametrize("package", PARTS.values())
def test_every_package_says_the_same_version_as_its_distribution(package: str) -> None:
    assert import_module(package).__version__ == VERSION


@pytest.mark.parametrize("part", PARTS)
def test_parts_pin_each_other_to_the_one_version(part: str) -> None:
    table = project(part)
    requirements = list(table.get("dependencies", []))
    for extra in table.get("optional-dependencies", {}).values():
        requirements += extra
    ours = [one for one in requirements if one.startswith("intermodal")]
    assert [one for one in ours if not one.endswith(f"=={VERSION}")] == []


@pytest.mark.parametrize("part", PARTS)
def test_every_distribution_needs_the_same_python(part: str) -> None:
    assert project(part)["requires-python"] == project(".")["requires-python"]


def test_the_contract_needs_nothing_but_the_standard_library() -> None:
    assert project("contract")["dependencies"] == []


def test_a_serving_image_needs_neither_boto3_nor_the_sdk() -> None:
    names = {one.split(">")[0].split("=")[0] for one in project("serving")["dependencies"]}
    assert names.isdisjoint({"boto3", "botocore", "intermodal"})
