"""Which releases of which frameworks intermodal has, and which of them serves another version.

The data are in `catalogue.toml` and `locks/`, so that a new release is a table and a lock file.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import Device, Purpose

CudnnSource = Literal["base", "wheels", "nobody"]

FOLDER = Path(__file__).parent

_BUILD_TARGETS: Mapping[Purpose, str] = {"training": "build-train", "inference": "build-serve"}
_VERSION = re.compile(r"\d+(?:\.\d+)*")


class UnknownFrameworkError(IntermodalError):
    """The catalogue has no release of that framework."""


class InvalidCatalogueError(IntermodalError):
    """A row of the catalogue is not as it must be."""


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """What a release's images for one device are built from.

    Attributes:
        base: the image below them, unless a person names another.
        python: their Python, for example `3.11`.
        cudnn: who brings cuDNN; an image has exactly one, or none.
        distribution: what pip calls the build for this device, where that is not the release's.
    """

    base: str
    python: str
    cudnn: CudnnSource
    distribution: str | None = None

    @property
    def python_tag(self) -> str:
        """Their Python as a tag has it, for example `py311`."""
        return "py" + self.python.replace(".", "")


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a framework, and all that is needed to make an environment or an image of it.

    Attributes:
        framework: as in image names, for example `pytorch`.
        version: in full, for example `2.2.0`.
        distribution: what pip calls it.
        module: what Python calls it.
        requires: what it needs beside what its own metadata says.
        pythons: minor versions of Python that it runs on, for example `3.11`.
        builds: what it can compute on, and what the images for that are built from.
        apt: Debian packages with shared libraries that its wheels need and do not bring.
        unhashed: distributions that the lock pins without hashes, since their builds differ.
        lock_file: every distribution of its environment at one version, for pip's and uv's
            `--constraint`: what is not needed is not installed.
    """

    framework: str
    version: str
    distribution: str
    module: str
    requires: tuple[str, ...]
    pythons: tuple[str, ...]
    builds: Mapping[Device, ImageBuild]
    apt: tuple[str, ...]
    unhashed: tuple[str, ...]
    lock_file: Path

    @property
    def requirements(self) -> tuple[str, ...]:
        """The framework at this version, and what it needs beside its own metadata."""
        return (f"{self.distribution}=={self.version}", *self.requires)

    @property
    def numbers(self) -> tuple[int, ...]:
        """`(2, 2, 0)` of `2.2.0`."""
        return _numbers(self.version)

    @property
    def devices(self) -> tuple[Device, ...]:
        """What it can compute on."""
        return tuple(self.builds)

    def image_requirements(self, device: Device) -> tuple[str, ...]:
        """What an image for the device holds: `requirements`, of the build for the device."""
        distribution = self.builds[device].distribution or self.distribution
        return (f"{distribution}=={self.version}", *self.requires)

    def build_command(self, purpose: Purpose, device: Device) -> str:
        """What builds our image, for example `make build-train FRAMEWORK=mxnet DEVICE=cpu`."""
        return f"make {_BUILD_TARGETS[purpose]} FRAMEWORK={self.framework} DEVICE={device}"

    def image(self, purpose: Purpose, device: Device) -> str:
        """Our image's name, for example `intermodal/pytorch-training:2.2.0-cpu-py311`."""
        tag = f"{self.version}-{device}-{self.builds[device].python_tag}"
        return f"intermodal/{self.framework}-{purpose}:{tag}"


@cache
def releases() -> tuple[Release, ...]:
    """All of them, in the catalogue's order.

    Raises:
        InvalidCatalogueError: names what is wrong.
    """
    return read(FOLDER)


def read(folder: Path) -> tuple[Release, ...]:
    """The catalogue in a folder: `catalogue.toml`, and `locks/`, which need not be there yet.

    Raises:
        InvalidCatalogueError: names what is wrong.
    """
    found = tuple(_release(row, folder) for row in tables(folder)["release"])
    seen: dict[str, tuple[int, ...]] = {}
    for one in found:
        if one.numbers <= seen.get(one.framework, ()):
            raise InvalidCatalogueError(
                f"`{one.framework}` {one.version} stands after a newer or equal release",
                hint="oldest first",
            )
        seen[one.framework] = one.numbers
    return found


@cache
def vendor_pythons() -> Mapping[str, Mapping[tuple[int, ...], str]]:
    """By framework: the first version of the vendor's images that has a Python, and its tag."""
    return {
        framework: {_numbers(version): tag for version, tag in pythons.items()}
        for framework, pythons in tables(FOLDER)["vendor"].items()
    }


def nearest(framework: str, version: str, among: Sequence[Release] | None = None) -> Release:
    """The release that serves a version: that one, else the next newer, else the newest.

    `2.2` is served by any `2.2.x`, the newest of them.

    Args:
        framework: for example `pytorch`.
        version: for example `2.2.0`.
        among: the catalogue, unless it is another.

    Raises:
        UnknownFrameworkError: there is no release of that framework.
    """
    fitting = _of_framework(framework, among)
    asked = _numbers(version)
    same = [one for one in fitting if one.numbers[: len(asked)] == asked]
    newer = [one for one in fitting if one.numbers > asked]
    return (same[-1:] or newer[:1] or fitting[-1:])[0]


def newest(framework: str) -> Release:
    """The newest release of a framework.

    Raises:
        UnknownFrameworkError: there is none.
    """
    return _of_framework(framework)[-1]


def served_versions(release: Release, among: Sequence[Release] | None = None) -> str:
    """Which versions in the vendor's image names a release stands in for, in words."""
    own = _of_framework(release.framework, among)
    at = own.index(release)
    if len(own) == 1:
        return "every version"
    if at == 0:
        return f"up to {release.version}"
    above = f"above {own[at - 1].version}"
    return above if at == len(own) - 1 else f"{above}, up to {release.version}"


def tables(folder: Path) -> dict[str, Any]:
    """All of `catalogue.toml` in a folder."""
    return tomllib.loads((folder / "catalogue.toml").read_text(encoding="utf-8"))


def _of_framework(framework: str, among: Sequence[Release] | None = None) -> list[Release]:
    all_releases = releases() if among is None else among
    found = [one for one in all_releases if one.framework == framework]
    if not found:
        known = ", ".join(sorted({one.framework for one in all_releases}))
        raise UnknownFrameworkError(
            f"intermodal has no release of {framework}", hint=f"it has {known}"
        )
    return found


def _numbers(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _release(row: Mapping[str, Any], folder: Path) -> Release:
    name = f"{row.get('framework')} {row.get('version')}"
    lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
    plain = {key: value for key, value in row.items() if not isinstance(value, dict)}
    lock_file = folder / "locks" / f"{name.replace(' ', '-')}.txt"
    try:
        builds = {
            cast("Device", key): ImageBuild(**value)
            for key, value in row.items()
            if isinstance(value, dict)
        }
        release = Release(**{**plain, **lists}, builds=builds, lock_file=lock_file)
    except TypeError as error:
        raise InvalidCatalogueError(
            f"the catalogue's row {name}: {error}",
            hint=f"see the top of {folder / 'catalogue.toml'}",
        ) from error
    if not _VERSION.fullmatch(release.version) or not release.pythons:
        raise InvalidCatalogueError(
            f"the catalogue's row {name} needs a whole version and at least one Python"
        )
    for device, build in builds.items():
        _check_build(name, release, device, build)
    if not builds:
        raise InvalidCatalogueError(f"the catalogue's row {name} has no table for any device")
    return release


def _check_build(name: str, release: Release, device: str, build: ImageBuild) -> None:
    if device not in get_args(Device):
        raise InvalidCatalogueError(f"the catalogue's row {name}: `{device}` is no device")
    if build.python not in release.pythons:
        raise InvalidCatalogueError(
            f"the catalogue's row {name}: its {device} images have Python {build.python}, which is "
            "not among its `pythons`"
        )
    if build.cudnn not in get_args(CudnnSource):
        raise InvalidCatalogueError(
            f"the catalogue's row {name}: `{build.cudnn}` cannot bring cuDNN",
            hint=f"one of {', '.join(get_args(CudnnSource))}",
        )
