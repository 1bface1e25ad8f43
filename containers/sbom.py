"""Writes what is in each of our images that is built here, as SPDX documents.

    python -m containers.sbom FOLDER

syft reads the images; it comes with the project's development tools.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from containers.docker_cli import Docker, find_docker
from containers.images import listed
from intermodal_contract.errors import IntermodalError


def main(arguments: Sequence[str]) -> int:
    """Writes the documents; the exit code."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        docker = find_docker()
        built = [one.name for one in listed(docker) if one.image_id is not None]
        for name in built:
            print(write_sbom(docker, name, folder))
    except IntermodalError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if not built:
        sys.stderr.write("error: no image is built here\nhint: `make images` says how to\n")
    return 0 if built else 1


def write_sbom(docker: Docker, image: str, folder: Path) -> Path:
    """Writes one image's document; its path.

    Raises:
        IntermodalError: docker or syft refuses.
    """
    document = folder / (image.replace("/", "-").replace(":", "-") + ".spdx.json")
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, "image.tar")
        saved = docker.run("save", "--output", str(archive), image)
        if saved.returncode != 0:
            raise IntermodalError(f"`{image}` cannot be read: {saved.stderr.strip()}")
        syft = Path(sys.executable).with_name("syft")
        done = subprocess.run(
            [
                *(str(syft), "scan", f"docker-archive:{archive}", "--quiet"),
                *("--source-name", image, "--output", f"spdx-json={document}"),
            ],
            env={"SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": scratch, "TMPDIR": scratch},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise IntermodalError(f"syft cannot tell what is in `{image}`: {done.stderr.strip()}")
    return document


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
