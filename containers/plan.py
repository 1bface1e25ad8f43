"""What an image is built from: the catalogue's row and a person's choices, for docker."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from intermodal_contract.catalogue import Release, nearest, newest, releases
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import PROGRAMS, Device, Purpose, parse_image_uri

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "containers/Dockerfile"
LABEL = "io.intermodal"
SCRIPTS: Mapping[Purpose, str] = {"training": "train.py", "inference": "inference.py"}


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """One of our images.

    Attributes:
        release: of the framework.
        purpose: `training` or `inference`.
        device: what it computes on.
        name: the image's, with its tag.
        base: the image below it.
        python: its Python, for example `3.11`.
        has_mpi: whether a training image has Open MPI.
        platform: for example `linux/arm64`; None: docker's own.
        only_resolve: nothing is built; the framework's requirements are resolved.
    """

    release: Release
    purpose: Purpose
    device: Device
    name: str
    base: str
    python: str
    has_mpi: bool = True
    platform: str | None = None
    only_resolve: bool = False

    @property
    def target(self) -> str:
        """The stage of the Dockerfile."""
        return "resolved" if self.only_resolve else self.purpose

    def build_arguments(self, wheels_image: str) -> dict[str, str]:
        """The Dockerfile's arguments."""
        release = self.release
        return {
            "BASE_IMAGE": self.base,
            "WHEELS_IMAGE": wheels_image,
            "PYTHON": self.python,
            "APT": " ".join(release.apt),
            "REQUIREMENTS": " ".join(release.image_requirements(self.device)),
            "LOCK": release.lock_file.name,
            "DEVICE": self.device,
            "CUDNN": release.builds[self.device].cudnn,
            "UV": f"uv=={version('uv')}",
            **({"MPI": "1"} if self.has_mpi and self.purpose == "training" else {}),
            **({"ASKED_AT": str(time.time())} if self.only_resolve else {}),
        }

    def labels(self, revision: str | None, created: str | None) -> dict[str, str]:
        """Labels by OCI's names, and those by which `make images` finds what is ours."""
        release = self.release
        labels = {
            "org.opencontainers.image.title": self.name.partition(":")[0],
            "org.opencontainers.image.description": (
                f"{release.framework} {release.version}, and the program "
                f"`{PROGRAMS[self.purpose]}` of intermodal"
            ),
            "org.opencontainers.image.version": release.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.base.name": self.base,
            f"{LABEL}.framework": release.framework,
            f"{LABEL}.purpose": self.purpose,
            f"{LABEL}.device": self.device,
        }
        told = {"revision": revision, "created": created}
        return labels | {
            f"org.opencontainers.image.{name}": value for name, value in told.items() if value
        }


def plan_image(
    purpose: Purpose,
    framework: str,
    device: str,
    *,
    framework_version: str | None = None,
    base: str | None = None,
    python: str | None = None,
    tag: str | None = None,
    has_mpi: bool = True,
    platform: str | None = None,
    only_resolve: bool = False,
) -> ImagePlan:
    """Plans one of our images.

    Args:
        purpose: `training` or `inference`.
        framework: as in the catalogue.
        device: `cpu` or `gpu`.
        framework_version: the newest where None.
        base: the catalogue's where None.
        python: the catalogue's where None; another base may have another.
        tag: a tag, or a whole image name, instead of the catalogue's.
        has_mpi: whether a training image has Open MPI.
        platform: as docker writes it.
        only_resolve: see `ImagePlan`.

    Raises:
        IntermodalError: there is no such image.
    """
    release = _release(framework, framework_version)
    build = next((one for name, one in release.builds.items() if name == device), None)
    if build is None:
        raise IntermodalError(
            f"there are no images of {framework} {release.version} for `{device}`",
            hint=f"DEVICE={' or DEVICE='.join(release.devices)}",
        )
    if python is not None and python not in release.pythons:
        raise IntermodalError(
            f"{framework} {release.version} does not run on Python {python}",
            hint=f"PYTHON_VERSION={' or PYTHON_VERSION='.join(release.pythons)}",
        )
    known: Device = "gpu" if device == "gpu" else "cpu"
    build = replace(build, python=python or build.python)
    usual = replace(release, builds={known: build}).image(purpose, known)
    return ImagePlan(
        release=release,
        purpose=purpose,
        device=known,
        name=_named(tag, usual) if tag else usual,
        base=base or build.base,
        python=build.python,
        has_mpi=has_mpi,
        platform=platform,
        only_resolve=only_resolve,
    )


def build_argv(
    plan: ImagePlan,
    wheels_image: str,
    index_file: Path,
    *,
    revision: str | None = None,
    created: str | None = None,
) -> list[str]:
    """The arguments of `docker` that build it."""
    argv = ["build", "--progress=plain", f"--file={DOCKERFILE}", f"--target={plan.target}"]
    argv += [f"--secret=id=index,src={index_file}"]
    argv += [f"--platform={plan.platform}"] if plan.platform else []
    for name, value in plan.build_arguments(wheels_image).items():
        argv += ["--build-arg", f"{name}={value}"]
    if not plan.only_resolve:
        for name, value in plan.labels(revision, created).items():
            argv += ["--label", f"{name}={value}"]
        argv += ["--tag", plan.name]
    return [*argv, str(ROOT)]


def code_argv(plan: ImagePlan, folder: Path, dockerfile: Path, id_file: Path) -> list[str]:
    """The arguments of `docker` that put a person's code onto one of our images, without a name."""
    return [
        *("build", "--progress=plain", f"--file={dockerfile}", f"--iidfile={id_file}"),
        *("--build-arg", f"IMAGE={plan.name}"),
        *("--build-arg", f"PROGRAM={SCRIPTS[plan.purpose]}"),
        str(folder),
    ]


def _release(framework: str, framework_version: str | None) -> Release:
    if framework_version is None:
        return newest(framework)
    release = nearest(framework, framework_version)
    if release.version != framework_version:
        known = [one.version for one in releases() if one.framework == framework]
        raise IntermodalError(
            f"the catalogue has no {framework} {framework_version}",
            hint=f"it has {', '.join(known)}; docs/guides/environments.md says how one is added",
        )
    return release


def _named(tag: str, usual: str) -> str:
    is_name = ":" in tag or "/" in tag
    name = tag if is_name else f"{usual.partition(':')[0]}:{tag}"
    parse_image_uri(name)
    return name
