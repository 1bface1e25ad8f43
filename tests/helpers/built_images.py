"""The catalogue's images for CPU, built once a run as a person builds them."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from containers.docker_cli import Docker, find_docker
from containers.plan import ROOT
from intermodal_contract.catalogue import Release, newest, releases
from intermodal_contract.image import PROGRAMS, Purpose

STAND_IN = "intermodal-stand-in/base:bookworm"
"""The base that `.ci/run` makes where nothing can be pulled."""
_BUILT = re.compile(r"(\S+)  ([\d,]+) MB  built in ([\d.]+) s")
PURPOSES = tuple(PROGRAMS)
RELEASES: tuple[Release, ...] = releases()


@dataclass(frozen=True, slots=True)
class Built:
    """What `make build-...` said of an image.

    Attributes:
        name: the image's.
        size_mb: on disk, by 10^6 bytes.
        took_s: how long the build took.
    """

    name: str
    size_mb: int
    took_s: float


def base_image() -> str:
    """The base of this run: `$BASE_IMAGE`, else the stand-in, else the catalogue's."""
    named = os.environ.get("BASE_IMAGE", "")
    has_stand_in = docker().ask("image", "inspect", STAND_IN) is not None
    return named or (STAND_IN if has_stand_in else "")


def docker() -> Docker:
    """The docker program of this run."""
    return find_docker()


def make(*target: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs `make TARGET... NAME=VALUE...`, with the base of this run unless another is named."""
    chosen = {"BASE_IMAGE": base_image(), **variables}
    return subprocess.run(
        ["make", "--no-print-directory", *target, *(f"{k}={v}" for k, v in chosen.items())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def built_of(done: "subprocess.CompletedProcess[str]") -> list[Built]:
    """What a build said that it made."""
    assert done.returncode == 0, done.stderr
    return [
        Built(name, int(size.replace(",", "")), float(took))
        for name, size, took in _BUILT.findall(done.stdout)
    ]


@cache
def image(framework: str, purpose: Purpose) -> Built:
    """One of our images for CPU, built when it is first asked for, and told of."""
    built = built_of(make(*newest(framework).build_command(purpose, "cpu").split()[1:]))[0]
    sys.__stderr__.write(f"\n{built.name}: {built.size_mb} MB, {built.took_s} s\n")  # type: ignore[union-attr] # pytest has one
    return built


def inspected(name: str) -> dict[str, Any]:
    """What docker knows of an image."""
    found: list[dict[str, Any]] = json.loads(docker().ask("image", "inspect", name) or "[]")
    return found[0]


def in_image(name: str, script: str, *, user: str = "") -> str:
    """What a shell in an image prints; docker's exit code must be 0."""
    done = docker().run(
        *("run", "--rm", "--network=none", "--entrypoint=/bin/sh"),
        *((f"--user={user}",) if user else ()),
        *(name, "-c", script),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def compressed_mb(name: str, scratch: Path) -> float:
    """The size of an image's layers as a registry holds them, by 10^6 bytes."""
    archive = scratch / "image.tar.gz"
    with (
        archive.open("wb") as file,
        subprocess.Popen([docker().program, "save", name], stdout=subprocess.PIPE) as saving,
    ):
        subprocess.run(["gzip", "-6"], stdin=saving.stdout, stdout=file, check=True)
    return archive.stat().st_size / 1e6


def timed(target: str, **variables: str) -> tuple[float, "subprocess.CompletedProcess[str]"]:
    """How long a whole `make` takes, in seconds, and what came of it."""
    began = time.monotonic()
    done = make(target, **variables)
    return time.monotonic() - began, done
