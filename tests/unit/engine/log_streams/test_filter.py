import pytest

from intermodal_engine.services.log_filter import parse_filter
from intermodal_engine.wire.errors import ServiceError

LINE = 'ERROR [algo-1] loss=0.25 said "stop now"'


@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        ("", True),
        ("ERROR", True),
        ("error", False),
        ("ERROR loss", True),
        ("ERROR gain", False),
        ('"loss=0.25 said"', True),
        ('"said loss"', False),
        (r'"said \"stop"', True),
        ("?WARN ?ERROR", True),
        ("?WARN ?INFO", False),
        ("ERROR -algo-1", False),
        ("ERROR -algo-2", True),
        ('-"stop now"', False),
        ("algo-1", True),
    ],
)
def test_words_match_as_in_cloudwatch(pattern: str, *, passes: bool) -> None:
    assert parse_filter(pattern).lets_through(LINE) is passes


@pytest.mark.parametrize("pattern", ["{ $.a = 1 }", "[a, b]", "%E.*R%", 'open "quote'])
def test_patterns_that_are_not_words_are_refused_by_name(pattern: str) -> None:
    with pytest.raises(ServiceError, match="Invalid filter pattern"):
        parse_filter(pattern)
