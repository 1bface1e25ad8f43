"""How the command line answers to wrong usage and to faults, and how its messages look."""

import pytest

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli import main
from intermodal_engine.cli.output import print_error

WRONG = [
    [],
    ["fly"],
    ["logs"],
    ["drill"],
    ["drill", "spot"],
    ["drill", "spot", "job", "--after=-1"],
    ["up", "--port=70000"],
    ["up", "--max-instances=0"],
    ["up", "--max-instances=1.5"],
    ["up", "--region=Frankfurt"],
    ["up", "--spot-interruptions-per-hour=-1"],
    ["up", "--spot-capacity-wait=nan"],
    ["up", "--stop-grace=inf"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_has_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: intermodal" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("intermodal 0.")


def test_an_error_and_its_hint_have_a_line_each_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_error(IntermodalError("`x` is not there", hint="make it"))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: `x` is not there\nhint: make it\n"
