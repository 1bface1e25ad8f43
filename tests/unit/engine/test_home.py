"""Who runs on a home, and how others learn of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from intermodal_contract.errors import IntermodalError
from intermodal_engine.home import (
    AlreadyRunningError,
    EngineState,
    HomeLostError,
    announced,
    home_served_at,
    is_locked,
    last_port,
    locked,
    prepare,
    read_state,
    wait_until_free,
    write_private,
)
from intermodal_engine.settings import Settings
from tests.helpers.http_instance import HttpInstance
from tests.helpers.router import free_port

HOLD = """
import sys, pathlib
from intermodal_engine.home import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    prepare(settings)
    return settings


def state_of(settings: Settings) -> EngineState:
    return EngineState(os.getpid(), 1, "http://127.0.0.1:1", str(settings.home), "0.1.0", "r", 1.0)


def test_only_one_engine_runs_on_a_home(settings: Settings) -> None:
    with locked(settings.home):
        assert is_locked(settings.home)
        with pytest.raises(AlreadyRunningError), locked(settings.home):
            pass
    assert not is_locked(settings.home)


def test_the_state_is_there_as_long_as_the_engine_runs(settings: Settings) -> None:
    with locked(settings.home), announced(settings, state_of(settings)):
        assert read_state(settings) == state_of(settings)
    assert read_state(settings) is None
    assert not settings.state_file.exists()


def test_the_last_engines_port_is_known_after_it(settings: Settings) -> None:
    assert last_port(settings) is None
    with locked(settings.home), announced(settings, state_of(settings)):
        pass
    assert last_port(settings) == 1


@pytest.mark.parametrize("content", ["", "x", "-1", "70000"])
def test_a_broken_port_file_counts_for_nothing(settings: Settings, content: str) -> None:
    settings.port_file.write_text(content)
    assert last_port(settings) is None


def test_what_a_killed_engine_left_counts_for_nothing(settings: Settings) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, settings.home], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"held\n"
        with announced(settings, state_of(settings)):
            assert read_state(settings) is not None
            assert not wait_until_free(settings.home, 0.05)
            engine.send_signal(signal.SIGKILL)
            assert wait_until_free(settings.home, 10)
            assert settings.state_file.exists()
            assert read_state(settings) is None


def test_an_engine_knows_when_its_home_was_removed_moved_or_replaced(settings: Settings) -> None:
    with locked(settings.home) as lock:
        lock.check()
        settings.home.rename(settings.home.with_name("elsewhere"))
        with pytest.raises(HomeLostError, match="was moved"):
            lock.check()
        prepare(settings)
        with locked(settings.home) as another:
            another.check()
            with pytest.raises(HomeLostError, match="was moved"):
                lock.check()
            shutil.rmtree(settings.home)
            with pytest.raises(HomeLostError, match="was removed"):
                another.check()


def test_an_engine_that_lost_its_home_leaves_the_state_of_the_next_alone(
    settings: Settings,
) -> None:
    next_state = replace(state_of(settings), started_at=2.0)
    with announced(settings, state_of(settings)):
        shutil.rmtree(settings.home)
        prepare(settings)
        write_private(settings.state_file, json.dumps(asdict(next_state)))
    with locked(settings.home):
        assert read_state(settings) == next_state


def test_a_port_where_no_engine_answers_serves_no_home() -> None:
    assert home_served_at(free_port()) is None
    with HttpInstance() as other:
        assert home_served_at(other.port) is None


def test_a_broken_state_file_counts_for_nothing(settings: Settings) -> None:
    settings.state_file.write_text("{")
    with locked(settings.home):
        assert read_state(settings) is None


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IntermodalError, match="cannot be used") as caught:
        prepare(Settings(home=tmp_path / "file" / "home"))
    assert "--home" in (caught.value.hint or "")
