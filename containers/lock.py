"""Makes the lock files of the catalogue: every distribution of an environment at one version.

    python containers/lock.py              # of every release that has none yet
    python containers/lock.py mxnet-1.9.1  # of these again, with what is newest today

Needs uv and an index. Locks are constraints, for every Python of the release and for builds for CPU
and for CUDA alike: what a build does not need is not installed. The index of the moment must
therefore have the CUDA builds, as the public one does.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

from intermodal_contract.catalogue import Release, releases

ROOT = Path(__file__).parents[1]
PARTS = ("training", "serving")


def main(names: list[str]) -> int:
    """Makes the named locks, or those that are missing."""
    for release in releases():
        name = release.lock_file.stem
        if name in names or not (names or release.lock_file.exists()):
            release.lock_file.parent.mkdir(exist_ok=True)
            release.lock_file.write_text(header(release) + without_hashes(release, solve(release)))
            sys.stderr.write(f"wrote {release.lock_file}\n")
    return 0


def wanted(release: Release) -> list[str]:
    """All that an environment holds: the framework, pip, and what our programs need."""
    requirements = [*release.requirements, "pip"]
    for part in PARTS:
        project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
        requirements += [one for one in project["dependencies"] if "intermodal" not in one]
    return requirements


def solve(release: Release) -> str:
    """What uv chooses for all Pythons and platforms."""
    oldest = min(release.pythons, key=lambda one: tuple(map(int, one.split("."))))
    done = subprocess.run(
        [
            *("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--python-version", oldest, "--no-header", "--no-annotate", "-"),
        ],
        input="\n".join(wanted(release)),
        cwd="/",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def without_hashes(release: Release, lock: str) -> str:
    """The lock with its unhashed distributions bare."""
    kept = []
    is_bare = False
    for line in lock.splitlines():
        if not line.startswith(" "):
            is_bare = line.partition("==")[0] in release.unhashed
        if not (is_bare and line.startswith(" ")):
            kept.append(line.removesuffix(" \\") if is_bare else line)
    return "\n".join(kept) + "\n"


def header(release: Release) -> str:
    """The lock's first line."""
    return f"# Made by `python containers/lock.py {release.lock_file.stem}`\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
