"""Installs what the source asks for into a layer of the job's own.

The layer is a folder on PYTHONPATH. The environment that the image brought, which other jobs may
share, is never changed, and nothing that it has already is installed again.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intermodal_training.errors import RequirementsError
from intermodal_training.job import Job
from intermodal_training.report import say
from intermodal_training.user_code import EntryPoint

_SIMPLE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*((?:[<>=!~]=|[<>])[^;@\[\]]*)?")
_CLAUSE = re.compile(r"(==|>=|<=|!=|>|<)\s*(\d+(?:\.\d+)*)")
_RELEASE = re.compile(r"(\d+(?:\.\d+)*)(?:\+[a-z0-9.]+)?")
_TAIL_LINES = 12


def install(job: Job, entry_point: EntryPoint, environment: Mapping[str, str]) -> Path | None:
    """Installs requirements.txt, and the source itself where that is a package.

    Args:
        job: the job.
        entry_point: where the source lies, and whether it is a package.
        environment: for pip (`PIP_…` variables say where packages come from).

    Returns:
        The layer, or None if all is there already.

    Raises:
        RequirementsError: pip could not; the message ends with pip's own words.
    """
    folder = entry_point.folder
    listed = folder / "requirements.txt"
    wanted: list[str] = []
    if listed.is_file() and not are_satisfied(listed.read_text(encoding="utf-8-sig")):
        wanted += ["-r", str(listed)]
    isolation: list[str] = []
    if entry_point.is_package:
        # What the image can build without looking for build tools elsewhere, it builds offline.
        isolation = ["--no-build-isolation"] if not wanted and _has_build_tools(folder) else []
        wanted += [str(folder)]
    if not wanted:
        return None
    layer = job.paths.root / "layer"
    say("installing what the source requires into a layer of this job")
    pip = _Pip(folder, environment)
    return layer if pip.install([*isolation, *wanted], layer) else None


def are_satisfied(text: str) -> bool:
    """Whether every line is certainly satisfied by what is installed.

    Only plain lines (`name`, `name>=1.2,<2`) are judged here; pip judges everything else.
    """
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return all(_is_satisfied(line) for line in lines if line)


def _is_satisfied(line: str) -> bool:
    match = _SIMPLE.fullmatch(line)
    if not match:
        return False
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = _RELEASE.fullmatch(version(match[1]))
    except PackageNotFoundError:
        return False
    if not match[2]:
        return True
    clauses = [_CLAUSE.fullmatch(clause.strip()) for clause in match[2].split(",")]
    return installed is not None and all(
        clause is not None and _holds(_release(installed[1]), clause[1], _release(clause[2]))
        for clause in clauses
    )


def _release(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in version.split(".")]
    while numbers and numbers[-1] == 0:  # 1.0 is 1
        numbers.pop()
    return tuple(numbers)


def _holds(installed: tuple[int, ...], operator: str, wanted: tuple[int, ...]) -> bool:
    return {
        "==": installed == wanted,
        "!=": installed != wanted,
        ">=": installed >= wanted,
        "<=": installed <= wanted,
        ">": installed > wanted,
        "<": installed < wanted,
    }[operator]


class _Pip:
    """Pip, told to leave the shared environment alone."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        # These would send packages elsewhere than into the layer.
        misleading = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
        self._environment = {
            name: value for name, value in environment.items() if name not in misleading
        }

    def install(self, wanted: Sequence[str], layer: Path) -> bool:
        """Installs what is missing.

        `--target` alone would bring everything again, torch and all, so pip first says what is
        missing beside what the image has.
        """
        import json
        import tempfile

        with tempfile.TemporaryDirectory(prefix="requirements-") as scratch:
            report = Path(scratch) / "report.json"
            self._run("--quiet", "--dry-run", "--report", str(report), *wanted)
            missing = json.loads(report.read_text(encoding="utf-8"))["install"]
            if not missing:
                return False
            pinned = Path(scratch) / "pinned.txt"
            pinned.write_text("\n".join(_pinned(missing)), encoding="utf-8")
            options = [option for option in wanted if option == "--no-build-isolation"]
            self._run(
                *("--no-deps", "--upgrade", "--target", str(layer)), *options, "-r", str(pinned)
            )
        return True

    def _run(self, *arguments: str) -> None:
        command = [
            *(sys.executable, "-m", "pip", "install"),
            *("--disable-pip-version-check", "--no-input", "--root-user-action=ignore"),
            *arguments,
        ]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=subprocess.PIPE,
            check=False,
        )
        words = done.stderr.decode("utf-8", errors="replace")
        os.write(2, done.stderr)
        if done.returncode != 0:
            raise RequirementsError(_why(words), hint=_advice(words))


def _has_build_tools(folder: Path) -> bool:
    """Whether the package's build backend is installed, or lies in the source itself."""
    import tomllib
    from importlib.util import find_spec

    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        project = {}
    build = project.get("build-system", {})
    if "backend-path" in build:
        return True
    backend = str(build.get("build-backend", "setuptools"))
    return find_spec(backend.partition(".")[0].partition(":")[0]) is not None


def _pinned(missing: Sequence[Mapping[str, Any]]) -> list[str]:
    """Requirement lines for exactly what pip resolved (pip's documentation: `--report`)."""
    digests = [_digest(item) for item in missing]
    lines = []
    for item, digest in zip(missing, digests, strict=True):
        name = item["metadata"]["name"]
        if item.get("is_direct"):
            lines.append(f"{name} @ {item['download_info']['url']}")
        # Pip checks hashes for all or none: a folder, for one, has no hash.
        elif all(digests):
            lines.append(f"{name}=={item['metadata']['version']} --hash=sha256:{digest}")
        else:
            lines.append(f"{name}=={item['metadata']['version']}")
    return lines


def _digest(item: Mapping[str, Any]) -> str | None:
    if item.get("is_direct"):
        return None
    hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
    digest = hashes.get("sha256")
    return str(digest) if digest else None


def _why(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    told = errors[-4:] or lines[-_TAIL_LINES:] or ["pip said nothing"]
    return "what the source requires cannot be installed:\n" + "\n".join(told)


def _advice(words: str) -> str:
    if "No module named pip" in words:
        return "the image holds no pip; install the requirements in the image"
    if "No matching distribution" in words or "Could not find a version" in words:
        return "check name and version; PIP_INDEX_URL or PIP_FIND_LINKS say where pip looks"
    return "pip's whole output is in the job's log"
