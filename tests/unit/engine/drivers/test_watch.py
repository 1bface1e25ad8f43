"""The watch over the ends of processes."""

import sys
from collections.abc import Iterator

import pytest

from intermodal_engine.drivers.watch import ExitWatch


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns all the time, so that what can come in between does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_a_watch_can_be_closed_while_its_thread_looks() -> None:
    for _ in range(1000):
        watch = ExitWatch()
        watch.add(None, lambda: None)
        watch.close()
