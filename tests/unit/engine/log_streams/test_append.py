"""What is put into a stream is there as a whole or not at all."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intermodal_engine.store.log_pages import TimeRange, page_forward, read_events
from intermodal_engine.store.log_streams import LogStreams


@pytest.fixture
def streams(tmp_path: Path) -> LogStreams:
    streams = LogStreams(tmp_path / "logs")
    streams.create_group("group")
    streams.create_stream("group", "stream")
    return streams


def messages(streams: LogStreams) -> list[str]:
    path = streams.path("group", "stream")
    return [event.message for event in page_forward(path, 0, 100, TimeRange()).events]


def test_a_line_that_was_torn_with_the_machine_spoils_no_other(streams: LogStreams) -> None:
    streams.append("group", "stream", [(1, "one")])
    with streams.path("group", "stream").open("ab") as file:
        file.write(b"2 tor")
    streams.append("group", "stream", [(3, "three")])
    assert messages(streams) == ["one", "tor", "three"]


def test_what_the_disk_could_not_take_whole_is_gone(
    streams: LogStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams.append("group", "stream", [(1, "one")])
    write = os.write

    def write_half(file: int, data: bytes) -> int:
        if data.startswith(b"2 two\n3"):
            return write(file, data[:6])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(OSError, match="No space left"):
        streams.append("group", "stream", [(2, "two"), (3, "three")])
    monkeypatch.undo()
    streams.append("group", "stream", [(4, "four")])
    assert messages(streams) == ["one", "four"]


def test_appends_at_the_same_time_tear_nothing(streams: LogStreams) -> None:
    def append(number: int) -> None:
        for _ in range(20):
            streams.append("group", "stream", [(1, str(number) * 100_000)])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, range(3)))
    events = read_events(streams.path("group", "stream"), 0)
    assert sorted({event.message[0] for event in events}) == ["0", "1", "2"]
    assert {len(event.message) for event in read_events(streams.path("group", "stream"), 0)} == {
        100_000
    }
