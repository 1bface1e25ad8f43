"""One engine and one watched way out a module."""

from collections.abc import Iterator

import pytest

from intermodal_engine.cli.environment import HOOK
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.mxnet_wheel import mxnet_can_be_had
from tests.helpers.vendor_sdk import WatchedProxy, watched_proxy

__all__ = ["mxnet_can_be_had"]


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    """Started from a shell that has evaluated `intermodal env`: its jobs must not notice."""
    with pytest.MonkeyPatch.context() as shell:
        shell.setenv("PYTHONPATH", HOOK)
        shell.setenv("INTERMODAL_ENDPOINT_URL", "http://127.0.0.1:8765")
        with running_engine() as engine:
            yield engine


@pytest.fixture(scope="module")
def proxy() -> Iterator[WatchedProxy]:
    with watched_proxy() as proxy:
        yield proxy
