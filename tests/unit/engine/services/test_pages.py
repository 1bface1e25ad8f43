"""Pages of listings that are made anew for each of them."""

import pytest

from intermodal_engine.services.answers import page_of


def all_of(limit: int) -> list[int]:
    entries, token = list(range(7)), ""
    found: list[int] = []
    while True:
        page, more = page_of(entries, token, limit, ValueError)
        found += page
        if not more:
            return found
        token = more["NextToken"]


@pytest.mark.parametrize("limit", [1, 3, 6, 7, 8])
def test_pages_make_up_the_whole(limit: int) -> None:
    assert all_of(limit) == list(range(7))


@pytest.mark.parametrize("token", ["x", "-1", "1.0", "\u00b2", "\u0663", " 1", "9" * 5000])
def test_a_token_that_no_listing_gave_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="not one that this listing gave"):
        page_of([1], token, 1, ValueError)


def test_a_listing_that_has_become_shorter_has_an_empty_last_page() -> None:
    assert page_of([1], "5", 1, ValueError) == ([], {})
