"""How images are built: the speed of a change, and what is said when a build goes wrong."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from containers.build import build, build_code
from containers.plan import plan_image
from intermodal_contract.errors import IntermodalError
from tests.helpers.built_images import (
    base_image,
    built_of,
    docker,
    image,
    in_image,
    make,
    timed,
)

GPU_REQUIREMENTS = {
    "pytorch": {"torch", "nvidia-cudnn-cu13", "triton"},
    "mxnet": {"mxnet-cu112", "numpy"},
}


@pytest.fixture
def names() -> Iterator[list[str]]:
    """Images that go afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        docker().run("rmi", "--force", name)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "my code"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)\n")
    return folder


def all_images() -> set[str]:
    return set((docker().ask("images", "--quiet", "--all") or "").split())


def crippled_base(names: list[str], name: str, line: str) -> str:
    done = docker().run(
        "build", "--tag", name, "-", stdin=f"FROM {base_image()}\nRUN {line}\n".encode()
    )
    assert done.returncode == 0, done.stderr
    names.append(name)
    return name


def test_an_unchanged_image_is_there_within_a_second() -> None:
    image("pytorch", "training")
    times = [timed("build-train")[0] for _ in range(5)]
    assert min(times) <= 1.0, times


def test_after_a_change_of_the_script_it_is_there_within_two(code: Path, names: list[str]) -> None:
    image("pytorch", "training")
    names.append("intermodal-test/script:1")
    times, counts = [], []
    for number in range(5):
        (code / "train.py").write_text(f"print({number})\n")
        took_s, done = timed("build-train", CODE=str(code), TAG=names[0])
        assert [one.name for one in built_of(done)][-1] == names[0]
        times.append(took_s)
        counts.append(len(all_images()))
    assert in_image(names[0], "cat /opt/ml/code/train.py") == "print(4)\n"
    assert min(times) <= 2.0, times
    assert len(set(counts)) == 1, "what had the name before is gone"


@pytest.mark.parametrize("framework", sorted(GPU_REQUIREMENTS))
def test_what_an_image_for_gpus_needs_can_be_had(
    framework: str, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = plan_image(
        "training", framework, "gpu", base=base_image(), python="3.11", only_resolve=True
    )
    build(docker(), plan)
    resolved = {line.partition("==")[0] for line in capfd.readouterr().out.split()}
    assert GPU_REQUIREMENTS[framework] <= resolved


def test_a_base_without_cudnn_is_no_base_for_mxnet_on_gpus() -> None:
    # The framework's own layer is the one for CPU: the one for GPUs has 300 MB more to download.
    plan = plan_image("inference", "mxnet", "cpu", base=base_image())
    builds = {plan.device: replace(plan.release.builds[plan.device], cudnn="base")}
    with pytest.raises(IntermodalError, match=r"cuDNN is in 0 places(.|\n)*BASE_IMAGE"):
        build(docker(), replace(plan, release=replace(plan.release, builds=builds)))


def test_a_base_without_python_is_named(names: list[str]) -> None:
    base = crippled_base(names, "intermodal-test/no-apt:1", "rm /usr/bin/apt-get")
    done = make("build-train", BASE_IMAGE=base)
    assert done.returncode != 0
    assert "error: the base image lacks python3.11" in done.stderr
    assert "BASE_IMAGE=" in done.stderr


def test_a_base_that_is_not_there_is_named() -> None:
    done = make("build-train", BASE_IMAGE="intermodal.invalid/base:1")
    assert done.returncode != 0
    assert "error: the base image cannot be pulled" in done.stderr
    assert "hint: name another with BASE_IMAGE=" in done.stderr


def test_a_lock_that_does_not_resolve_is_told_in_uvs_words() -> None:
    plan = plan_image("training", "mxnet", "cpu", base=base_image())
    release = replace(plan.release, requires=("numpy==1.26.0",))
    with pytest.raises(IntermodalError, match=r"cannot be had together(.|\n)*containers/lock.py"):
        build(docker(), replace(plan, release=release, name="intermodal-test/never:1"))
    assert docker().ask("image", "inspect", "intermodal-test/never:1") is None


def test_a_build_asks_where_this_machines_pip_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_image("training", "mxnet", "cpu", base=base_image(), only_resolve=True)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/hunter2/simple")
    with pytest.raises(IntermodalError, match=r"127\.0\.0\.1:9(.|\n)*PIP_INDEX_URL"):
        build(docker(), plan)


def test_nothing_of_these_settings_is_in_an_image(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names.append("intermodal-test/settings:1")
    plan = plan_image("inference", "mxnet", "cpu", base=base_image(), tag=names[0])
    monkeypatch.setenv("PIP_TRUSTED_HOST", "hunter2.example")
    # With one more requirement, the steps that read the settings are not found in the cache.
    release = replace(plan.release, requires=(*plan.release.requires, "pip>=1"))
    build(docker(), replace(plan, release=release))
    with subprocess.Popen([docker().program, "save", names[0]], stdout=subprocess.PIPE) as saving:
        found = subprocess.run(["grep", "-a", "-c", "hunter2"], stdin=saving.stdout, check=False)
    assert saving.returncode == 0
    assert found.returncode == 1, "grep found it"


def test_a_dockerfile_without_train_leaves_no_image(code: Path) -> None:
    (code / "Dockerfile").write_text(f"FROM {base_image()}\nCOPY train.py /\n")
    plan = plan_image("training", "pytorch", "cpu", base=base_image())
    before = all_images()
    with pytest.raises(IntermodalError, match=r"no program `train` on its PATH(.|\n)*FROM"):
        build_code(docker(), plan, code, "intermodal-test/never:1")
    assert docker().ask("image", "inspect", "intermodal-test/never:1") is None
    assert all_images() == before


def test_a_persons_own_dockerfile_is_built_upon_ours(code: Path, names: list[str]) -> None:
    image("mxnet", "training")
    names.append("intermodal-test/own:1")
    (code / "Dockerfile").write_text(
        "ARG IMAGE\nFROM ${IMAGE}\nCOPY train.py /opt/ml/code/\nRUN pip install --no-deps six\n"
    )
    done = make("build-train", FRAMEWORK="mxnet", CODE=str(code), TAG=names[0])
    assert [one.name for one in built_of(done)][-1] == names[0]
    assert in_image(names[0], "python -c 'import six' && ls /opt/ml/code") == "train.py\n"


def test_without_a_docker_engine_there_is_one_clear_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = base_image()
    monkeypatch.setitem(os.environ, "DOCKER_HOST", "unix:///nowhere/docker.sock")
    done = make("build-train", BASE_IMAGE=base)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 2
    assert lines[0].startswith("error: no docker engine answers: ")
    assert lines[1].startswith("hint: start docker")


def test_the_list_says_what_is_built_and_how_the_rest_would_be() -> None:
    built = image("mxnet", "inference")
    listed = make("images").stdout.splitlines()
    assert any(line.startswith(built.name) and f"{built.size_mb} MB" in line for line in listed)
    assert any("make build-serve FRAMEWORK=mxnet DEVICE=gpu" in line for line in listed)
