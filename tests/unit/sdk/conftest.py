"""A session with the stand-in for AWS, and a folder with a training script."""

from pathlib import Path

import pytest

from intermodal import Session
from tests.helpers.fake_aws import FakeAws


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture
def session(aws: FakeAws) -> Session:
    return Session(aws.boto_session())


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("print('hello')\n")
    return path
