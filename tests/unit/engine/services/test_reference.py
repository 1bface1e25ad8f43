"""The page of operations and the engine's table say the same."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from intermodal_engine.services.reference import render, served_rows
from intermodal_engine.services.table import TABLE
from intermodal_engine.wire.models import load_service

PAGE = Path(__file__).parents[4] / "docs/reference/api-coverage.md"
STALE = (
    "stale: run `python -m intermodal_engine.services.reference > docs/reference/api-coverage.md`"
)


def test_the_page_has_every_operation_that_is_served_and_no_other() -> None:
    rows = re.findall(r"^\| `\w+` \| .* \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == served_rows(), STALE


def test_the_page_is_what_the_code_says() -> None:
    page = PAGE.read_text()
    # A newer botocore knows of more operations; which are served is known all the same.
    if f"of botocore {version('botocore')}." not in page:
        pytest.skip("the page was counted against another botocore; its served rows are tested")
    assert page == render(), STALE


def test_every_operation_that_is_served_says_what_it_does() -> None:
    assert [row for row in served_rows() if row.endswith("|  |")] == []


@pytest.mark.parametrize("service", sorted(TABLE))
def test_nothing_is_served_that_aws_has_not(service: str) -> None:
    assert set(TABLE[service]) <= set(load_service(service).operation_names)


@pytest.mark.parametrize("service", sorted(TABLE))
def test_served_and_not_served_are_all_that_aws_has(service: str) -> None:
    section = render().partition(f"\n## {service}\n")[2].partition("\n## ")[0]
    served, _, missing = section.partition("<details>")
    assert len(re.findall(r"^\| `", served, re.MULTILINE)) == len(TABLE[service])
    named = re.findall(r"^\| `(\w+)`", served, re.MULTILINE) + re.findall(r"`(\w+)`", missing)
    assert sorted(named) == sorted(load_service(service).operation_names)
