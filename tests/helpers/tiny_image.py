"""An image with one file of its own, made of nothing."""

import gc
import io
import tarfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest

NAME = "intermodal-test/tiny"


@contextmanager
def docker_or_skip() -> Iterator[Any]:
    """A client of docker's SDK; skips the test where no docker answers."""
    client = _connected()
    try:
        yield client
    finally:
        client.close()


@contextmanager
def tiny_image(client: Any) -> Iterator[str]:
    """The name of a new image; whatever has its content goes afterwards."""
    content = uuid.uuid4().hex
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("content")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content.encode()))
    client.api.import_image_from_data(archive.getvalue(), repository=NAME, tag=content)
    image = client.images.get(f"{NAME}:{content}")
    try:
        yield f"{NAME}:{content}"
    finally:
        client.images.remove(image.id, force=True)


def _connected() -> Any:
    try:
        return docker.from_env()
    except docker.errors.DockerException as error:
        reason = str(error)
    with warnings.catch_warnings():  # about the socket, which docker's SDK has left open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    pytest.skip(f"no docker answers, so images are UNTESTED: {reason}")
