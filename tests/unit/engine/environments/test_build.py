"""Environments are made once from local wheels, never used half-made, and removed when unused."""

import base64
import contextlib
import hashlib
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from intermodal_contract.catalogue import Release
from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.drivers.environment import Environment, Environments
from intermodal_engine.drivers.environment_build import BuildAbandonedError, unused_environments
from tests.helpers.driver_stages import make_spec

IMAGE = "intermodal/pytorch-training:1.0-cpu-py311"
"""The tiny catalogue's only framework passes for this one, whose name image names know."""


def write_wheel(folder: Path, name: str, source: str, version: str = "1.0") -> Path:
    """A wheel with one module and a program of its own name, as `pip wheel` would build it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},{digest(text)},{len(text)}\n" for path, text in files.items())
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return wheel


def digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


MAIN = "def main():\n    print('{} runs')\n"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that uv knows of."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("tinytorch", "pip", "train"):
        write_wheel(folder, name, MAIN.format(name))
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def release(tmp_path: Path) -> Release:
    lock_file = tmp_path / "tiny.txt"
    lock_file.write_text("tinytorch==1.0\npip==1.0\ntrain==1.0\n")
    return Release(
        framework="pytorch",
        version="1.0",
        distribution="tinytorch",
        module="tinytorch",
        requires=(),
        pythons=(f"{sys.version_info.major}.{sys.version_info.minor}",),
        builds={},
        apt=("libtiny1",),
        unhashed=(),
        lock_file=lock_file,
    )


class Making:
    """Environments of a tiny release, made in a folder, and what was told meanwhile."""

    def __init__(self, root: Path, release: Release) -> None:
        self.folder = root / "environments"
        self.release = release
        self.told: list[str] = []

    def environment(self) -> Environment:
        return Environments(self.folder, (self.release,), ("train==1.0",)).resolve(IMAGE)

    def make(self) -> Environment:
        environment = self.environment()
        assert environment.make is not None
        environment.make(self.told.append)
        return environment

    def refusal(self) -> str:
        """What is said when it cannot be made; nothing but the lock's file is left."""
        with pytest.raises(StartFailedError) as failed:
            self.make()
        assert {path.suffix for path in self.folder.iterdir()} == {".lock"}
        return str(failed.value)


@pytest.fixture
def making(tmp_path: Path, wheels: Path, release: Release) -> Making:
    del wheels
    return Making(tmp_path, release)


class SilentIndex:
    """A server that takes a connection and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self._taken: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def wait_for_a_client(self) -> None:
        self._taken.append(self._listener.accept()[0])

    def close(self) -> None:
        """From now on nobody waits for an answer."""
        for one in (self._listener, *self._taken):
            one.close()


@pytest.fixture
def silent_index() -> Iterator[SilentIndex]:
    with contextlib.closing(SilentIndex()) as index:
        yield index


def output_of(program: Path) -> str:
    return subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout


def test_an_environment_holds_the_framework_pip_and_our_programs(making: Making) -> None:
    environment = making.make()
    scripts = environment.path_entries[0]
    assert output_of(scripts / "train") == "train runs\n"
    assert output_of(scripts / "pip") == "pip runs\n"
    assert output_of(scripts / "tinytorch") == "tinytorch runs\n"
    assert making.told[0].startswith("making an environment for pytorch 1.0; this happens once")
    assert making.told[-1].startswith("the environment is ready after ")
    assert any(line.startswith("uv: Installed 3 packages") for line in making.told)


def test_it_is_made_once_and_then_found_in_no_time(making: Making) -> None:
    making.make()
    making.told.clear()
    began = time.perf_counter()
    making.make()
    assert time.perf_counter() - began < 0.05
    assert making.told == []


def test_two_who_want_it_at_once_make_it_once(making: Making) -> None:
    others = [Making(making.folder.parent, making.release) for _ in range(3)]
    threads = [threading.Thread(target=other.make) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first_words = sorted(other.told[0].split()[0] for other in others if other.told)
    assert first_words.count("making") == 1
    assert set(first_words) <= {"making", "waiting"}
    assert output_of(making.environment().path_entries[0] / "train") == "train runs\n"


def test_what_a_crash_left_is_made_again(making: Making) -> None:
    environment = making.make()
    folder = environment.python.parents[1]
    (making.folder / f"{folder.name}.json").unlink()
    (folder / "bin/train").unlink()
    making.make()
    assert output_of(folder / "bin/train") == "train runs\n"


def test_an_engine_that_ends_does_not_wait_for_a_build_and_the_next_one_makes_it(
    making: Making, silent_index: SilentIndex, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", silent_index.url)
    environments = Environments(making.folder, (making.release,), ("train==1.0",))
    ends: list[BuildAbandonedError] = []

    def make() -> None:
        make_it = environments.resolve(IMAGE).make
        assert make_it is not None
        with pytest.raises(BuildAbandonedError) as end:
            make_it(print)
        ends.append(end.value)

    thread = threading.Thread(target=make)
    thread.start()
    silent_index.wait_for_a_client()
    began = time.monotonic()
    environments.close()
    thread.join()
    assert time.monotonic() - began < 5
    make()
    assert len(ends) == 2
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    assert output_of(making.make().path_entries[0] / "train") == "train runs\n"


ANOTHER_ENGINE = """
import pickle, sys
from intermodal_engine.drivers.environment import Environments
folder, release, image = pickle.load(sys.stdin.buffer)
Environments(folder, (release,), ("train==1.0",)).resolve(image).make(print)
"""


def test_after_a_kill_the_next_engine_waits_for_the_orphaned_uv_and_makes_it_afresh(
    making: Making, silent_index: SilentIndex
) -> None:
    hanging = {"PIP_FIND_LINKS": silent_index.url, "UV_HTTP_RETRIES": "0"}
    engine = subprocess.Popen(
        [sys.executable, "-c", ANOTHER_ENGINE],
        env={**os.environ, **hanging},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with engine:
        engine.stdin.write(pickle.dumps((making.folder, making.release, IMAGE)))  # type: ignore[union-attr] # a pipe
        engine.stdin.close()  # type: ignore[union-attr] # the same
        silent_index.wait_for_a_client()
        engine.kill()
    has_spoken = threading.Event()

    def hear(line: str) -> None:
        making.told.append(line)
        has_spoken.set()

    thread = threading.Thread(target=making.environment().make, args=(hear,))
    thread.start()
    assert has_spoken.wait(20)
    assert making.told == ["waiting for an environment that another instance is making"]
    silent_index.close()
    thread.join()
    assert making.told[1].startswith("making an environment")
    assert output_of(making.environment().path_entries[0] / "train") == "train runs\n"


def test_an_environment_whose_python_is_gone_or_whose_home_moved_is_made_again(
    making: Making,
) -> None:
    environment = making.make()
    environment.python.unlink()
    making.make()
    assert environment.python.exists()
    moved = Making(making.folder.parent / "moved", making.release)
    shutil.copytree(making.folder, moved.folder, symlinks=True)
    assert moved.make().python.is_relative_to(moved.folder)
    assert moved.told
    assert output_of(moved.environment().path_entries[0] / "train") == "train runs\n"


def test_the_instances_log_tells_how_it_goes(making: Making, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, 1, ("train",))
    making.environment().prepare(spec)
    lines = spec.log.read_text().splitlines()
    assert all(line.split()[0].isdigit() for line in lines)
    assert "intermodal: making an environment for pytorch 1.0" in lines[0]


def test_a_version_that_cannot_be_found_fails_in_uvs_words_with_a_hint(making: Making) -> None:
    making.release = replace(making.release, version="1.0.1")
    said = making.refusal()
    assert "tinytorch==1.0.1" in said
    assert "hint: packages come from where pip's or uv's configuration says" in said


def test_a_wheel_that_is_not_the_locks_is_refused(making: Making) -> None:
    lock = f"tinytorch==1.0 --hash=sha256:{'0' * 64}\npip==1.0\ntrain==1.0\n"
    making.release.lock_file.write_text(lock)
    said = making.refusal()
    assert "Hash mismatch" in said
    assert "hint: " in said
    assert "UV_NO_VERIFY_HASHES" in said


def test_a_missing_shared_library_is_named_with_the_package_that_brings_it(
    making: Making, wheels: Path
) -> None:
    source = "import ctypes\nctypes.CDLL('libtiny-of-nowhere.so.1')\n"
    write_wheel(wheels, "tinytorch", source)
    said = making.refusal()
    assert "libtiny-of-nowhere.so.1: cannot open shared object file" in said
    assert said.endswith("hint: `apt-get install libtiny1`")


def test_a_python_that_is_nowhere_is_named(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    making.release = replace(making.release, pythons=("3.99",))
    said = making.refusal()
    assert "No interpreter found for Python 3.99" in said
    assert "hint: install the Python" in said


def test_a_folder_that_cannot_be_made_is_named(making: Making) -> None:
    making.folder.write_text("in the way")
    environment = making.environment()
    assert environment.make is not None
    with pytest.raises(StartFailedError, match=r"cannot make the environment .*environments"):
        environment.make(print)


@pytest.fixture
def long_ago() -> float:
    return time.time() - 1000


@pytest.fixture
def old(making: Making, long_ago: float) -> tuple[Path, Path]:
    """An environment that was last used long ago, and its mark."""
    folder = making.make().python.parents[1]
    mark = making.folder / f"{folder.name}.json"
    os.utime(mark, (long_ago, long_ago))
    return folder, mark


def test_an_environment_is_unused_by_its_last_use_and_its_mark_goes_first(
    making: Making, old: tuple[Path, Path], long_ago: float
) -> None:
    folder, mark = old
    assert unused_environments(making.folder, long_ago + 1) == [mark, folder]
    assert unused_environments(making.folder, long_ago) == []
    making.make()
    assert unused_environments(making.folder, time.time() - 500) == []


@pytest.fixture
def program(old: tuple[Path, Path]) -> Iterator[None]:
    """A process that began long ago, as an endpoint's does."""
    path = f"{old[0] / 'bin'}:/usr/bin:/bin"
    process = subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"],
        env={"PATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


@pytest.mark.usefixtures("program")
def test_what_a_process_still_uses_stays(
    making: Making, old: tuple[Path, Path], long_ago: float
) -> None:
    assert json.loads(old[1].read_text())["folder"] == str(old[0])
    assert unused_environments(making.folder, long_ago + 1) == []


def test_where_there_are_no_environments_none_is_unused(tmp_path: Path) -> None:
    assert unused_environments(tmp_path / "none", time.time()) == []
