"""Images: how large they are, and how long they take to be built anew, as `make build-...` does it.

Measures what is built here; the base of a build is `$BASE_IMAGE`, else the catalogue's.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures import RUNS, Figure
from containers.docker_cli import find_docker
from containers.images import listed
from intermodal_contract.catalogue import newest
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import Purpose

_ROOT = Path(__file__).parents[1]
_CODE_IMAGE = "intermodal-bench/code:1"
_MOST_MB: Mapping[tuple[str, Purpose], int | None] = {
    ("pytorch", "training"): 1100,
    ("pytorch", "inference"): 900,
    ("mxnet", "training"): None,
    ("mxnet", "inference"): 440,
}


def measure() -> list[Figure]:
    """Sizes of the images for CPU, and the seconds of a rebuild."""
    try:
        sizes = {one.name: one.size_bytes for one in listed(find_docker())}
    except IntermodalError as error:
        sizes, missing = {}, str(error).splitlines()[0]
    else:
        missing = "not built: `make images`"
    figures = []
    for (framework, purpose), most in _MOST_MB.items():
        name = newest(framework).image(purpose, "cpu")
        size = sizes.get(name)
        samples = [] if size is None else [size / 1e6]
        figures.append(Figure(f"image {name}", "MB", most, samples, note="" if size else missing))
    is_built = bool(sizes.get(newest("pytorch").image("training", "cpu")))
    return [*figures, *_rebuilds(is_built, missing)]


def _rebuilds(is_built: bool, missing: str) -> list[Figure]:
    unchanged, changed = "make build-train, nothing changed", "make build-train, script changed"
    if not is_built:
        return [
            Figure(unchanged, "s", 1.0, note=missing),
            Figure(changed, "s", 2.0, note=missing),
        ]
    try:
        return [
            Figure(unchanged, "s", 1.0, [_seconds() for _ in range(RUNS + 1)][1:]),
            Figure(changed, "s", 2.0, _seconds_of_changes()),
        ]
    finally:
        find_docker().run("rmi", "--force", _CODE_IMAGE)


def _seconds_of_changes() -> list[float]:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(RUNS + 1):
            Path(folder, "train.py").write_text(f"print({number})\n")
            times.append(_seconds("--code", folder, "--tag", _CODE_IMAGE))
    return times[1:]


def _seconds(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "containers.build", "training"),
            *("--base-image", os.environ.get("BASE_IMAGE", ""), *arguments),
        ],
        cwd=_ROOT,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began
