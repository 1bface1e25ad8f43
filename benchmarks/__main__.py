"""Runs the benchmarks: all of them, or those that are named.

python -m benchmarks [AREA ...]     `serving` stands for all of `serving.*`
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.figures import Figure, machine, table, write

AREAS = (
    "imports",
    "install",
    "engine",
    "environments",
    "images",
    "jobs",
    "endpoints",
    "routing",
    "multi_model",
    "serverless",
    "async_inference",
    "transforms",
    "tuning",
    "sdks",
    "channels",
    "training",
    "fast_file",
    "distributed",
    "objects",
    "uploads",
    "quickstart",
    "serving.speed",
    "serving.start",
    "serving.faults",
)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measures, prints the table, writes the JSON; 1 if a bound was missed or not measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)}")
    named = parser.parse_args().areas
    for name in named:
        if not selected([name]):
            parser.error(f"unknown area `{name}`; there are {', '.join(AREAS)}")
    figures: list[Figure] = []
    for area in selected(named):
        print(f"measuring {area} ...", file=sys.stderr, flush=True)
        figures += import_module(f"benchmarks.{area}").measure()
    about = machine()
    print(f"\n{about['processor']}, {about['cores']} cores, {about['memory_mib']} MiB,", end=" ")
    print(f"Linux {about['kernel']}, Python {about['python']}\n")
    print(table(figures))
    print(f"\nwritten to {write(figures, RESULTS)}")
    return 1 if any(figure.must is not None and not figure.holds for figure in figures) else 0


def selected(names: list[str]) -> list[str]:
    """The areas that are named, `serving` standing for all of `serving.*`; all if none is."""
    wanted = names or AREAS
    return [area for area in AREAS if area in wanted or area.partition(".")[0] in wanted]


if __name__ == "__main__":
    sys.exit(main())
