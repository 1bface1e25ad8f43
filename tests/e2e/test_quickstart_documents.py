"""The programs in the documentation are run as they are printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.engine import RunningEngine

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]

TRAIN = """
import os
import pathlib


def model_fn(model_dir):
    return float(pathlib.Path(model_dir, "weight.txt").read_text())


def predict_fn(rows, weight):
    return rows + weight


if __name__ == "__main__":
    assert pathlib.Path(os.environ["SM_CHANNEL_TRAIN"], "one.csv").read_text() == "1,2,3"
    pathlib.Path(os.environ["SM_MODEL_DIR"], "weight.txt").write_text("0.5")
"""


def program(page: str) -> str:
    """The first Python program of a page."""
    return programs(page)[0]


def programs(page: str) -> list[str]:
    """All Python programs of a page."""
    text = (ROOT / page).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(engine: RunningEngine, code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_program_on_the_first_screen_trains_deploys_and_predicts(
    engine: RunningEngine, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/one.csv").write_text("1,2,3")
    (tmp_path / "train.py").write_text(TRAIN)
    output = run(engine, program("README.md"), tmp_path)
    assert re.findall(r"\d\.\d*", output.splitlines()[-1])[:3] == ["0.5", "0.5", "0.5"]
    endpoints = engine.client("sagemaker").list_endpoints()["Endpoints"]
    assert [one for one in endpoints if one["EndpointStatus"] != "Deleting"] == []


def test_the_guides_program_trains_with_boto3_alone(engine: RunningEngine, tmp_path: Path) -> None:
    # boto3's waiter looks every second, as the guide says.
    output = run(engine, program("docs/guides/aws-clients.md"), tmp_path)
    assert "s3://demo/output/demo-1/output/model.tar.gz" in output
    assert "done" in output.splitlines()


def test_the_guides_programs_train_deploy_update_and_delete_with_the_sdk(
    engine: RunningEngine, tmp_path: Path
) -> None:
    train, main, *_ = programs("docs/guides/sdk.md")
    (tmp_path / "train.py").write_text(train)
    output = run(engine, main, tmp_path)
    first, again, better = (
        [float(number) for number in re.findall(r"\d+\.\d+", line)]
        for line in output.splitlines()
        if line.startswith("[[")
    )
    assert first == again != better
    assert better == pytest.approx([1, 2], abs=0.01)


def test_the_guides_program_processes_a_folder(engine: RunningEngine, tmp_path: Path) -> None:
    processing = next(one for one in programs("docs/guides/sdk.md") if "ScriptProcessor(" in one)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/one.csv").write_text("1,2,3")
    (tmp_path / "prepare.py").write_text("import sys\nprint('prepared', *sys.argv[1:])\n")
    output = run(engine, processing, tmp_path)
    assert "prepared --train-share 0.8" in output
    assert re.fullmatch(r"s3://.+/output/train", output.splitlines()[-1])
