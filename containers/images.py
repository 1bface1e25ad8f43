"""Lists our images: what the catalogue has, what of it is built here, and what was built upon it.

python -m containers.images [--json]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from containers.docker_cli import Docker, find_docker
from containers.plan import LABEL
from intermodal_contract.catalogue import releases
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import PROGRAMS


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image that is here, or could be.

    Attributes:
        name: with its tag.
        image_id: None while it is not built.
        size_bytes: on disk, layers that it shares with others included.
        created: when docker made it, as docker says it.
        command: what builds it; None for those that a person built upon ours.
    """

    name: str
    image_id: str | None = None
    size_bytes: int | None = None
    created: str | None = None
    command: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Prints the list; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m containers.images", description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        images = listed(find_docker())
    except IntermodalError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.json:
        print(json.dumps([asdict(one) for one in images], indent=2))
        return 0
    width = max(len(one.name) for one in images)
    for one in images:
        size = f"{one.size_bytes / 1e6:>7,.0f} MB" if one.size_bytes else f"{'-':>10}"
        print(f"{one.name:<{width}}  {size}  {one.created or f'not built: {one.command}'}")
    return 0


def listed(docker: Docker) -> list[ListedImage]:
    """The catalogue's images in its order, then those that carry our labels under other names."""
    commands = build_commands()
    names = docker.ask(
        "images", f"--filter=label={LABEL}.purpose", "--format={{.Repository}}:{{.Tag}}"
    )
    built = {name for name in (names or "").split() if "<none>" not in name}
    catalogued = [_inspected(docker, name, command) for name, command in commands.items()]
    return catalogued + [_inspected(docker, name, None) for name in sorted(built - commands.keys())]


def build_commands() -> dict[str, str]:
    """By name of each of the catalogue's images: the command that builds it."""
    return {
        release.image(purpose, device): release.build_command(purpose, device)
        for release in releases()
        for purpose in PROGRAMS
        for device in release.devices
    }


def _inspected(docker: Docker, name: str, command: str | None) -> ListedImage:
    told = docker.ask("image", "inspect", "--format={{.Id}} {{.Size}} {{.Created}}", name)
    if told is None:
        return ListedImage(name, command=command)
    image_id, size, created = told.split()
    return ListedImage(name, image_id, int(size), created.partition(".")[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
