"""Environments of their own for the vendor's SDKs, for tests and for benchmarks.

They are kept in `.vendor/`, so they are made once. Wheels come from where pip is told.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from intermodal_engine.drivers.environment_sources import (
    pip_options,
    uv_options,
    uv_program,
    uv_variables,
)

FOLDER = Path(__file__).parents[2] / ".vendor"
V2 = "sagemaker==2.257.7"
V3 = "sagemaker>=3.27,<4"


class NotToBeHadError(Exception):
    """The SDK cannot be installed here; the message is uv's."""


def environment(requirement: str) -> Path:
    """The Python of an environment with that SDK, made if it is not there.

    Args:
        requirement: for example `sagemaker==2.257.7`.

    Raises:
        NotToBeHadError: it cannot be made.
    """
    digest = hashlib.sha256(requirement.encode()).hexdigest()[:8]
    folder = FOLDER / f"sagemaker-{digest}"
    mark = folder / ".ready"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv("venv", "--quiet", str(folder))
            _uv("pip", "install", "--quiet", "--python", str(folder), requirement)
            mark.touch()
    return folder / "bin/python"


def _uv(*arguments: str) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    told = pip_options(outside)
    options = uv_options(outside, told) if arguments[0] == "pip" else ()
    done = subprocess.run(
        [str(uv_program()), *arguments, *options],
        env=uv_variables(outside, told),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotToBeHadError(done.stdout)
