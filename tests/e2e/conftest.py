"""One real engine a module, on one port even when it is killed and started, and its clients."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.mxnet_wheel import mxnet_can_be_had
from tests.helpers.script_mode import BUCKET

__all__ = ["mxnet_can_be_had"]

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "logs", "cloudwatch")


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def clients(engine: RunningEngine) -> dict[str, Any]:
    """Clients by service name; the demo bucket is there."""
    clients = {service: engine.client(service) for service in SERVICES}
    clients["s3"].create_bucket(Bucket=BUCKET)
    return clients
