"""An engine without HTTP, with a bucket of data and one for results."""

from pathlib import Path

import pytest

from tests.helpers.lifecycle import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    world.backends.objects.create_bucket("data")
    return world
