"""The supervisor's fast JSON says what the standard library's says."""

import json

from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.drivers.supervision.records import dump_json, load_json

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(texts, st.recursive(scalars | texts, st.lists, max_leaves=5)))
def test_it_reads_what_json_writes(value: object) -> None:
    assert load_json(json.dumps(value).encode()) == value


@given(st.dictionaries(texts, scalars | texts))
def test_json_reads_what_it_writes(record: dict[str, str | int | float | bool | None]) -> None:
    assert json.loads(dump_json(record)) == record
