"""The conformance test on the drivers that need no daemon, at each isolation level there is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.driver_conformance import DriverConformance
from tests.helpers.driver_stages import PROCESS_STAGES, FakeStage, Stage, process_stage


@pytest.fixture(params=("fake", *PROCESS_STAGES))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    is_fake = request.param == "fake"
    stage = FakeStage(tmp_path) if is_fake else process_stage(tmp_path, request.param)
    if stage is None:
        pytest.skip(f"this machine allows no {request.param}")
    yield stage
    stage.close()


class TestDrivers(DriverConformance):
    """On fake and process."""
