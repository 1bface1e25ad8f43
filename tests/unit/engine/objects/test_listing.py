"""One bucket full of keys that lie side by side, listed in every way, against the definition."""

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intermodal_engine.store.objects import ObjectStore
from tests.helpers.object_store import BUCKET, Shelf, opened_shelf

COMPONENTS = ["a", "a-", "b", ""]
KEYS = sorted(
    {"/".join(parts) for count in (1, 2, 3) for parts in product(COMPONENTS, repeat=count)} - {""}
)
NEAR = st.sampled_from(KEYS)
TAILS = st.sampled_from(["", "/", "-", "0"])
EDGES = st.builds(lambda key, cut, tail: key[:cut] + tail, NEAR, st.integers(0, 5), TAILS)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    with opened_shelf() as shelf:
        for key in KEYS:
            shelf.store.put_bytes(BUCKET, key, b"")
        yield shelf


def by_definition(prefix: str, delimiter: str, start: str) -> list[tuple[str, bool]]:
    """Every entry of the listing, and whether it is a common prefix."""
    entries: dict[tuple[str, bool], None] = {}
    for key in KEYS:
        if key.startswith(prefix) and key >= start:
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            entries[(key, False) if end < 0 else (key[: end + len(delimiter)], True)] = None
    return [*entries]


def pages(
    store: ObjectStore, prefix: str, delimiter: str, start: str, limit: int
) -> list[tuple[str, bool]]:
    """The same from the store, page by page."""
    entries: list[tuple[str, bool]] = []
    following: str | None = start
    while following is not None:
        page = store.list(BUCKET, prefix, delimiter=delimiter, start=following, limit=limit)
        names = [(info.key, False) for info in page.objects]
        common = [(name, True) for name in page.common_prefixes]
        assert len(names) + len(common) <= limit
        entries += sorted(names + common)
        following = page.next_start
    return entries


@given(
    prefix=st.one_of(st.just(""), EDGES),
    delimiter=st.sampled_from(["", "/", "/", "-", "a/", "//"]),
    start=st.one_of(st.just(""), EDGES),
    limit=st.sampled_from([1, 2, 5, 1000]),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_pages_add_up_to_the_listing_by_definition(
    shelf: Shelf, prefix: str, delimiter: str, start: str, limit: int
) -> None:
    assert pages(shelf.store, prefix, delimiter, start, limit) == by_definition(
        prefix, delimiter, start
    )


def test_keys_come_in_the_order_of_their_utf_8_bytes() -> None:
    with opened_shelf() as other:
        keys = ["z", "é", "\uffff", "\U00010000", "Z", "a b", "a\x01", "~"]
        for key in keys:
            other.store.put_bytes(BUCKET, key, b"")
        found = [info.key for info in other.store.iterate(BUCKET)]
    assert found == sorted(keys, key=str.encode)
