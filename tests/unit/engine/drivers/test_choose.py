"""Which driver a setting names."""

import socket
from pathlib import Path

import pytest

from intermodal_engine.drivers import docker
from intermodal_engine.drivers.choose import make_driver, prune_containers
from intermodal_engine.drivers.docker import why_not
from intermodal_engine.drivers.fake import FakeDriver
from intermodal_engine.drivers.process import ProcessDriver
from intermodal_engine.drivers.unavailable import DriverUnavailableError


@pytest.mark.parametrize(
    ("name", "kind"), [("auto", ProcessDriver), ("process", ProcessDriver), ("fake", FakeDriver)]
)
def test_each_name_makes_its_driver(name: str, kind: type, tmp_path: Path) -> None:
    driver = make_driver(name, tmp_path, now=lambda: 0.0)
    assert isinstance(driver, kind)
    driver.close()


def test_a_driver_that_there_is_not_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(DriverUnavailableError, match=r"hint: .*`auto`"):
        make_driver("dokcer", tmp_path, now=lambda: 0.0)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("unix:///nowhere/docker.sock", r"not running at `unix:///nowhere/docker.sock`"),
        ("tcp://127.0.0.1:9", "not running at `tcp://127.0.0.1:9`"),
        ("tcp://build-farm.example:2376", "another machine"),
    ],
)
def test_a_docker_that_cannot_be_had_says_why_and_what_to_do(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(DriverUnavailableError, match=rf"{words}(.|\n)*\nhint: "):
        make_driver("docker", tmp_path, now=lambda: 0.0)


def test_a_docker_that_lets_nobody_in_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = PermissionError(13, "Permission denied")
    assert "usermod -aG docker" in why_not("unix:///var/run/docker.sock", str(refusal))


def test_a_docker_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DriverUnavailableError, match="does not answer within"):
            docker.connect(hello_timeout_s=0.2)


def test_nothing_is_asked_of_docker_where_it_was_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    prune_containers(tmp_path)
    (tmp_path / "docker").touch()
    with pytest.raises(DriverUnavailableError):
        prune_containers(tmp_path)
