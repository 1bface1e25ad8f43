"""How the command line answers to wrong usage and to faults, and how its messages look."""

import pytest

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli import main
from intermodal_engine.cli.main import parser
from intermodal_engine.cli.output import print_error

WRONG = [
    [],
    ["fly"],
    ["logs"],
    ["logs", "line\nbreak"],
    ["drill"],
    ["drill", "spot"],
    ["drill", "spot", "job", "--after=-1"],
    ["drill", "instance"],
    ["drill", "zone", "us-east-1a", "--for=-1"],
    ["drill", "zone", "us-east-1a", "--for=60"],
    ["drill", "latency", "e", "--fraction=1.1"],
    ["drill", "latency", "e", "--delay=soon"],
    ["drill", "errors", "e", "--status=200"],
    ["drill", "errors", "e", "--clients=0"],
    ["drill", "deploy", "e"],
    ["drill", "flood"],
    ["up", "--port=70000"],
    ["up", "--listen=0.0.0.0"],
    ["up", "--max-instances=0"],
    ["up", "--max-instances=1.5"],
    ["up", "--region=Frankfurt"],
    ["up", "--spot-interruptions-per-hour=-1"],
    ["up", "--spot-capacity-wait=nan"],
    ["up", "--stop-grace=inf"],
    ["up", "--registry=hub"],
    ["up", "--registry=127.0.0.1:5000/name"],
    ["up", "--registry=ftp://127.0.0.1:5000"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_has_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: intermodal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost", "http://localhost"),
        ("localhost:5000", "http://localhost:5000"),
        ("registry.example.com", "https://registry.example.com"),
        ("Registry:443/", "https://registry:443"),
        ("http://10.0.0.5:5000", "http://10.0.0.5:5000"),
        ("https://127.0.0.1:5000", "https://127.0.0.1:5000"),
    ],
)
def test_a_registry_on_loopback_needs_no_tls_and_any_other_does(named: str, url: str) -> None:
    assert parser().parse_args(["up", f"--registry={named}"]).registry == url
    # So is it passed on to an engine that is started detached.
    assert parser().parse_args(["up", f"--registry={url}"]).registry == url


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


def test_a_name_that_is_no_text_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["logs", "\ud800"])
    assert caught.value.code == 2
    assert "is no name of a job or an endpoint" in capsys.readouterr().err
