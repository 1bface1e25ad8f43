"""Builds an image: `make build-train` and `make build-serve`.

    python -m containers.build training --framework mxnet --device cpu
    python -m containers.build training --code examples/own_image --tag my-training:1

What is built goes to stdout, how it goes to stderr.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from containers.docker_cli import Docker, find_docker
from containers.packages import index_settings, wheels_image
from containers.plan import (
    ROOT,
    ImagePlan,
    build_argv,
    code_argv,
    plan_image,
)
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import PROGRAMS, Purpose, parse_image_uri

_LAST_LINES = 100
_SHOWN_LINES = 15
_STEP = re.compile(r"#(\d+) \[([\w-]+) +\d+/\d+\] (RUN|COPY|FROM)")
_NEWS = re.compile(r"#(\d+) (?!sha256:|DONE 0\.|CACHED|resolve )")
_RESOLVED = re.compile(r"#\d+ [\d.]+  \+ (\S+==\S+)")
_TEXT = re.compile(r"#\d+ (?:[\d.]+ )?(.*)")
_REPEATED = ("#", "---", " > [", "executor failed")
"""How lines begin in which docker says again what it has said, or names the step again."""
_OWN_ERROR = re.compile(r"error: (.*)")
_OWN_HINT = re.compile(r"hint: (.*)")
_EXPLANATIONS = (
    (
        "no space left on device",
        "the disk is full",
        "`docker system df` shows what docker holds, `docker builder prune` frees old builds",
    ),
    (
        "exec format error",
        "the base image is for another kind of CPU than this machine's",
        "name one for this machine with BASE_IMAGE=..., or have the other emulated (binfmt)",
    ),
    (
        "No solution found|unsatisfiable|Hash mismatch",
        "what the lock file names cannot be had together",
        "make the lock anew with `python containers/lock.py NAME`, or say where its packages are: "
        "PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS",
    ),
    (
        "Failed to fetch|error sending request|not found in the package registry",
        "a package cannot be had",
        "packages come from where this machine's pip is told to look: PIP_INDEX_URL, "
        "PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, pip.conf",
    ),
    (
        "pull access denied|failed to resolve|manifest unknown|not found: manifest|i/o timeout"
        "|no such host|dial tcp|failed to do request",
        "the base image cannot be pulled",
        "name another with BASE_IMAGE=..., or make one where nothing can be pulled: "
        "`.ci/stand-in-base NAME`",
    ),
)
"""What docker's words contain, what that means, and what helps; the first that fits."""


def main(arguments: Sequence[str]) -> int:
    """Builds what the arguments say; the exit code."""
    options = _parser().parse_args(arguments)
    purpose: Purpose = options.purpose
    try:
        plan = plan_image(
            purpose,
            options.framework,
            options.device,
            framework_version=options.framework_version or None,
            base=options.base_image or None,
            python=options.python or None,
            tag=(not options.code and options.tag) or None,
            has_mpi=options.mpi != "0",
            platform=options.platform or None,
            only_resolve=options.only_resolve,
        )
        code = _folder_of(options.code) if options.code else None
        name = _code_name(code, options.tag) if code is not None else None
        docker = find_docker()
        build(docker, plan)
        if code is not None and name is not None:
            build_code(docker, plan, code, name)
    except IntermodalError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def build(docker: Docker, plan: ImagePlan) -> None:
    """Builds one of our images, and says what came of it.

    Raises:
        IntermodalError: it could not be built.
    """
    began = time.monotonic()
    before = _image_id(docker, plan.name)
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch, "index")
        index.write_text(index_settings(docker.environment))
        wheels = wheels_image(docker, docker.environment, plan.device)
        revision, created = _revision()
        argv = build_argv(plan, wheels, index, revision=revision, created=created)
        said = _run(docker, argv, f"{plan.name} on {plan.base}")
    if plan.only_resolve:
        print(*(match[1] for line in said if (match := _RESOLVED.match(line))), sep="\n")
    else:
        _tell(docker, plan.name, before, began)


def build_code(docker: Docker, plan: ImagePlan, folder: Path, name: str) -> None:
    """Puts a person's code onto one of our images: by its own Dockerfile, else by the usual one.

    Raises:
        IntermodalError: it could not be built, or lacks the program that is started.
    """
    own = folder / "Dockerfile"
    dockerfile = own if own.is_file() else ROOT / "containers/code.Dockerfile"
    began = time.monotonic()
    before = _image_id(docker, name)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "id")
        _run(docker, code_argv(plan, folder, dockerfile, made), f"{name} from {dockerfile}")
        image = made.read_text()
    if not _is_upon(docker, image, plan.name):
        _check_program(docker, image, PROGRAMS[plan.purpose], dockerfile)
    docker.run("tag", image, name)
    _tell(docker, name, before, began)


def _is_upon(docker: Docker, image: str, base: str) -> bool:
    """Whether an image begins with the layers of another, and so has its programs."""
    layers, below = (
        json.loads(docker.ask("image", "inspect", "--format={{json .RootFS.Layers}}", one) or "[]")
        for one in (image, base)
    )
    return bool(below) and layers[: len(below)] == below


def _check_program(docker: Docker, image: str, program: str, dockerfile: Path) -> None:
    done = docker.run(
        *("run", "--rm", "--network=none", "--entrypoint=/bin/sh", image),
        *("-c", f"command -v {program}"),
    )
    if done.returncode != 0:
        docker.run("rmi", image)
        raise IntermodalError(
            f"the image of `{dockerfile}` has no program `{program}` on its PATH",
            hint="begin it with `ARG IMAGE` and `FROM ${IMAGE}`, which is an image of intermodal's",
        )


def _run(docker: Docker, argv: list[str], what: str) -> Sequence[str]:
    """Runs a build and tells its steps; its last words.

    Raises:
        IntermodalError: it failed; the message has what a person needs of its words.
    """
    sys.stderr.write(f"building {what}\n")
    last: deque[str] = deque(maxlen=_LAST_LINES)
    steps: dict[str, str] = {}
    with subprocess.Popen(
        [docker.program, *argv],
        env=docker.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            step = _STEP.match(line)
            if step:
                steps.setdefault(step[1], f"{step[2]}: {step[3]}")
                continue
            news = _NEWS.match(line)
            if news and (name := steps.pop(news[1], None)):
                sys.stderr.write(f"  {name}\n")
    if process.returncode != 0:
        raise explain(last)
    return last


def explain(said: Sequence[str]) -> IntermodalError:
    """Why a build failed, from docker's last words."""
    words = [match[1] for line in said if (match := _TEXT.match(line)) and match[1].strip()]
    words += [line for line in said if not line.startswith(_REPEATED) and line.strip()]
    own = next((match for word in words if (match := _OWN_ERROR.fullmatch(word))), None)
    hint = next((match for word in words if (match := _OWN_HINT.fullmatch(word))), None)
    if own is not None and hint is not None:
        return IntermodalError(own[1], hint=hint[1])
    for pattern, meaning, help_ in _EXPLANATIONS:
        telling = [word for word in words if re.search(pattern, word, re.IGNORECASE)]
        if telling:
            return IntermodalError(f"{meaning}: {telling[-1].strip()}", hint=help_)
    shown = "\n".join(words[-_SHOWN_LINES:])
    return IntermodalError(f"the image could not be built; docker said:\n{shown}")


def _tell(docker: Docker, name: str, before: str | None, began: float) -> None:
    """Says what was built, and lets go of what had the name before, unless something uses it."""
    if before is not None and before != _image_id(docker, name):
        docker.run("rmi", before)
    size = int(docker.ask("image", "inspect", "--format", "{{.Size}}", name) or 0)
    print(f"{name}  {size / 1e6:,.0f} MB  built in {time.monotonic() - began:.1f} s")


def _image_id(docker: Docker, name: str) -> str | None:
    return docker.ask("image", "inspect", "--format", "{{.Id}}", name)


def _folder_of(code: str) -> Path:
    folder = Path(code)
    if not folder.is_dir():
        raise IntermodalError(f"`{folder}` is no folder", hint="CODE=... names a folder of code")
    return folder


def _code_name(folder: Path, tag: str | None) -> str:
    name = tag or re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    parse_image_uri(name)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _revision() -> tuple[str | None, str | None]:
    """The commit that is built, and its time; a build of the same commit has the same labels."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%H %cI"],
        capture_output=True,
        text=True,
        check=False,
    )
    revision, _, created = done.stdout.strip().partition(" ")
    return revision or None, created or None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m containers.build", description=__doc__)
    parser.add_argument("purpose", choices=sorted(PROGRAMS))
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--framework-version", help="the newest of the catalogue by default")
    parser.add_argument("--device", default="cpu", help="cpu or gpu")
    parser.add_argument("--base-image", help="the catalogue's by default")
    parser.add_argument("--python", help="its Python; the catalogue's by default")
    parser.add_argument("--tag", help="a tag or a whole name; the catalogue's by default")
    parser.add_argument("--platform", help="for example linux/arm64")
    parser.add_argument("--mpi", default="1", help="0: a training image without Open MPI")
    parser.add_argument("--code", help="a folder of code to put onto the image")
    parser.add_argument("--only-resolve", action="store_true", help="build nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
