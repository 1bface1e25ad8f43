"""A pull of many layers in few lines."""

from collections.abc import Iterator
from typing import Any

import pytest

from intermodal_engine.clock import FakeClock
from intermodal_engine.drivers.containers.progress import PullFailedError, report

MIB = 1 << 20


def events(clock: FakeClock) -> Iterator[dict[str, Any]]:
    yield {"status": "Pulling from a/b", "id": "1"}
    yield {"status": "Already exists", "progressDetail": {}, "id": "aa"}
    for current in range(0, 101, 2):
        clock.advance(0.1)
        detail = {"current": current * MIB, "total": 100 * MIB}
        yield {"status": "Downloading", "progressDetail": detail, "id": "bb"}
    yield {"status": "Pull complete", "progressDetail": {}, "id": "bb"}
    yield {"status": "Status: Downloaded newer image for a/b:1"}


def test_a_line_every_few_seconds_says_how_far_it_is() -> None:
    clock, said = FakeClock(), list[str]()
    report("a/b:1", events(clock), said.append, clock.now)
    assert said == [
        "pulling `a/b:1`",
        "pulling `a/b:1`: 1 of 2 layers, 60 of 100 MiB",
        "pulled `a/b:1` in 5 s",
    ]


def test_what_the_daemon_says_of_a_failure_is_kept() -> None:
    with pytest.raises(PullFailedError, match="manifest unknown"):
        report("a/b:1", [{"error": "manifest unknown"}], lambda line: None)
