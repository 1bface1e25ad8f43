"""Which Python environment stands in for an image, and what a job's environment variables are.

The process driver has no images: an image's name selects a release of the catalogue, and that an
environment: the engine's own interpreter if it holds what the release asks for, else one that is
made for it (environment_build.py).
"""

import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from intermodal_contract.catalogue import Release, UnknownFrameworkError, nearest, releases
from intermodal_contract.image import (
    PROGRAMS,
    FrameworkImage,
    InvalidImageUriError,
    framework_image,
)
from intermodal_engine.drivers.base import InstanceSpec, PlanRefusedError
from intermodal_engine.drivers.environment_build import Builds, BuiltEnvironment, Recipe, Say
from intermodal_engine.drivers.environment_sources import own_packages
from intermodal_engine.drivers.notes import tell

_PLAIN_PYTHON = re.compile(r"(?:.+/)?intermodal[/-]python(?:-[-.\w]+)?(?::[-.\w]+)?")
_REQUIREMENT = re.compile(r"([-.\w]+)(==|>=)([\d.]+)")

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
        make: makes it where it is not there yet, and marks its use; None: it is always there.
        is_ready: says whether it is there.
    """

    python: Path
    path_entries: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    make: Callable[[Say], None] | None = None
    is_ready: Callable[[], bool] = lambda: True

    def prepare(self, spec: InstanceSpec) -> None:
        """Has it there for an instance, whose log tells how that goes. May take minutes.

        Raises:
            StartFailedError: it cannot be had; the message says why and what would help.
        """
        if self.make is not None:
            self.make(lambda line: tell(spec, line))


class Environments:
    """Finds what stands in for images.

    Args:
        folder: where environments are made.
        catalogue: the releases that there are.
        own: arguments for `uv pip install` that bring our programs; None finds them out.
    """

    def __init__(
        self,
        folder: Path,
        catalogue: tuple[Release, ...] | None = None,
        own: tuple[str, ...] | None = None,
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._own = own
        self._builds = Builds()

    def close(self) -> None:
        """Ends what is being made; it is made again by the next engine."""
        self._builds.close()

    def resolve(self, image: str) -> Environment:
        """Finds what stands in for an image, without any effect.

        Raises:
            PlanRefusedError: nothing here can; the message says what would help.
        """
        try:
            framework = framework_image(image)
        except InvalidImageUriError as error:
            raise PlanRefusedError(str(error)) from error
        if framework is not None:
            return self._framework_environment(image, framework)
        if _PLAIN_PYTHON.fullmatch(image):
            return _current_environment(f"`{image}` runs on {sys.executable}")
        raise PlanRefusedError(
            f"the process driver does not know the image `{image}`; {self._known()}\n"
            "hint: name one of these, or run it as a container with `--driver docker`"
        )

    def _framework_environment(self, image: str, framework: FrameworkImage) -> Environment:
        try:
            release = nearest(framework.framework, framework.version, self._releases)
        except UnknownFrameworkError as error:
            raise PlanRefusedError(
                f"the image `{image}` cannot run here: {error.message}; {self._known()}\n"
                "hint: run it as a container with `--driver docker`"
            ) from error
        installed = _installed(release.distribution)
        is_asked_for = installed is not None and _matches(installed, framework.version)
        has_program = (_scripts() / PROGRAMS[framework.purpose]).exists()
        if has_program and (is_asked_for or all(map(_is_satisfied, release.requirements))):
            what = f"{release.distribution} {installed}"
            if is_asked_for:
                return _current_environment(f"`{image}` runs on {sys.executable} with {what}")
            return _current_environment(_asked_for(framework, what))
        return self._built_environment(image, framework, release)

    def _built_environment(
        self, image: str, framework: FrameworkImage, release: Release
    ) -> Environment:
        recipe = Recipe(release, *_python_for(release), own=self._own or own_packages())
        built = BuiltEnvironment(self._folder, recipe, recipe.name, self._builds)
        what = f"{release.distribution} {release.version} in {built.folder}"
        is_asked_for = _matches(release.version, framework.version)
        note = f"`{image}` runs on {what}" if is_asked_for else _asked_for(framework, what)
        scripts = built.folder / "bin"
        python = scripts / "python"
        return Environment(python, (scripts,), (note,), built.make, built.is_ready)

    @property
    def _releases(self) -> tuple[Release, ...]:
        return releases() if self._catalogue is None else self._catalogue

    def _known(self) -> str:
        frameworks = " and ".join(sorted({one.framework for one in self._releases}))
        return (
            "known are `…/FRAMEWORK-training:VERSION-cpu-pyNNN` and `…/FRAMEWORK-inference:…`, the "
            f"vendor's or `intermodal/…`, for {frameworks}, and `intermodal/python` for plain "
            "Python"
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


def _asked_for(framework: FrameworkImage, what: str) -> str:
    return f"asked for {framework.framework} {framework.version}, runs on {what}"


def _current_environment(note: str) -> Environment:
    return Environment(Path(sys.executable), (_scripts(),), (note,))


def _scripts() -> Path:
    """Where the current interpreter's programs lie; not resolved, since a venv's is a link."""
    return Path(sys.executable).parent


def _python_for(release: Release) -> tuple[str, str]:
    """An interpreter for a release, and its version: the engine's own where that will do."""
    own = platform.python_version()
    if own.rpartition(".")[0] in release.pythons:
        return str(Path(sys.executable).resolve()), own
    return release.pythons[0], release.pythons[0]


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _is_satisfied(requirement: str) -> bool:
    """Whether what is installed beside the engine is what a release's requirement asks for."""
    match = _REQUIREMENT.fullmatch(requirement)
    installed = _installed(match[1]) if match else None
    if match is None or installed is None:
        return False
    return _matches(installed, match[3]) or (
        match[2] == ">=" and _numbers(installed) >= _numbers(match[3])
    )


def _matches(version: str, asked: str) -> bool:
    """Whether `2.13.0+cpu` is what `2.13` asks for."""
    have = version.partition("+")[0].split(".")
    want = asked.split(".")
    return have[: len(want)] == want


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))
