"""Queues of asynchronous endpoints: who is next, and who is not begun any more."""

import pytest

from intermodal_engine.lifecycle.async_inference.backlog import Backlog, Entry


def entry(name: str, at: float = 0.0, ttl_s: float = 60.0) -> Entry:
    return Entry(name, at, at + ttl_s, 1.0)


@pytest.fixture
def backlog() -> Backlog:
    backlog = Backlog()
    for number, name in enumerate(("a", "b", "c")):
        backlog.add("ep", entry(name, float(number)))
    return backlog


def begun(backlog: Backlog, capacity: int) -> list[str]:
    names = []
    while (one := backlog.begin("ep", capacity)) is not None:
        names.append(one.request_id)
    return names


def test_the_first_come_are_begun_as_far_as_there_is_room(backlog: Backlog) -> None:
    assert begun(backlog, 0) == []
    assert backlog.has_waiting("ep")
    assert begun(backlog, 2) == ["a", "b"]
    backlog.end("ep", entry("a", 0.0))
    assert begun(backlog, 2) == ["c"]
    assert not backlog.has_waiting("ep")
    assert not backlog.has_waiting("other")


def test_one_that_is_put_back_is_the_next(backlog: Backlog) -> None:
    first = backlog.begin("ep", 1)
    assert first is not None
    backlog.put_back("ep", first)
    assert begun(backlog, 3) == ["a", "b", "c"]


def test_those_that_are_worked_on_count_and_may_be_the_oldest(backlog: Backlog) -> None:
    assert begun(backlog, 1) == ["a"]
    assert (backlog.size("ep"), backlog.oldest("ep")) == (3, 0.0)
    backlog.end("ep", entry("a", 0.0))
    assert (backlog.size("ep"), backlog.oldest("ep")) == (2, 1.0)


def test_what_is_withdrawn_is_not_begun_and_what_is_begun_is_not_withdrawn(
    backlog: Backlog,
) -> None:
    assert begun(backlog, 1) == ["a"]
    over = backlog.withdraw("ep", lambda one: one.expires_at <= 61.0)
    assert [one.request_id for one in over] == ["b"]
    assert begun(backlog, 9) == ["c"]


def test_nothing_is_kept_of_an_empty_queue(backlog: Backlog) -> None:
    assert len(backlog.withdraw("ep", lambda _: True)) == 3
    assert backlog.endpoints() == []
    assert (backlog.size("ep"), backlog.oldest("ep")) == (0, None)
    assert backlog.withdraw("ep", lambda _: True) == []
