"""What the benchmarks say about what they measured."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.__main__ import AREAS
from benchmarks.figures import Figure, table, write


def test_a_figure_is_the_median_of_its_runs() -> None:
    assert Figure("x", "s", 1.0, [0.1, 9.0, 0.2]).median == 0.2


@pytest.mark.parametrize(
    ("median", "at_least", "holds"),
    [(0.9, False, True), (1.1, False, False), (0.9, True, False), (1.1, True, True)],
)
def test_a_bound_may_be_an_upper_or_a_lower_one(median: float, at_least: bool, holds: bool) -> None:
    assert Figure("x", "s", 1.0, [median], at_least=at_least).holds is holds


def test_what_could_not_be_measured_neither_holds_nor_hides() -> None:
    figure = Figure("x", "s", 1.0, note="no disk")
    assert figure.holds is None
    assert "not measured" in table([figure])
    assert "no disk" in table([figure])


def test_a_missed_bound_catches_the_eye_beside_what_was_measured() -> None:
    line = table([Figure("put", "%", 40, [12.0, 15.0, 18.0], at_least=True)]).splitlines()[-1]
    assert line.split("  ")[0] == "put"
    assert "at least 40 %" in line
    assert "15 %" in line
    assert "12 - 18 %" in line
    assert line.endswith("MISSED")


def test_the_results_can_be_read_by_a_program(tmp_path: Path) -> None:
    path = write([Figure("x", "s", 1.0, [0.5])], tmp_path)
    written = json.loads(path.read_text())
    assert written["figures"][0]["median"] == 0.5
    assert written["figures"][0]["holds"] is True
    assert written["machine"]["cores"] >= 1


@pytest.mark.parametrize("area", AREAS)
def test_every_area_can_be_measured(area: str) -> None:
    assert callable(import_module(f"benchmarks.{area}").measure)
