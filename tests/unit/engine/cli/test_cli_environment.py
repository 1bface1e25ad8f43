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


# Without any vendor's SDK: only what they do, which is to write down the address of STS.
WHERE = """
import boto3, sys
client = boto3.client("sts", endpoint_url="https://sts.eu-west-1.amazonaws.com")
print(client.meta.endpoint_url)
"""


def run_python(home: Path, program: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*CLI, "exec", "--home", str(home), "--", sys.executable, "-c", program],
        env=environment or {},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_program_that_writes_down_an_address_of_aws_still_gets_to_the_engine(home: Path) -> None:
    assert run_python(home, WHERE) == "http://127.0.0.1:8123"


@pytest.mark.parametrize(
    "leave",
    [
        "os.environ['AWS_ENDPOINT_URL'] = 'http://127.0.0.1:4566'",
        "os.environ.pop('AWS_ENDPOINT_URL')",
        "os.environ.pop('INTERMODAL_ENDPOINT_URL')",
    ],
)
def test_a_program_that_leaves_the_engine_goes_where_it_says(home: Path, leave: str) -> None:
    program = f"import os; {leave}\n{WHERE}"
    assert run_python(home, program) == "https://sts.eu-west-1.amazonaws.com"


def test_a_client_with_keys_of_its_own_goes_where_it_says(home: Path) -> None:
    program = WHERE.replace(
        "endpoint_url=", "aws_access_key_id='AKIA0', aws_secret_access_key='0', endpoint_url="
    )
    assert run_python(home, program) == "https://sts.eu-west-1.amazonaws.com"


def test_an_address_that_is_not_of_aws_is_left_alone(home: Path) -> None:
    program = WHERE.replace("https://sts.eu-west-1.amazonaws.com", "http://127.0.0.1:1")
    assert run_python(home, program) == "http://127.0.0.1:1"


def test_a_sitecustomize_of_the_users_runs_all_the_same(home: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("MINE = 'runs'\n")
    program = WHERE + "import sitecustomize; print(sitecustomize.MINE)"
    shown = run_python(home, program, {"PYTHONPATH": str(tmp_path)})
    assert shown.splitlines() == ["http://127.0.0.1:8123", "runs"]


def test_a_program_without_boto3_imports_next_to_nothing_more(home: Path) -> None:
    program = "import sys; print(sorted({'importlib.util', 'typing', 're'} & sys.modules.keys()))"
    plain = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True)
    assert run_python(home, program) == plain.stdout.strip()


def test_what_env_adds_twice_is_there_once_and_unset_takes_only_ours_back(
    home: Path,
) -> None:
    lines = {}
    for name, options in (("set", []), ("undo", ["--unset"])):
        lines[name] = f'eval "$({" ".join(CLI)} env --home {home} {" ".join(options)})"\n'
    show = 'echo "$PYTHONPATH ${AWS_ENDPOINT_URL-none}"\n'
    done = subprocess.run(
        ["sh", "-c", lines["set"] * 2 + show + lines["undo"] + show],
        env={"PYTHONPATH": "/mine", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    there, after = done.stdout.splitlines()
    assert there.count("/clients/python:") == 1
    assert there.endswith("/clients/python:/mine http://127.0.0.1:8123")
    assert after == "/mine none"


# As the vendor's SDKs do it: each of them in a module of its own, by a function of this name.
TELEMETRY = """
import sagemaker.telemetry.telemetry_logging as telemetry
print(telemetry._requests_helper("https://sm-pysdk-t-eu-west-1.s3.amazonaws.com", 2))
"""


@pytest.mark.parametrize(("leave", "sent"), [("", "None"), ("del os.environ[NAME]", "sent")])
def test_the_vendors_sdk_tells_aws_nothing_about_what_is_done_on_the_engine(
    home: Path, tmp_path: Path, leave: str, sent: str
) -> None:
    (tmp_path / "sagemaker/telemetry").mkdir(parents=True)
    module = tmp_path / "sagemaker/telemetry/telemetry_logging.py"
    module.write_text("def _requests_helper(url, timeout):\n    return 'sent'\n")
    program = f"import os; NAME = 'AWS_ENDPOINT_URL'; {leave}\n{TELEMETRY}"
    assert run_python(home, program, {"PYTHONPATH": str(tmp_path)}) == sent
