"""What of a record the model gets, and what of the joined record is kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.lifecycle.transform.program.filters import (
    FilterError,
    Processing,
    format_of,
    make_processing,
)
from intermodal_engine.lifecycle.transform.program.jsonpath import (
    InvalidPathError,
    NoMatchError,
    parse,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("$", [1, 2], [1, 2]),
        ("$.features", {"id": 1, "features": [5]}, [5]),
        ("$['features']", {"features": 5}, 5),
        ("$['id','SageMakerOutput']", {"id": 1, "x": 2, "SageMakerOutput": 3},
         {"id": 1, "SageMakerOutput": 3}),
        ("$[0]", ["a", "b"], "a"),
        ("$[-1]", ["a", "b"], "b"),
        ("$[0,5:]", list("abcdefg"), ["a", "f", "g"]),
        ("$[1:]", [1, 2, 3], [2, 3]),
        ("$[:-1]", [1, 2, 3], [1, 2]),
        ("$[0, 2]", [1, 2, 3], [1, 3]),
        ("$.a.b[1]", {"a": {"b": [1, 2]}}, 2),
        ("$.*", {"a": 1, "b": 2}, [1, 2]),
        ("$[*].a", [{"a": 1}, {"a": 2}], [1, 2]),
        ("$[1:].a", [{}, {"a": 2}], [2]),
    ],
)  # fmt: skip
def test_paths_take_what_they_name(path: str, value: Any, found: Any) -> None:
    assert parse(path).apply(value) == found


@pytest.mark.parametrize("path", ["features", "$.", "$[", "$[a]", "$..a", "$[?(@.a)]", "$['a'", ""])
def test_what_is_no_path_here_is_told(path: str) -> None:
    with pytest.raises(InvalidPathError):
        parse(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.a", {"b": 1}), ("$.a", [1]), ("$[3]", [1, 2]), ("$[-3]", [1]), ("$[0]", {"a": 1}),
     ("$['a','b']", {"a": 1}), ("$.*", 5)],
)  # fmt: skip
def test_what_is_not_there_is_told(path: str, value: Any) -> None:
    with pytest.raises(NoMatchError):
        parse(path).apply(value)


@given(value=JSON)
def test_the_root_is_everything(value: Any) -> None:
    assert parse("$").apply(value) == value


def processing(kind: str, split: str = "Line", **filters: str | None) -> Processing:
    given_filters: dict[str, str | None] = {
        "input_filter": None,
        "output_filter": None,
        "join_source": None,
        **filters,
    }
    made = make_processing(kind, split, **given_filters)
    assert made is not None
    return made


def test_columns_of_csv_are_left_out_and_results_are_appended() -> None:
    one = processing("text/csv", input_filter="$[1:]", join_source="Input", output_filter="$[0,-1]")
    assert one.request(b'id1,2,"a,b"\nid2,3,c\n') == b'2,"a,b"\n3,c\n'
    assert one.answer(b"id1,2,3\nid2,3,4\n", b"0.5\n0.7\n") == b"id1,0.5\nid2,0.7\n"


def test_results_of_json_lines_become_an_attribute() -> None:
    one = processing("application/jsonlines", input_filter="$.features", join_source="Input")
    assert one.request(b'{"id": 1, "features": [1, 2]}\n{"id": 2, "features": []}\n') == (
        b"[1, 2]\n[]"
    )
    answer = one.answer(b'{"id": 1}\n[7]\n', b'{"p": 0.5}\n0.7')
    assert [json.loads(line) for line in answer.splitlines()] == [
        {"id": 1, "SageMakerOutput": {"p": 0.5}},
        {"SageMakerInput": [7], "SageMakerOutput": 0.7},
    ]


def test_a_whole_json_object_is_one_record() -> None:
    one = processing("application/json", "None", join_source="Input", output_filter="$['a']")
    assert one.answer(b'{"a":\n 1}', b"[1,\n2]") == b"1"


def test_answers_that_cannot_be_joined_are_told() -> None:
    one = processing("text/csv", join_source="Input")
    with pytest.raises(FilterError, match="answered 1 records for 2"):
        one.answer(b"1\n2\n", b"3\n")
    lines = processing("application/jsonlines", join_source="Input")
    with pytest.raises(FilterError, match="the answer is no application/jsonlines"):
        lines.answer(b"1\n", b"<html>")
    with pytest.raises(FilterError, match=r"filter `\$.a` does not match"):
        processing("application/jsonlines", input_filter="$.a").request(b'{"b": 1}')


def test_only_csv_and_json_can_be_looked_into() -> None:
    assert format_of("text/csv; charset=utf-8", "Line") == "text/csv"
    assert format_of("application/json", "Line") == "application/jsonlines"
    assert format_of("application/json", "None") == "application/json"
    assert format_of("application/json", "RecordIO") is None
    assert (
        make_processing(
            "image/png", "None", input_filter="$", output_filter=None, join_source="None"
        )
        is None
    )
    with pytest.raises(FilterError, match="DataProcessing is for ContentType"):
        processing("image/png", join_source="Input")
