"""What `intermodal env` and `exec` would do, with an engine that only seems to run."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_engine import identity
from intermodal_engine.cli import main
from intermodal_engine.home import EngineState, announced, locked, prepare
from intermodal_engine.settings import Settings

CLI = (sys.executable, "-m", "intermodal_engine.cli")


@contextlib.contextmanager
def seeming_engine(home: Path) -> Iterator[EngineState]:
    settings = Settings(home=home)
    state = EngineState(1, 8123, "http://127.0.0.1:8123", str(home), "0.1.0", "eu-west-1", 0.0)
    prepare(settings)
    identity.load(settings)
    with locked(home), announced(settings, state):
        yield state


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with seeming_engine(tmp_path / "home"):
        yield tmp_path / "home"


def read_env(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str | None]:
    assert main(["env", "--json", "--home", str(home)]) == 0
    variables: dict[str, str | None] = json.loads(capsys.readouterr().out)
    return variables


def test_a_shell_that_evaluates_it_is_pointed_at_the_engine(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "--home", str(home)]) == 0
    script = capsys.readouterr().out + "env"
    before = {"AWS_PROFILE": "paid", "AWS_ENDPOINT_URL_S3": "https://paid", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script], env=before, capture_output=True, text=True)
    after = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert after["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8123"
    assert after["AWS_ACCESS_KEY_ID"].startswith("AKIA")
    assert after["AWS_REGION"] == after["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert "AWS_PROFILE" not in after


def test_variables_of_single_services_are_unset(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "https://paid")
    variables = read_env(home, capsys)
    assert variables["AWS_ENDPOINT_URL_SAGEMAKER"] is None
    assert variables["AWS_SESSION_TOKEN"] is None


def test_exceptions_from_the_proxy_are_kept_and_ours_added(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "corp.example, localhost")
    variables = read_env(home, capsys)
    assert variables["NO_PROXY"] == variables["no_proxy"] == "corp.example,localhost,127.0.0.1"


def test_unset_undoes_it_without_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "--unset", "--home", str(tmp_path)]) == 0
    assert "AWS_ENDPOINT_URL" in capsys.readouterr().out


def test_exec_runs_a_command_with_that_environment(home: Path) -> None:
    show = "import os; print(os.environ['AWS_ENDPOINT_URL'], 'AWS_PROFILE' in os.environ)"
    done = subprocess.run(
        [*CLI, "exec", "--home", str(home), "--", sys.executable, "-c", show],
        env={"AWS_PROFILE": "paid"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "http://127.0.0.1:8123 False\n"


def test_exec_passes_the_exit_code_on(home: Path) -> None:
    assert (
        subprocess.run([*CLI, "exec", "--home", str(home), "--", "sh", "-c", "exit 7"]).returncode
        == 7
    )


def test_a_command_that_is_not_there_is_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exec", "--home", str(home), "--", "no-such-program"]) == 1
    assert "`no-such-program` cannot be run" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["env", "status"])
def test_without_an_engine_the_exit_code_is_3(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--home", str(tmp_path)]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "hint: start one with `intermodal up --detach`" in shown.err


def test_env_is_quick_and_imports_neither_server_nor_botocore(home: Path) -> None:
    script = (
        "import sys; from intermodal_engine.cli import main; "
        f"main(['env', '--home', {str(home)!r}]); "
        "print(sorted({'botocore', 'uvicorn', 'asyncio', 'sqlite3'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
