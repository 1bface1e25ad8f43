"""Whether MXNet can be tested here."""

import subprocess

import pytest

from intermodal_contract.catalogue import releases
from intermodal_engine.drivers.environment_sources import (
    pip_options,
    uv_options,
    uv_program,
    uv_variables,
)
from tests.helpers.engine import scrubbed_environment


@pytest.fixture(scope="session")
def mxnet_can_be_had() -> None:
    """MXNet's wheel can be had here: a fault of ours afterwards is a failure, not a skip."""
    release = [one for one in releases() if one.framework == "mxnet"][-1]
    environment = scrubbed_environment()
    told = pip_options(environment)
    done = subprocess.run(
        [
            *(str(uv_program()), "pip", "install", "--dry-run", "--no-deps", "--target", "nowhere"),
            *("--constraint", str(release.lock_file), *uv_options(environment, told)),
            release.requirements[0],
        ],
        env=uv_variables(environment, told),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"MXNet IS NOT TESTED: its wheel cannot be had here; uv said: {done.stdout}")
