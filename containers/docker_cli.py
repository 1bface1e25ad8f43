"""Finds a docker program that can build our Dockerfiles, and says why none can.

Building takes BuildKit, which docker reaches through its plugin buildx, or, before release 23, by
itself. Several programs may be on the PATH, of which only one has either.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from intermodal_contract.errors import IntermodalError

_HAS_BUILDKIT_BEFORE = 23
_NOT_RUNNING = "start docker (`systemctl start docker`, or Docker Desktop), or set DOCKER_HOST"


class DockerMissingError(IntermodalError):
    """No docker here can build."""


@dataclass(frozen=True, slots=True)
class Docker:
    """A docker program.

    Attributes:
        program: its path.
    """

    program: str

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables: those of this process, and BuildKit."""
        return {**os.environ, "DOCKER_BUILDKIT": "1"}

    def run(
        self, *arguments: str, stdin: bytes | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        return subprocess.run(
            [self.program, *arguments],
            env=self.environment,
            input=None if stdin is None else stdin.decode(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    def ask(self, *arguments: str) -> str | None:
        """What a command answers; None if it fails."""
        done = self.run(*arguments)
        return done.stdout.strip() if done.returncode == 0 else None


@cache
def find_docker() -> Docker:
    """The first docker on the PATH that can build, `$DOCKER` before all.

    Raises:
        DockerMissingError: there is none, or no engine answers it.
    """
    named = os.environ.get("DOCKER")
    programs = [named] if named else _on_path("docker")
    if not programs:
        raise DockerMissingError(
            "there is no `docker` on the PATH, and images are built with it",
            hint="install docker (on Debian: `apt-get install docker.io`)",
        )
    builders = [docker for docker in map(Docker, programs) if _can_build(docker)]
    if not builders:
        raise DockerMissingError(
            f"`{programs[0]}` cannot build: its plugin buildx is missing",
            hint="install it (on Debian: `docker-buildx-plugin`), or name another with DOCKER=...",
        )
    done = builders[0].run("version", "--format", "{{.Server.Version}}")
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise DockerMissingError(f"no docker engine answers: {cause}", hint=_NOT_RUNNING)
    return builders[0]


def _on_path(name: str) -> list[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = (shutil.which(name, path=folder) for folder in folders)
    return list(dict.fromkeys(os.path.realpath(path) for path in found if path))


def _can_build(docker: Docker) -> bool:
    version = re.search(r"\d+", docker.ask("--version") or "")
    if version is not None and int(version[0]) < _HAS_BUILDKIT_BEFORE:
        return True
    return docker.ask("buildx", "version") is not None
