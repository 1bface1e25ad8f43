"""Every Dockerfile and every script that builds, by the linters that everybody knows."""

import subprocess
import sys
from pathlib import Path

import pytest

from containers.plan import ROOT

DOCKERFILES = sorted([*ROOT.glob("containers/*Dockerfile"), *ROOT.glob("examples/*/Dockerfile")])
SCRIPTS = sorted([*ROOT.glob("containers/*.sh"), *ROOT.glob(".ci/*")])


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=names)
def test_hadolint_has_nothing_to_say_of_a_dockerfile(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=names)
def test_shellcheck_has_nothing_to_warn_of_in_a_script(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [shellcheck, "--severity=warning", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
