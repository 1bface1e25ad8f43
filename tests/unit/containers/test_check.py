"""The last step of a framework's layer: exactly one cuDNN, and no CUDA in images for CPU."""

import subprocess
from pathlib import Path

import pytest

from containers.plan import ROOT

BASES = "usr/lib/x86_64-linux-gnu/libcudnn.so.8"
WHEELS = "opt/venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9"


def check(root: Path, device: str, cudnn: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", str(ROOT / "containers/check.sh"), device, cudnn],
        env={"ROOT": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def lay_out(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("device", "cudnn", "files"),
    [
        ("cpu", "nobody", ()),
        ("gpu", "base", (BASES, BASES + ".9.7")),
        ("gpu", "wheels", (WHEELS,)),
    ],
)
def test_what_is_as_wanted_passes(
    tmp_path: Path, device: str, cudnn: str, files: tuple[str, ...]
) -> None:
    lay_out(tmp_path, "opt/venv/x", *files)
    done = check(tmp_path, device, cudnn)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("cudnn", "files", "said"),
    [
        ("base", (), "cuDNN is in 0 places, not as wanted: base"),
        ("wheels", (BASES,), "cuDNN is in 1 places"),
        ("base", (WHEELS,), "cuDNN is in 1 places"),
        ("wheels", (BASES, WHEELS), "cuDNN is in 2 places"),
        ("nobody", (BASES,), "cuDNN is in 1 places"),
    ],
)
def test_two_of_it_or_the_wrong_one_are_refused(
    tmp_path: Path, cudnn: str, files: tuple[str, ...], said: str
) -> None:
    lay_out(tmp_path, "opt/venv/x", *files)
    done = check(tmp_path, "gpu", cudnn)
    assert done.returncode == 1
    assert said in done.stderr
    assert "BASE_IMAGE" in done.stderr


def test_a_build_for_cuda_is_refused_for_cpu(tmp_path: Path) -> None:
    lay_out(tmp_path, WHEELS)
    done = check(tmp_path, "cpu", "nobody")
    assert done.returncode == 1
    assert "a build for CUDA, in an image for CPU" in done.stderr
    assert "PIP_EXTRA_INDEX_URL" in done.stderr
