"""Records: one transaction a change, events beside it, pages that neither skip nor repeat."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intermodal_engine.clock import FakeClock
from intermodal_engine.store.database import (
    MIGRATIONS,
    RESERVE_BYTES,
    Database,
    DatabaseTooNewError,
)
from intermodal_engine.store.records import (
    InvalidTokenError,
    Query,
    RecordExistsError,
    RecordNotFoundError,
    Records,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def records(tmp_path: Path, clock: FakeClock) -> Records:
    return Records(Database(tmp_path / "state.sqlite"), clock)


def add(records: Records, name: str, status: str = "InProgress") -> None:
    records.insert("job", name, arn=f"arn:{name}", request={"Name": name}, status=status)


def test_a_record_is_there_with_its_tags_and_its_first_event(records: Records) -> None:
    records.insert("job", "a", arn="arn:a", request={"x": [1]}, status="S", tags={"team": "red"})
    record = records.get("job", "a")
    assert (record.request, record.status, record.state) == ({"x": [1]}, "S", {})
    assert records.tags("arn:a") == {"team": "red"}
    assert [event.type for event in records.events("job", "a")] == ["Created"]
    assert records.find_by_arn("arn:a") == record


def test_a_taken_name_is_refused_and_changes_nothing(records: Records) -> None:
    add(records, "a")
    with pytest.raises(RecordExistsError):
        records.insert("job", "a", arn="arn:b", request={}, tags={"k": "v"})
    assert records.tags("arn:b") == {}
    assert len(records.events("job", "a")) == 1


def test_an_edit_writes_the_change_and_its_events_together(
    records: Records, clock: FakeClock
) -> None:
    add(records, "a")
    clock.advance(5)
    with records.edit("job", "a") as draft:
        draft.status = "Done"
        draft.state["steps"] = 1
        draft.note("Finished", steps=1)
    record = records.get("job", "a")
    assert (record.status, record.state) == ("Done", {"steps": 1})
    assert record.modified_at == record.created_at + 5
    assert [(one.type, one.data) for one in records.events("job", "a")][1:] == [
        ("Finished", {"steps": 1})
    ]


def test_an_edit_that_raises_writes_nothing(records: Records) -> None:
    add(records, "a")

    def fail() -> None:
        with records.edit("job", "a") as draft:
            draft.status = "Done"
            draft.note("Finished")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert records.get("job", "a").status == "InProgress"
    assert len(records.events("job", "a")) == 1


def test_an_edit_without_a_change_does_not_touch_the_record(
    records: Records, clock: FakeClock
) -> None:
    add(records, "a")
    clock.advance(5)
    with records.edit("job", "a"):
        pass
    assert records.get("job", "a").modified_at == records.get("job", "a").created_at


def test_a_deleted_record_is_gone_and_its_name_free_but_its_events_stay(records: Records) -> None:
    add(records, "a")
    records.delete("job", "a")
    assert records.find("job", "a") is None
    with pytest.raises(RecordNotFoundError):
        records.delete("job", "a")
    add(records, "a")
    assert [one.type for one in records.events("job", "a")] == ["Created", "Deleted", "Created"]


def test_filters_select_by_name_status_and_time(records: Records, clock: FakeClock) -> None:
    start = clock.now()
    for number in range(4):
        clock.advance(10)
        add(records, f"job-{number}", "Even" if number % 2 == 0 else "Odd")

    def names(**query: object) -> list[str]:
        page = records.page("job", Query(**{"limit": 100, "descending": False, **query}))  # type: ignore[arg-type]
        return [record.name for record in page.records]

    assert names(name_contains="-3") == ["job-3"]
    assert names(status="Odd") == ["job-1", "job-3"]
    assert names(created_after=start + 20) == ["job-2", "job-3"]
    assert names(created_before=start + 20) == ["job-0"]
    assert names(name_contains="%") == []


@settings(max_examples=30)
@given(
    limit=st.integers(1, 5),
    sort_by=st.sampled_from(["Name", "CreationTime", "Status"]),
    descending=st.booleans(),
    gaps=st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=12),
)
def test_pages_neither_skip_nor_repeat(
    tmp_path_factory: pytest.TempPathFactory,
    limit: int,
    sort_by: str,
    descending: bool,
    gaps: list[float],
) -> None:
    clock = FakeClock()
    records = Records(Database(tmp_path_factory.mktemp("pages") / "state.sqlite"), clock)
    for number, gap in enumerate(gaps):
        clock.advance(gap)
        add(records, f"job-{number:02}", f"status-{number % 3}")
    seen, token = [], None
    while True:
        page = records.page(
            "job", Query(None, sort_by=sort_by, descending=descending, limit=limit, token=token)
        )
        seen += [record.name for record in page.records]
        assert len(page.records) <= limit
        token = page.next_token
        if token is None:
            break
    whole = records.page("job", Query(sort_by=sort_by, descending=descending, limit=100))
    assert seen == [record.name for record in whole.records]
    assert sorted(seen) == sorted(f"job-{number:02}" for number in range(len(gaps)))


@pytest.mark.parametrize("token", ["", "zz", "ab", "5b5d", b"[1]".hex()])
def test_a_foreign_token_is_refused(records: Records, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        records.page("job", Query(token=token))


def test_tags_can_be_changed_and_removed(records: Records) -> None:
    add(records, "a")
    records.add_tags("arn:a", {"k": "1", "l": "2"})
    records.add_tags("arn:a", {"k": "3"})
    records.delete_tags("arn:a", ["l", "absent"])
    assert records.tags("arn:a") == {"k": "3"}


def test_everything_is_there_after_the_database_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    database = Database(path)
    add(Records(database, FakeClock()), "a")
    database.close()
    assert Records(Database(path), FakeClock()).get("job", "a").status == "InProgress"


def test_a_database_of_a_later_version_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    database = Database(path)
    with database.transaction() as connection:
        connection.execute("CREATE TABLE later (x)")
    with database.reader() as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(DatabaseTooNewError, match="update intermodal"):
        Database(path)


def test_a_full_disk_leaves_the_engine_room_to_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.sqlite"
    database = Database(path)
    records = Records(database, FakeClock())
    add(records, "a")
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES
    with database.reader() as connection:  # as large as it may get, for SQLite a full disk
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        records.insert("job", "b", arn="arn:b", request={"x": "y" * 100_000})
    assert not (tmp_path / "reserve").exists()
    with database.reader() as connection:
        connection.execute("PRAGMA max_page_count=100000")
    assert records.find("job", "b") is None
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    add(records, "b")
    assert not (tmp_path / "reserve").exists()
    monkeypatch.undo()
    add(records, "c")
    assert (tmp_path / "reserve").exists()
