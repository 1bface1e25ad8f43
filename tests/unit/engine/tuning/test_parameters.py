"""Ranges on the unit interval, there and back, and what is no range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.lifecycle.tuning.parameters import (
    Categorical,
    InvalidRangeError,
    Numeric,
    parameters_of,
)

PLACES = st.floats(0.0, 1.0)


def numeric(kind: str, least: str, greatest: str, scale: str | None = None) -> Numeric:
    entry = {"Name": "x", "MinValue": least, "MaxValue": greatest}
    if scale is not None:
        entry["ScalingType"] = scale
    (found,) = parameters_of({f"{kind}ParameterRanges": [entry]})
    assert isinstance(found, Numeric)
    return found


RANGES = [
    numeric("Continuous", "-1.5", "2", "Linear"),
    numeric("Continuous", "1e-6", "0.1", "Logarithmic"),
    numeric("Continuous", "0.5", "0.999", "ReverseLogarithmic"),
    numeric("Integer", "1", "10"),
    numeric("Integer", "1", "100000"),
]


@pytest.mark.parametrize("one", RANGES, ids=lambda one: one.scale)
@given(place=PLACES)
def test_a_value_lies_in_its_range_and_at_its_place(one: Numeric, place: float) -> None:
    text = one.text_at(place)
    assert one.least <= float(text) <= one.greatest
    back = one.place_of(text)
    assert back is not None
    if not one.is_whole:
        assert back == pytest.approx(place, abs=1e-6)
    assert float(one.text_at(back)) == pytest.approx(float(text))


def test_scales_are_what_their_names_say() -> None:
    logarithmic = numeric("Continuous", "0.0001", "1", "Logarithmic")
    assert float(logarithmic.text_at(0.5)) == pytest.approx(0.01)
    reverse = numeric("Continuous", "0", "0.9999", "ReverseLogarithmic")
    assert float(reverse.text_at(0.5)) == pytest.approx(0.99)
    assert numeric("Continuous", "0.0001", "1").scale == "Logarithmic"
    assert numeric("Continuous", "0", "1").scale == "Linear"


def test_all_integers_of_a_linear_range_are_as_likely() -> None:
    one = numeric("Integer", "3", "5")
    found = [one.text_at((number + 0.5) / 300) for number in range(300)]
    assert {text: found.count(text) for text in set(found)} == {"3": 100, "4": 100, "5": 100}


def test_words_have_equal_parts() -> None:
    one = Categorical("x", ("a", "b"))
    assert [one.text_at(place) for place in (0.0, 0.49, 0.5, 1.0)] == ["a", "a", "b", "b"]
    assert (one.place_of("b"), one.place_of("c")) == (0.75, None)


def test_what_is_outside_of_a_range_has_no_place() -> None:
    one = numeric("Integer", "1", "10")
    assert [one.place_of(text) for text in ("0", "11", "many")] == [None, None, None]


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({}, "There is no range"),
        ({"Integer": [("x", "1.5", "2", "Auto")]}, "must each be an integer"),
        ({"Continuous": [("x", "a", "2", "Auto")]}, "must each be a number"),
        ({"Continuous": [("x", "2", "1", "Auto")]}, "must be less than"),
        ({"Continuous": [("x", "0", "inf", "Auto")]}, "by a finite number"),
        ({"Continuous": [("x", "nan", "1", "Auto")]}, "by a finite number"),
        ({"Continuous": [("x", "-1e308", "1e308", "Auto")]}, "by a finite number"),
        ({"Integer": [("x", "0", "9" * 20, "Auto")]}, "within 2.53 of 0"),
        ({"Continuous": [("x", "0", "1", "Logarithmic")]}, "greater than 0"),
        ({"Continuous": [("x", "0", "1", "ReverseLogarithmic")]}, "within 0 and 1"),
        ({"Integer": [("x", "0", "1", "ReverseLogarithmic")]}, "must be continuous"),
        ({"Integer": [("x", "1", "2", "Auto")], "Continuous": [("x", "1", "2", "Auto")]}, "twice"),
    ],
)
def test_what_is_no_range_is_named(
    ranges: dict[str, list[tuple[str, str, str, str]]], says: str
) -> None:
    names = ("Name", "MinValue", "MaxValue", "ScalingType")
    request = {
        f"{kind}ParameterRanges": [dict(zip(names, one, strict=True)) for one in entries]
        for kind, entries in ranges.items()
    }
    with pytest.raises(InvalidRangeError, match=says):
        parameters_of(request)


def test_words_that_are_there_twice_are_named() -> None:
    with pytest.raises(InvalidRangeError, match="Values of x must be unique"):
        parameters_of({"CategoricalParameterRanges": [{"Name": "x", "Values": ["a", "a"]}]})
