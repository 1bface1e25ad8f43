"""Streams and groups that are deleted while somebody looks for others."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from intermodal_engine.services.call import Call, Parameters
from intermodal_engine.services.logs import OPERATIONS
from intermodal_engine.store.log_streams import LogStreams

ROUNDS = 300
NOW_MS = 1_764_000_000_000


@pytest.fixture
def streams(tmp_path: Path) -> LogStreams:
    """The group `jobs` with the streams `one` and `two`, an event in each."""
    streams = LogStreams(tmp_path)
    streams.create_group("jobs")
    for name in ("one", "two"):
        streams.create_stream("jobs", name)
        streams.append("jobs", name, [(NOW_MS, f"of {name}")])
    return streams


@pytest.fixture
def coming_and_going(streams: LogStreams) -> Iterator[None]:
    """Meanwhile another stream and another group come and go."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            streams.create_stream("jobs", "passing")
            streams.append("jobs", "passing", [(NOW_MS, "passing")])
            streams.create_group("passing")
            streams.delete_stream("jobs", "passing")
            streams.delete_group("passing")

    worker = threading.Thread(target=work)
    worker.start()
    yield
    ended.set()
    worker.join()


def call(streams: LogStreams, operation: str, **parameters: Any) -> Parameters:
    """Calls an operation as the gateway does, in a thread."""
    asked = cast("Call", SimpleNamespace(backends=SimpleNamespace(log_streams=streams), region="r",
                                         account_id="a"))  # fmt: skip
    return cast("Parameters", OPERATIONS[operation](asked, parameters))


def test_a_stream_that_vanishes_between_two_looks_is_none(streams: LogStreams) -> None:
    streams.path("jobs", "gone").symlink_to("nowhere")
    assert [stream.name for stream in streams.streams("jobs")] == ["one", "two"]


@pytest.mark.parametrize("start_ms", [None, 1], ids=["from the beginning", "from a time"])
def test_filtering_a_group_does_not_fail_for_a_stream_that_is_deleted(
    streams: LogStreams, coming_and_going: None, start_ms: int | None
) -> None:
    since = {} if start_ms is None else {"startTime": start_ms}
    for _ in range(ROUNDS):
        page = call(streams, "FilterLogEvents", logGroupName="jobs", filterPattern="of", **since)
        assert [one["message"] for one in page["events"]] == ["of one", "of two"]


def test_describing_does_not_fail_for_what_is_deleted(
    streams: LogStreams, coming_and_going: None
) -> None:
    for _ in range(ROUNDS):
        page = call(streams, "DescribeLogStreams", logGroupName="jobs")
        names = [one["logStreamName"] for one in page["logStreams"]]
        assert [name for name in names if name != "passing"] == ["one", "two"]
        page = call(streams, "DescribeLogGroups")
        assert "jobs" in [one["logGroupName"] for one in page["logGroups"]]
