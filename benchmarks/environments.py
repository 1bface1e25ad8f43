"""What the process driver has in the place of images: how long each environment takes to make."""

import os
import platform
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks.figures import RUNS, Figure, seconds_of
from intermodal_contract.catalogue import Release, releases
from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.drivers.environment_build import Builds, BuiltEnvironment, Recipe
from intermodal_engine.drivers.environment_sources import own_packages


def measure() -> list[Figure]:
    """Makes every release's environment anew, and finds it again, after one run for the cache."""
    return [figure for release in releases() for figure in _figures(release)]


def _figures(release: Release) -> list[Figure]:
    what = f"environment of {release.framework}"
    try:
        first, again = _seconds(release)
    except StartFailedError as error:
        first, again, note = [], [], str(error).splitlines()[0]
    else:
        note = release.version
    return [
        Figure(f"{what}: first build, wheels cached", "s", 15, first, note=note),
        Figure(f"{what}: reused", "ms", 50, [1000 * each for each in again], note=note),
    ]


def _seconds(release: Release) -> tuple[list[float], list[float]]:
    """Of building and of finding again, by the engine's own interpreter, torch or not in it."""
    python = str(Path(sys.executable).resolve()), platform.python_version()
    first, again = [], []
    with closing(Builds()) as builds:
        for _ in range(RUNS + 1):
            with tempfile.TemporaryDirectory(prefix="intermodal-bench-") as home:

                def make(home: str = home) -> None:
                    recipe = Recipe(release, *python, own_packages())
                    BuiltEnvironment(Path(home), recipe, recipe.name, builds).make(_hear_nothing)

                os.sync()  # what others have left unwritten is not this build's
                first.append(seconds_of(make))
                again.append(seconds_of(make))
    return first[1:], again[1:]


def _hear_nothing(line: str) -> None:
    del line
