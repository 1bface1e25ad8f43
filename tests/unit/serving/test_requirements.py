import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from intermodal_serving.errors import ModelLoadError
from intermodal_serving.requirements import are_satisfied, install_requirements


def wheel(folder: Path) -> Path:
    path = folder / "tiny_layer-1.0-py3-none-any.whl"
    info = "tiny_layer-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_layer.py", "answer = 42\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-layer\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize(
    "text",
    ["", "# none\n\n", "pytest", "PyTest  # the runner", f"pytest=={pytest.__version__}\norjson"],
)
def test_what_is_installed_needs_no_pip(text: str) -> None:
    assert are_satisfied(text)


@pytest.mark.parametrize(
    "text",
    ["no-such-package-here", "pytest==0.1", "pytest>=1", "-r other.txt", "pytest; sys_platform"],
)
def test_what_is_missing_or_needs_pips_judgement_goes_to_pip(text: str) -> None:
    assert not are_satisfied(text)


def test_a_missing_package_goes_into_a_layer_and_leaves_the_environment_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "requirements.txt").write_text(f"tiny-layer @ {wheel(tmp_path).as_uri()}\norjson\n")
    program = f"""
import pathlib, sys
from intermodal_serving.requirements import install_requirements
install_requirements(pathlib.Path({str(tmp_path)!r}), pathlib.Path({str(tmp_path / "layer")!r}))
import orjson, tiny_layer
print(tiny_layer.answer, tiny_layer.__file__, orjson.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, layer, orjson_file = done.stdout.splitlines()[-1].split()
    assert answer == "42"
    assert layer.startswith(str(tmp_path))
    assert not orjson_file.startswith(str(tmp_path))


def test_a_requirement_that_cannot_be_had_says_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "requirements.txt").write_text("no-such-package-here\n")
    with pytest.raises(ModelLoadError, match="no-such-package-here") as caught:
        install_requirements(tmp_path, tmp_path / "layer")
    assert "requirements.txt" in (caught.value.hint or "")
