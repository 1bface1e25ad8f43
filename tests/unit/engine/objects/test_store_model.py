"""The store against a dict: whatever the keys, however often it is opened again."""

from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from intermodal_engine.store.objects import NoSuchKeyError
from tests.helpers.object_store import BUCKET, opened_shelf

ORDINARY = ["a", "a", "b", "ab", "a-", "a0", "é", "\U0010ffff"]
ODD = ["", ".", "..", "%", "%~", "%~a%o", "\0"]
LONG = ["x" * 255, "x" * 256, "x" * 240 + "y"]
COMPONENTS = st.sampled_from([*ORDINARY, *ODD, *LONG])
KEYS = (
    st.lists(COMPONENTS, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda key: 0 < len(key.encode()) <= 1024)
)
TEXTS = st.one_of(KEYS, st.just(""), st.sampled_from(["a", "a/", "a/a", "/", "x" * 100]))
DELIMITERS = st.sampled_from(["", "/", "a", "a/", "b"])


def expected_page(
    model: dict[str, bytes], prefix: str, delimiter: str, start: str, limit: int
) -> tuple[list[str], list[str], bool]:
    """Keys, common prefixes and whether more follow, by definition."""
    entries: list[tuple[str, bool]] = []
    for key in sorted(model, key=str.encode):
        if not key.startswith(prefix) or key.encode() < start.encode():
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = (key, False) if end < 0 else (key[: end + len(delimiter)], True)
        if entry not in entries:
            entries.append(entry)
    page = entries[:limit]
    names = [name for name, is_common in page if not is_common]
    common = [name for name, is_common in page if is_common]
    return names, common, len(entries) > limit


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.shelf = self._stack.enter_context(opened_shelf())
        self.model: dict[str, bytes] = {}

    def teardown(self) -> None:
        self._stack.close()

    @rule(key=KEYS, data=st.binary(max_size=4))
    def put(self, key: str, data: bytes) -> None:
        self.shelf.store.put_bytes(BUCKET, key, data, content_type=f"x/{len(key)}")
        self.model[key] = data

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.shelf.store.delete(BUCKET, key) == (self.model.pop(key, None) is not None)

    @rule(key=KEYS)
    def look(self, key: str) -> None:
        if key not in self.model:
            with pytest.raises(NoSuchKeyError):
                self.shelf.store.head(BUCKET, key)

    @rule()
    def reopen(self) -> None:
        self.shelf.reopen()

    @rule(prefix=TEXTS, delimiter=DELIMITERS, start=TEXTS, limit=st.integers(1, 4))
    def list(self, prefix: str, delimiter: str, start: str, limit: int) -> None:
        page = self.shelf.store.list(BUCKET, prefix, delimiter=delimiter, start=start, limit=limit)
        keys, common, more = expected_page(self.model, prefix, delimiter, start, limit)
        assert [info.key for info in page.objects] == keys
        assert list(page.common_prefixes) == common
        assert (page.next_start is not None) == more

    @invariant()
    def every_object_is_there_as_it_was_put(self) -> None:
        found = {}
        for info in self.shelf.store.iterate(BUCKET):
            opened, file = self.shelf.store.open(BUCKET, info.key)
            with file:
                found[info.key] = file.read()
            assert opened == info
            assert info.content_type == f"x/{len(info.key)}"
        assert found == self.model
        assert [*found] == sorted(self.model, key=str.encode)

    @invariant()
    def nothing_is_left_in_scratch(self) -> None:
        assert self.shelf.leftovers() == []


StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreMachine = StoreMachine.TestCase
