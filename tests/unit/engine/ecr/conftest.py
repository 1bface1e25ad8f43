"""An engine with a registry behind its ECR, the registry a fake one on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_engine.settings import Settings
from tests.helpers.fake_registry import FakeRegistry, fake_registry
from tests.helpers.lifecycle import World, make_world


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as registry:
        yield registry


@pytest.fixture
def world(tmp_path: Path, registry: FakeRegistry) -> World:
    """The repository `demo` is there."""
    home = tmp_path / "home"
    settings = Settings(home=home, driver="fake", registry=registry.url)
    world = make_world(home, settings=settings)
    world.call("CreateRepository", "ecr", repositoryName="demo")
    return world
