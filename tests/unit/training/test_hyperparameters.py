"""Hyperparameters that once ended `train` with a traceback."""

import pytest

from intermodal_training.errors import HyperparameterError
from intermodal_training.hyperparameters import decode, to_arguments


@pytest.mark.parametrize("text", ["[" * 2500, '{"a":' * 400])
def test_brackets_without_end_are_a_text(text: str) -> None:
    assert to_arguments(decode({"name": text}).user) == ["--name", text]


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\ud800": 1}', "\ud800"])
def test_half_a_pair_of_surrogates_is_told_with_what_has_it(text: str) -> None:
    with pytest.raises(HyperparameterError, match=r"hyperparameter 'name' has '\\ud800'"):
        decode({"name": text})


def test_a_whole_pair_is_a_character() -> None:
    assert to_arguments(decode({"name": '"\\ud83d\\ude00"'}).user) == ["--name", "\U0001f600"]
