"""What needs a docker engine: skipped, with a reason, where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.docker_image import build, docker_client
from tests.helpers.docker_stage import DockerStage


@pytest.fixture(scope="session")
def test_image() -> str:
    client = docker_client()
    try:
        return build(client)
    finally:
        client.close()


@pytest.fixture
def stage(test_image: str, tmp_path: Path) -> Iterator[DockerStage]:
    stage = DockerStage(tmp_path)
    yield stage
    stage.close()
