"""What the engine says of its own errors names who must act."""

from pathlib import Path

import pytest

from intermodal_engine.drivers.base import CannotExecuteError
from intermodal_engine.lifecycle.failure import describe_error, printable, shorten


def test_a_name_that_no_file_can_have_is_the_callers_business(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / ("n" * 256)).mkdir()
    reason = describe_error(caught.value)
    assert reason.startswith("ClientError: a name is too long for a file: `nnn")
    assert str(tmp_path) not in reason


def test_a_program_that_cannot_be_executed_is_not_the_platforms_fault() -> None:
    reason = describe_error(CannotExecuteError("cannot execute `x`"))
    assert reason == "AlgorithmError: CannotStartContainerError: cannot execute `x`"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("10%\r20%\r\n", "10%\n20%\n"),
        ("\x9b2Jcleared", "cleared"),
        ("bell\x07, half a sequence\x1b[", "bell\\x07, half a sequence\\x1b["),
        ("no text: \udcff", "no text: \\udcff"),
    ],
)
def test_control_characters_are_made_harmless(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shorten(text) == shown
    assert describe_error(OSError(text)) == f"InternalServerError: {shown}"
