"""One core for the server, another for whatever loads it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.figures import NotMeasuredError


class Cores(NamedTuple):
    """Numbers of two cores."""

    server: int
    load: int


def two_cores() -> Cores:
    """The first two cores that this process may use.

    Raises:
        NotMeasuredError: there is one only.
    """
    granted = sorted(os.sched_getaffinity(0))
    if len(granted) < 2:
        raise NotMeasuredError("it takes two cores, one for the server and one for its load")
    return Cores(*granted[:2])


@contextmanager
def own_core(core: int) -> Iterator[None]:
    """Keeps this process on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
