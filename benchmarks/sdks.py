"""Our SDK beside the vendor's, each with the reference program against the engine."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figures import RUNS, Figure, NotMeasuredError
from benchmarks.local_engine import CLI, running_engine
from tests.helpers.vendor_environments import V2, NotToBeHadError, environment

_TRAIN = """
import os

def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    return data, accept

if __name__ == "__main__":
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "weights"), "w") as file:
        file.write("1")
"""
_WHAT = (
    ("calls", "AWS calls for fit() and deploy(), polls not counted", "calls", 10),
    ("fit_late_s", "fit() returns after the job's end by", "s", 0.3),
    ("deploy_late_s", "deploy() returns after InService by", "s", 0.3),
)


def measure() -> list[Figure]:
    """Runs the program with ours, once more for the job's environment, and once with theirs."""
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        Path(folder, "train.py").write_text(_TRAIN)
        session.client("s3").create_bucket(Bucket="mybucket")
        session.client("s3").put_object(Bucket="mybucket", Key="data/train/1.csv", Body=b"1")
        ours = _runs(sys.executable, "intermodal", folder, RUNS + 1)
        theirs = _of_the_vendor(folder)
    return [*_figures("", ours), *_figures("vendor v2: ", theirs)]


def _of_the_vendor(folder: str) -> "list[dict[str, Any]] | str":
    try:
        python = environment(V2)
    except NotToBeHadError as error:
        return f"{V2} cannot be had here: {str(error).splitlines()[-1]}"
    return _runs(str(python), "sagemaker", folder, 1)


def _runs(python: str, sdk: str, folder: str, times: int) -> "list[dict[str, Any]] | str":
    """What each run told; or why one failed. The first of several does not count."""
    try:
        told = [_run(python, sdk, folder) for _ in range(times)]
    except NotMeasuredError as error:
        return str(error)
    return told[1:] or told


def _run(python: str, sdk: str, folder: str) -> dict[str, Any]:
    program = str(Path(__file__).with_name("sdk_program.py"))
    done = subprocess.run(
        [CLI, "exec", "--", python, program, sdk, folder],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise NotMeasuredError(f"{sdk}: {' '.join(last)}")
    told: dict[str, Any] = json.loads(done.stdout)
    return {**told, "calls": len(told["calls"]), "detail": ", ".join(told["calls"])}


def _figures(prefix: str, runs: "list[dict[str, Any]] | str") -> list[Figure]:
    """Rows of one SDK; only ours has bounds to keep."""
    return [
        Figure(
            prefix + what,
            unit,
            None if prefix else must,
            [] if isinstance(runs, str) else [float(run[name]) for run in runs],
            note=runs if isinstance(runs, str) else "",
            detail="" if isinstance(runs, str) else runs[0]["detail"],
        )
        for name, what, unit, must in _WHAT
    ]
