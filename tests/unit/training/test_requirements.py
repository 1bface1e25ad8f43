"""requirements.txt and packages: a layer of the job's own, and nothing that is there already."""

import base64
import hashlib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from intermodal_training.requirements import are_satisfied
from tests.helpers.train_program import TrainProgram

# A build backend that needs nothing: what it is asked to build, it zips.
BACKEND = """
import pathlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "mypackage-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.write("src/mypackage/__init__.py", "mypackage/__init__.py")
        wheel.write("src/mypackage/learn.py", "mypackage/learn.py")
        wheel.writestr("mypackage-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\\nName: mypackage\\nVersion: 1.0\\nRequires-Dist: trn-tiny\\n")
        wheel.writestr("mypackage-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("mypackage-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
PACKAGE = {
    "pyproject.toml": PYPROJECT,
    "backend.py": BACKEND,
    "src/mypackage/__init__.py": "",
    "src/mypackage/learn.py": (
        "import sys, mypackage, trn_tiny\n"
        "if __name__ == '__main__':\n    print(mypackage.__file__, sys.argv[1:])\n"
    ),
}


def make_wheel(folder: Path, name: str, release: str, *requires: str) -> None:
    """A wheel by hand: an import name with its version in it, and a command."""
    module = name.replace("-", "_")
    info = f"{module}-{release}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n"
    metadata += "".join(f"Requires-Dist: {other}\n" for other in requires)
    files = {
        f"{module}.py": f"VERSION = '{release}'\ndef main():\n    print('command')\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}={module}:main\n",
    }
    record = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in files.items())
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{module}-{release}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def wheels(train: TrainProgram, tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    train.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    return folder


def test_what_is_missing_goes_into_a_layer_of_the_job_with_what_it_needs_itself(
    train: TrainProgram, wheels: Path
) -> None:
    make_wheel(wheels, "trn-tiny", "1.2", "trn-needed", "pytest")
    make_wheel(wheels, "trn-needed", "0.1")
    train.environment["PIP_USER"] = "1"
    script = (
        "import subprocess, sys, trn_tiny, trn_needed\n"
        "print(trn_tiny.VERSION, trn_tiny.__file__, trn_needed.VERSION, flush=True)\n"
        "subprocess.run(['trn-tiny'], check=True)\n"
    )
    result = train.run({"train.py": script, "requirements.txt": "# mine\ntrn-tiny>=1.0\n"})
    layer = train.root / "layer"
    assert result.code == 0, result.err
    assert result.out == f"1.2 {layer}/trn_tiny.py 0.1\ncommand\n"
    assert "train: installing what the source requires" in result.err
    # pytest is in the environment already: it is not brought again.
    assert not (layer / "pytest").exists()
    assert are_satisfied("pytest")
    assert not are_satisfied("trn-tiny")


def test_what_is_there_already_is_not_looked_for(train: TrainProgram) -> None:
    # A pip that finds nothing would fail, so success says that none ran.
    train.environment |= {"PIP_NO_INDEX": "1"}
    result = train.run({"train.py": "print('ran')", "requirements.txt": "pytest>=1\nhypothesis"})
    assert (result.out, result.err) == ("ran\n", "")
    assert not (train.root / "layer").exists()


def test_lines_that_only_pip_understands_are_left_to_pip(train: TrainProgram) -> None:
    train.environment |= {"PIP_NO_INDEX": "1"}
    listed = 'pytest ; python_version > "3"\ntrn-none ; python_version < "3"\n'
    result = train.run({"train.py": "print('ran')", "requirements.txt": listed})
    assert result.out == "ran\n"
    assert not (train.root / "layer").exists()


def test_what_cannot_be_installed_is_told_in_pips_words(train: TrainProgram, wheels: Path) -> None:
    result = train.run({"train.py": "print('ran')", "requirements.txt": "trn-none==3\n"})
    assert (result.code, result.out) == (1, "")
    assert result.failure is not None
    assert result.failure.startswith("what the source requires cannot be installed:\nERROR: ")
    assert "No matching distribution found for trn-none==3" in result.failure
    assert "hint: check name and version" in result.failure


def test_a_package_is_installed_with_what_it_needs_and_runs_as_a_module(
    train: TrainProgram, wheels: Path
) -> None:
    make_wheel(wheels, "trn-tiny", "1.2")
    result = train.run(PACKAGE, program="mypackage.learn", values={"epochs": 3})
    layer = train.root / "layer"
    assert result.code == 0, result.err
    assert result.out == f"{layer}/mypackage/__init__.py ['--epochs', '3']\n"


PYTEST = version("pytest")
MAJOR = int(PYTEST.split(".")[0])


@pytest.mark.parametrize(
    ("text", "is_satisfied"),
    [
        ("", True),
        ("# only a comment\n\n   \n", True),
        ("pytest", True),
        ("PyTest  # of any version", True),
        (f"pytest=={PYTEST}", True),
        (f"pytest == {PYTEST}", True),
        (f"pytest>={MAJOR},<{MAJOR + 1}", True),
        (f"pytest>{MAJOR + 1}", False),
        (f"pytest<={MAJOR - 1}.99", False),
        (f"pytest!={PYTEST}", False),
        (f"pytest=={PYTEST}.0.0", True),
        ("pytest==1", False),
        ("pytest\ntrn-none", False),
        ("trn-none", False),
        ("pytest~=1.0", False),
        (f"pytest~={MAJOR}.0", False),
        ("pytest[dev]", False),
        ("pytest==8.*", False),
        ("-r other.txt", False),
        ("--index-url x", False),
        ("./local", False),
        ("git+https://example.com/x.git", False),
        ("pytest @ https://example.com/x.whl", False),
        ("pytest; python_version > '3'", False),
        ("pytest==8.0rc1", False),
    ],
)
def test_only_what_is_certain_is_taken_as_satisfied(text: str, is_satisfied: bool) -> None:
    assert are_satisfied(text) is is_satisfied
