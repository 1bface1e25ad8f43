"""Hyperparameters in a job's file, turned into the arguments of a script."""

import os

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from intermodal_training.errors import HyperparameterError
from intermodal_training.hyperparameters import decode, to_arguments
from tests.fuzz.engine.values import HOSTILE

VALUE_LIMIT = 2500
"""Characters of one value; the service takes no longer ones."""

_JSON = (
    "[" * VALUE_LIMIT,
    '{"a":' * 400,
    "9" * VALUE_LIMIT,
    "-1e999",
    "NaN",
    '"\\ud800"',
    '"\\u0000"',
    '{"\\ud800": 1}',
    '{"b": null, "a": [1, {"c": true}]}',
    "null",
    "true",
    "1_000",
    '"',
    "\ufeff1",
)
_texts = st.sampled_from((*_JSON, *(one[:VALUE_LIMIT] for one in HOSTILE))) | st.text(max_size=30)

hyperparameters: SearchStrategy[dict[str, str]] = st.dictionaries(
    st.text(min_size=1, max_size=20) | st.sampled_from(("sagemaker_program", "a", "é", "A b", "=")),
    _texts,
    max_size=4,
)


def decode_hostile(sent: dict[str, str]) -> str:
    """What came of it: `decoded`, or the name of the refusal."""
    try:
        decoded = decode(sent)
    except HyperparameterError as error:
        return type(error).__name__
    for argument in to_arguments(decoded.user):
        if "\0" in argument:
            raise AssertionError(f"an argument with NUL: {argument!r:.200}")
        os.fsencode(argument)
    return "decoded"
