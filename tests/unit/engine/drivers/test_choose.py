"""Which driver a setting names."""

from pathlib import Path

import pytest

from intermodal_engine.drivers.choose import DriverUnavailableError, make_driver
from intermodal_engine.drivers.fake import FakeDriver
from intermodal_engine.drivers.process import ProcessDriver


@pytest.mark.parametrize(
    ("name", "kind"), [("auto", ProcessDriver), ("process", ProcessDriver), ("fake", FakeDriver)]
)
def test_each_name_makes_its_driver(name: str, kind: type, tmp_path: Path) -> None:
    driver = make_driver(name, tmp_path, now=lambda: 0.0)
    assert isinstance(driver, kind)
    driver.close()


@pytest.mark.parametrize(("name", "hint"), [("docker", "--driver process"), ("dokcer", "`auto`")])
def test_what_cannot_be_had_says_what_can(name: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(DriverUnavailableError, match=f"hint: .*{hint}"):
        make_driver(name, tmp_path, now=lambda: 0.0)
