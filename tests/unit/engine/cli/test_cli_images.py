"""`intermodal images`, beside no engine and no docker."""

import json
from pathlib import Path

import pytest

from intermodal_contract.catalogue import releases
from intermodal_engine.cli.main import main


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERMODAL_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def test_the_list_is_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["image"] for one in listed] == [
        release.image(purpose, device)
        for release in releases()
        for purpose in ("training", "inference")
        for device in release.devices
    ]
    assert {one["size_bytes"] for one in listed} == {None}
    ready = {one["image"]: one["is_environment_ready"] for one in listed}
    newest = {release.framework: release for release in releases()}
    # PyTorch is beside the engine, MXNet's environment has not been made in this home.
    assert ready[newest["pytorch"].image("training", "cpu")]
    assert not ready[newest["mxnet"].image("training", "cpu")]


def test_without_docker_that_is_said_once_and_the_rest_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["images"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("docker's images are not shown: docker is not running at ")
    assert said.err.count("\n") == 1
    rows = said.out.splitlines()
    assert rows[0].split() == ["image", "process", "driver", "docker", "driver"]
    assert any("made at first use" in row and row.endswith("not there") for row in rows)
