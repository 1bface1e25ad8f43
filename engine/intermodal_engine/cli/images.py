"""`intermodal images`: what an image's name gets from either driver here."""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from intermodal_contract.catalogue import releases
from intermodal_contract.image import PROGRAMS
from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.drivers.base import PlanRefusedError
from intermodal_engine.drivers.containers.machine import LocalImage
from intermodal_engine.drivers.environment import Environments
from intermodal_engine.drivers.unavailable import DriverUnavailableError

_HELLO_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One of the catalogue's images.

    Attributes:
        image: its name.
        python: the interpreter that stands in for it with the process driver; None if none can.
        is_environment_ready: whether that is there already.
        size_bytes: of the image that docker has; None if it has none, or is not there itself.
    """

    image: str
    python: str | None
    is_environment_ready: bool
    size_bytes: int | None


def images(options: argparse.Namespace) -> int:
    """Lists the catalogue's images, and whether they are there."""
    environments = Environments(settings_of(options).environments_folder)
    with _finder() as find:
        listed = [
            _listed(release.image(purpose, device), environments, find)
            for release in releases()
            for purpose in PROGRAMS
            for device in release.devices
        ]
    if options.json:
        print(json.dumps([asdict(one) for one in listed], indent=2))
        return EXIT_OK
    width = max(len(one.image) for one in listed)
    print(f"{'image':<{width}}  {'process driver':<20}  docker driver")
    for one in listed:
        size = f"{one.size_bytes / 1e6:,.0f} MB" if one.size_bytes is not None else "not there"
        state = "ready" if one.is_environment_ready else "made at first use"
        print(f"{one.image:<{width}}  {state if one.python else 'never':<20}  {size}")
    return EXIT_OK


def _listed(
    image: str, environments: Environments, find: Callable[[str], LocalImage | None]
) -> ListedImage:
    found = find(image)
    size_bytes = None if found is None else found.size_bytes
    try:
        environment = environments.resolve(image)
    except PlanRefusedError:
        return ListedImage(image, None, is_environment_ready=False, size_bytes=size_bytes)
    return ListedImage(image, str(environment.python), environment.is_ready(), size_bytes)


@contextlib.contextmanager
def _finder() -> Iterator[Callable[[str], LocalImage | None]]:
    """Looks among docker's images, or finds none where it does not answer."""
    from intermodal_engine.drivers.docker import connect

    try:
        daemon = connect(_HELLO_TIMEOUT_S)
    except DriverUnavailableError as error:
        print_note(f"docker's images are not shown: {str(error).splitlines()[0]}")
        yield lambda _: None
        return
    with contextlib.closing(daemon):
        yield daemon.find_image
