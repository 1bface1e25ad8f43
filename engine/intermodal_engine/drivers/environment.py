"""Which Python environment stands in for an image, and what a job's environment variables are.

The process driver has no images: an image's name selects an interpreter on this machine. Today that
is the engine's own, if it holds what the image promises; `resolve` is the one place to choose
another.
"""

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.image import FrameworkImage, InvalidImageUriError, framework_image
from intermodal_engine.drivers.base import InstanceSpec, PlanRefusedError

_PLAIN_PYTHON = re.compile(r"(?:.+/)?intermodal[/-]python(?:-[-.\w]+)?(?::[-.\w]+)?")
_DISTRIBUTIONS: Mapping[str, tuple[str, str]] = {
    "pytorch": ("torch", "torch"),
    "mxnet": ("mxnet", "mxnet"),
    "tensorflow": ("tensorflow", "tensorflow"),
}
"""Framework to the distribution that is it, and the module that it is imported as."""
_PROGRAMS: Mapping[str, tuple[str, str]] = {
    "training": ("train", "intermodal[training]"),
    "inference": ("serve", "intermodal[serving]"),
}
"""Purpose to the program that such an image starts, and what brings it."""
_KNOWN = (
    "known are `…/pytorch-training:VERSION-cpu-pyNNN` and `…/pytorch-inference:…`, the vendor's "
    "or `intermodal/…`, likewise mxnet and tensorflow, and `intermodal/python` for plain Python"
)

_PASSED_EXACTLY = frozenset(
    {
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_NO_INDEX",
        "PIP_CERT",
        "PIP_TRUSTED_HOST",
        "PIP_CONFIG_FILE",
        "PIP_DISABLE_PIP_VERSION_CHECK",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_NO_INDEX",
        "UV_NATIVE_TLS",
        "UV_SYSTEM_CERTS",
        "LD_LIBRARY_PATH",
        "CUDA_HOME",
        "TZ",
    }
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Environment:
    """What stands in for an image.

    Attributes:
        python: the interpreter.
        path_entries: folders that come first on the job's PATH.
        notes: what a person should know.
    """

    python: Path
    path_entries: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def resolve(image: str) -> Environment:
    """Finds what stands in for an image.

    Raises:
        PlanRefusedError: nothing here can; the message says what would help.
    """
    try:
        framework = framework_image(image)
    except InvalidImageUriError as error:
        raise PlanRefusedError(str(error)) from error
    if framework is not None:
        return _framework_environment(image, framework)
    if _PLAIN_PYTHON.fullmatch(image):
        return _current_environment(f"`{image}` runs on {sys.executable}")
    raise PlanRefusedError(
        f"the process driver does not know the image `{image}`; {_KNOWN}\n"
        "hint: name one of these, or run it as a container with `--driver docker`"
    )


def job_variables(
    spec: InstanceSpec, environment: Environment, engine: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a job's first process, save those for its network.

    Of the engine's own environment only these pass, and only where they are set: where certificates
    lie and where pip and uv find packages (a job that installs its requirements needs both on a
    machine behind a mirror), the loader's path and CUDA's (they say where this machine keeps its
    drivers), and the time zone. Proxies do not pass: they often carry a password. No key, no token,
    no AWS setting passes; a job gets its credentials from the engine, through the spec.

    Args:
        spec: what shall run; its own variables win.
        environment: what stands in for its image.
        engine: the engine's environment.
    """
    passed = {name: value for name, value in engine.items() if name in _PASSED_EXACTLY}
    return {
        **passed,
        "PATH": os.pathsep.join([*map(str, environment.path_entries), _SYSTEM_PATH]),
        "HOME": str(spec.folder / "home"),
        "TMPDIR": str(spec.folder / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.gpus)),
        **spec.environment,
    }


def _framework_environment(image: str, framework: FrameworkImage) -> Environment:
    distribution, module = _DISTRIBUTIONS[framework.framework]
    if importlib.util.find_spec(module) is None:
        raise PlanRefusedError(
            f"the image `{image}` needs {framework.framework}, and {sys.executable} has no "
            f"`{module}`\n"
            f"hint: install it beside the engine (`pip install '{_extra(framework.framework)}'`), "
            "or run the image as a container with `--driver docker`"
        )
    program, extra = _PROGRAMS[framework.purpose]
    if not (_scripts() / program).exists():
        raise PlanRefusedError(
            f"the image `{image}` starts the program `{program}`, and {_scripts()} has none\n"
            f"hint: install it beside the engine (`pip install '{extra}'`)"
        )
    version = importlib.metadata.version(distribution)
    asked = framework.version
    note = f"`{image}` runs on {sys.executable} with {distribution} {version}"
    if not _satisfies(version, asked):
        note = f"asked for {framework.framework} {asked}, runs on {distribution} {version}"
    return _current_environment(note)


def _current_environment(note: str) -> Environment:
    return Environment(Path(sys.executable), (_scripts(),), (note,))


def _scripts() -> Path:
    """Where the current interpreter's programs lie; not resolved, since a venv's is a link."""
    return Path(sys.executable).parent


def _extra(framework: str) -> str:
    return "intermodal[torch]" if framework == "pytorch" else framework


def _satisfies(version: str, asked: str) -> bool:
    """Whether `2.13.0+cpu` is what `2.13` asks for."""
    have = version.partition("+")[0].split(".")
    want = asked.split(".")
    return have[: len(want)] == want
