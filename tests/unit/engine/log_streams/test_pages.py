"""Pages of a log file, forward, backward and by time, against a list of all its events."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intermodal_engine.store.log_pages import (
    LogPage,
    TimeRange,
    page_backward,
    page_forward,
    read_events,
    read_events_backward,
    seek_time,
)
from intermodal_engine.store.log_streams import (
    LogStreams,
    NoSuchGroupError,
    NoSuchStreamError,
)

ALWAYS = TimeRange()
MESSAGES = st.lists(st.text(max_size=20), max_size=30)
RELAXED = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def streams(tmp_path: Path) -> LogStreams:
    streams = LogStreams(tmp_path / "logs")
    streams.create_group("group")
    return streams


def filled(streams: LogStreams, messages: list[str]) -> Path:
    path = streams.path("group", "stream")
    path.unlink(missing_ok=True)
    streams.create_stream("group", "stream")
    streams.append("group", "stream", list(enumerate(messages)))
    return path


def messages_of(page: LogPage) -> list[str]:
    return [event.message for event in page.events]


@given(messages=MESSAGES)
@RELAXED
def test_what_is_put_is_what_is_read_in_both_directions(
    streams: LogStreams, messages: list[str]
) -> None:
    path = filled(streams, messages)
    forward = [*read_events(path, 0)]
    assert [event.message for event in forward] == messages
    assert [event.timestamp_ms for event in forward] == [*range(len(messages))]
    assert [*read_events_backward(path, None)] == forward[::-1]


@given(messages=MESSAGES, limit=st.integers(1, 7))
@RELAXED
def test_pages_forward_add_up_and_then_stay_where_they_are(
    streams: LogStreams, messages: list[str], limit: int
) -> None:
    path = filled(streams, messages)
    offset, found = 0, []
    while (page := page_forward(path, offset, limit, ALWAYS)).events:
        assert len(page.events) <= limit
        found += messages_of(page)
        offset = page.end
    assert found == messages
    assert page.end == offset == path.stat().st_size


@given(messages=MESSAGES, limit=st.integers(1, 7))
@RELAXED
def test_pages_backward_add_up_and_then_stay_where_they_are(
    streams: LogStreams, messages: list[str], limit: int
) -> None:
    path = filled(streams, messages)
    page = page_backward(path, None, limit, ALWAYS)
    assert page.end == path.stat().st_size
    found = messages_of(page)
    while page.events:
        page = page_backward(path, page.begin, limit, ALWAYS)
        found = messages_of(page) + found
    assert found == messages
    assert page.begin == page.end == 0


def test_a_line_still_being_written_is_no_event_yet(streams: LogStreams) -> None:
    path = filled(streams, ["first"])
    with path.open("ab") as file:
        file.write(b"1 half a li")
    assert messages_of(page_forward(path, 0, 10, ALWAYS)) == ["first"]
    last = page_backward(path, None, 10, ALWAYS)
    assert messages_of(last) == ["first"]
    assert page_forward(path, last.end, 10, ALWAYS).events == []
    with path.open("ab") as file:
        file.write(b"ne\n")
    assert messages_of(page_forward(path, last.end, 10, ALWAYS)) == ["half a line"]


def test_a_page_holds_a_mebibyte_and_at_least_one_event(streams: LogStreams) -> None:
    path = filled(streams, ["x" * 400_000] * 4 + ["y" * 2_000_000])
    first = page_forward(path, 0, 10_000, ALWAYS)
    assert [len(message) for message in messages_of(first)] == [400_000] * 2
    second = page_forward(path, first.end, 10_000, ALWAYS)
    assert [len(message) for message in messages_of(second)] == [400_000] * 2
    assert [len(message) for message in messages_of(page_forward(path, second.end, 1, ALWAYS))] == [
        2_000_000
    ]
    last = page_backward(path, None, 10_000, ALWAYS)
    assert [len(message) for message in messages_of(last)] == [2_000_000]


@given(start=st.integers(0, 3000), length=st.integers(0, 3000))
@RELAXED
def test_a_range_of_time_finds_its_events_wherever_they_are(
    streams: LogStreams, start: int, length: int
) -> None:
    path = streams.path("group", "hours")
    if not path.exists():
        lines = (f"{second * 1000} event {second} {'.' * 80}\n" for second in range(3000))
        path.write_text("".join(lines))
    within = TimeRange(start * 1000, (start + length) * 1000)
    seconds = [*range(start, min(3000, start + length))]
    expected = [f"event {second} {'.' * 80}" for second in seconds]
    assert messages_of(page_forward(path, 0, 10_000, within)) == expected
    assert messages_of(page_backward(path, None, 10_000, within)) == expected


def test_a_start_in_a_long_log_is_found_without_reading_what_is_before(
    streams: LogStreams,
) -> None:
    path = streams.path("group", "long")
    with path.open("w") as file:
        for second in range(50_000):
            file.write(f"{second * 1000} {'.' * 60}\n")
    offset = seek_time(path, 40_000_000)
    event = next(read_events(path, offset))
    assert 39_000_000 < event.timestamp_ms <= 39_940_000


def test_time_stamps_that_go_back_a_little_lose_nothing(streams: LogStreams) -> None:
    path = streams.path("group", "wobble")
    path.write_text("".join(f"{at} at {at}\n" for at in (1000, 50_000, 2000, 51_000, 3000)))
    page = page_forward(path, 0, 10, TimeRange(1500, 4000))
    assert messages_of(page) == ["at 2000", "at 3000"]


def test_a_line_that_nobody_stamped_is_still_shown(streams: LogStreams) -> None:
    path = streams.path("group", "foreign")
    path.write_bytes(b"no stamp\n17 stamped \xff\n")
    assert messages_of(page_forward(path, 0, 10, ALWAYS)) == ["no stamp", "stamped \ufffd"]


def test_groups_and_streams_that_are_not_there_are_named(streams: LogStreams) -> None:
    with pytest.raises(NoSuchGroupError):
        streams.create_stream("none", "stream")
    with pytest.raises(NoSuchStreamError):
        streams.delete_stream("group", "none")
    with pytest.raises(NoSuchGroupError):
        streams.delete_group("none")


def test_a_deleted_group_takes_its_streams_with_it(streams: LogStreams) -> None:
    path = filled(streams, ["one"])
    streams.delete_group("group")
    assert not path.parent.exists()
    assert streams.groups() == []
