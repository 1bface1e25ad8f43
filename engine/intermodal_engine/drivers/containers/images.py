"""Which image runs for the one that was asked for, and why one cannot be had. Without effects."""

from dataclasses import dataclass

from intermodal_contract.catalogue import Release, UnknownFrameworkError, nearest
from intermodal_contract.image import (
    FrameworkImage,
    ImageUri,
    InvalidImageUriError,
    framework_image,
    parse_image_uri,
)
from intermodal_engine.drivers.base import PlanRefusedError
from intermodal_engine.drivers.containers.machine import FindImage, LocalImage, Machine

_OUR_FOLDER = "intermodal/"


@dataclass(frozen=True, slots=True)
class Choice:
    """The image that runs.

    Attributes:
        name: its name.
        image: what the daemon has under this name; None: it is to be pulled.
        notes: what a person should know.
    """

    name: str
    image: LocalImage | None
    notes: tuple[str, ...] = ()


def choose(
    asked: str, find: FindImage, machine: Machine, catalogue: tuple[Release, ...] | None = None
) -> Choice:
    """Chooses the image for a name.

    What is here under that very name runs; for a name of the vendor's or of ours, the image that
    was built for it; anything else is to be pulled.

    Args:
        asked: the name in the request.
        find: looks among the images that are here.
        machine: what it is to run on.
        catalogue: the releases that there are, unless they are intermodal's.

    Raises:
        PlanRefusedError: there is none, or not for this machine.
    """
    try:
        uri = parse_image_uri(asked)
        framework = framework_image(uri)
    except InvalidImageUriError as error:
        raise PlanRefusedError(f"{error.message}\nhint: {error.hint}") from error
    image = find(asked)
    if image is not None:
        return Choice(asked, image, _check_architecture(asked, image, machine))
    if framework is not None:
        try:
            release = nearest(framework.framework, framework.version, catalogue)
        except UnknownFrameworkError:
            return Choice(asked, None)  # the vendor's own may be had where docker is logged in
        return _stand_in(framework, release, find, machine)
    if uri.registry is None and uri.repository.startswith(_OUR_FOLDER):
        raise PlanRefusedError(
            f"there is no image `{asked}` here, and no registry has it\n"
            f"hint: build it, `docker build --tag {asked} …`; `docker images` lists what is here"
        )
    return Choice(asked, None)


def digest_path(choice: Choice) -> str | None:
    """The image that runs, by digest: `REPOSITORY@sha256:…`; None while it is to be pulled.

    An image that no registry has is named by its id, which docker finds it by as well.
    """
    if choice.image is None:
        return None
    repository = parse_image_uri(choice.name).full_repository
    known = [path for path in choice.image.digests if path.startswith(f"{repository}@")]
    return known[0] if known else f"{repository}@{choice.image.image_id}"


def pulled(uri: ImageUri) -> tuple[str, str]:
    """The repository to pull from and the tag or digest to pull; docker's default is `latest`."""
    return uri.full_repository, uri.digest or uri.tag or "latest"


def why_not_pulled(image: str, cause: str) -> str:
    """Why an image could not be pulled, and what would help.

    Args:
        image: its name.
        cause: the daemon's own words.
    """
    registry = parse_image_uri(image).registry
    return f"`{image}` cannot be pulled: {cause.strip()}\nhint: {_advice(image, registry, cause)}"


def _advice(image: str, registry: str | None, cause: str) -> str:
    said = cause.lower()
    if "no space left" in said:
        return "`docker system df` shows what docker keeps; `docker image prune` frees some of it"
    if "no matching manifest" in said or "does not match the specified platform" in said:
        return "the image is not made for this machine's processor; name one that is"
    if any(word in said for word in ("denied", "unauthorized", "no basic auth", "authentication")):
        if registry is not None and ".dkr.ecr." in registry:
            return (
                f"`aws ecr get-login-password | docker login --username AWS --password-stdin "
                f"{registry}` logs docker in; then try again"
            )
        return f"`docker login{f' {registry}' if registry else ''}`, if there is such an image"
    if any(word in said for word in ("manifest unknown", "not found", "name unknown")):
        return "look at the name; the registry answers, but has no such image"
    return (
        f"see whether `docker pull {image}` succeeds, or build the image here under this name, "
        f"`docker build --tag {image} …`"
    )


def _stand_in(
    framework: FrameworkImage, release: Release, find: FindImage, machine: Machine
) -> Choice:
    """The image of the catalogue that runs for a name of the vendor's, or of ours."""
    notes = []
    device = framework.device
    if device == "gpu" and not machine.has_gpus:
        device = "cpu"
        notes.append("the image for GPUs was asked for, and this machine has none: it runs on CPUs")
    if device not in release.devices:
        device = release.devices[0]
    name = release.image(framework.purpose, device)
    image = find(name)
    if image is None:
        raise PlanRefusedError(
            f"{framework.framework} {framework.version} would run on the image `{name}`, which has "
            "not been built here\n"
            f"hint: `{release.build_command(framework.purpose, device)}` builds it"
        )
    asked = f"{framework.framework} {framework.version}"
    runs_on = f"{release.distribution} {release.version} in `{name}`"
    notes.insert(0, f"asked for {asked}, runs on {runs_on}")
    return Choice(name, image, (*notes, *_check_architecture(name, image, machine)))


def _check_architecture(name: str, image: LocalImage, machine: Machine) -> tuple[str, ...]:
    if image.architecture in ("", machine.architecture):
        return ()
    what = f"`{name}` is made for {image.architecture}, and this machine is {machine.architecture}"
    if machine.is_desktop:
        return (f"{what}: it runs emulated, which is slow",)
    raise PlanRefusedError(
        f"{what}\nhint: build it for this machine, `docker build --platform "
        f"linux/{machine.architecture} …`, or name an image that is"
    )
