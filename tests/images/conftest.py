"""What needs a docker engine: skipped, with a reason, where there is none."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.helpers.docker_image import build, docker_client
from tests.helpers.docker_stage import DockerStage


@pytest.fixture(scope="session", autouse=True)
def daemon() -> Iterator[docker.APIClient]:
    """The docker daemon, without which nothing here can be tested."""
    client = docker_client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def test_image(daemon: docker.APIClient) -> str:
    return build(daemon)


@pytest.fixture
def stage(test_image: str, tmp_path: Path) -> Iterator[DockerStage]:
    stage = DockerStage(tmp_path)
    yield stage
    stage.close()
