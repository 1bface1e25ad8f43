"""The router's stage."""

from collections.abc import Iterator

import pytest

from tests.helpers.router import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()
