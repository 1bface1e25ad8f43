"""One job a test."""

from pathlib import Path

import pytest

from tests.helpers.train_program import TrainProgram


@pytest.fixture
def train(tmp_path: Path) -> TrainProgram:
    return TrainProgram(tmp_path / "ml")
