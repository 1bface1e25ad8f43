"""Where packages come from in a build: as this machine's pip and uv are set, if a build can use it.

An index goes in as a secret, since its address may hold a password, and no layer keeps it. A folder
of wheels goes in as an image that holds nothing else.
"""

import hashlib
import shlex
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from containers.docker_cli import Docker
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import Device
from intermodal_engine.drivers.environment_sources import pip_options, uv_variables

_PIP_NAMES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
_UV_NAMES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_INDEX_STRATEGY",
    "UV_TORCH_BACKEND",
)
_NOTHING = "scratch"


def index_settings(environment: Mapping[str, str]) -> str:
    """Lines for a shell that tell pip and uv where to look, but for this machine's own disk."""
    pip = {name: value for name, value in pip_options(environment).items() if name != "find-links"}
    for option in ("index-url", "extra-index-url"):
        kept = [place for place in pip.pop(option, "").split() if not place.startswith("file:")]
        if kept:
            pip[option] = " ".join(kept)
    told = {f"PIP_{name.replace('-', '_').upper()}": value for name, value in pip.items()}
    variables = uv_variables(environment, pip)
    lines = [(name, told[name]) for name in _PIP_NAMES if name in told]
    lines += [(name, variables[name]) for name in _UV_NAMES if name in variables]
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in lines)


def wheels_image(docker: Docker, environment: Mapping[str, str], device: Device) -> str:
    """An image of the wheels in the folders that pip is told to look in; `scratch` without any.

    Its tag is told by the files, so that it is made once. For GPUs, builds for CPU stay out.

    Raises:
        IntermodalError: docker takes it not.
    """
    wheels = _wheels(environment)
    if device == "gpu":
        wheels = [path for path in wheels if "+cpu" not in path.name]
    if not wheels:
        return _NOTHING
    facts = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in wheels]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
    image = f"intermodal-wheels:{digest}"
    if docker.ask("image", "inspect", "--format", "{{.Id}}", image) is None:
        _import(docker, image, wheels)
    return image


def _wheels(environment: Mapping[str, str]) -> list[Path]:
    places = uv_variables(environment, pip_options(environment)).get("UV_FIND_LINKS", "").split(",")
    folders = (Path(place.removeprefix("file://")) for place in places if place)
    return sorted(path for folder in folders for path in folder.glob("*.whl"))


def _import(docker: Docker, image: str, wheels: list[Path]) -> None:
    with subprocess.Popen(
        [docker.program, "import", "-", image],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None  # noqa: S101 (by the arguments above)
        with tarfile.open(fileobj=process.stdin, mode="w|") as archive:
            for path in wheels:
                archive.add(path, path.name, filter=_anonymous)
        process.stdin.close()
        said = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if process.returncode != 0:
        raise IntermodalError(f"the wheels in reach cannot be handed to docker: {said.strip()}")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
