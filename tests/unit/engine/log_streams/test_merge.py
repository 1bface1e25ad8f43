"""Many streams as one, in the order of time, page by page."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intermodal_engine.services.log_merge import merge, read_token, write_token
from intermodal_engine.store.log_pages import TimeRange
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.wire.errors import ServiceError

TIMES = st.lists(st.integers(0, 50), max_size=12).map(sorted)


@given(
    logs=st.dictionaries(st.sampled_from(["a", "b/1", "c"]), TIMES, min_size=1),
    limit=st.integers(1, 5),
    start=st.integers(0, 50),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_several_streams_add_up_in_the_order_of_time(
    tmp_path: Path, logs: dict[str, list[int]], limit: int, start: int
) -> None:
    streams = LogStreams(tmp_path)
    if "group" in streams.groups():
        streams.delete_group("group")
    streams.create_group("group")
    for name, times in logs.items():
        streams.create_stream("group", name)
        streams.append("group", name, [(at, f"{name} {at}") for at in times])

    found: list[tuple[int, str]] = []
    token = write_token({})
    while token:
        page = merge(
            streams.streams("group"),
            read_token(token),
            TimeRange(start, 40),
            lambda message: not message.endswith("7"),
            limit,
        )
        assert len(page.events) <= limit
        found += [(event.timestamp_ms, event.message) for _, event in page.events]
        token = write_token(page.offsets) if page.offsets is not None else ""
    expected = sorted(
        (at, f"{name} {at}")
        for name, times in logs.items()
        for at in times
        if start <= at < 40 and at % 10 != 7
    )
    assert sorted(found) == expected
    assert [at for at, _ in found] == sorted(at for at, _ in found)


def test_a_token_that_is_none_of_ours_is_refused() -> None:
    for token in ("x", "AAAA", "!!"):
        with pytest.raises(ServiceError, match="nextToken is invalid"):
            read_token(token)
