"""A small image with Python for tests of the docker driver, built once a machine."""

import gc
import io
import tarfile
import warnings

import docker
import pytest
import requests

from intermodal_contract.catalogue import newest
from tests.helpers.built_images import base_image

TAG = "intermodal-test/python:3"
_DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN command -v python3 || (apt-get update \\
    && apt-get install --yes --no-install-recommends python3-minimal python3-boto3 \\
    && rm -rf /var/lib/apt/lists/*)
RUN useradd --uid 1000 worker
"""


def docker_client() -> docker.APIClient:
    """A client of the daemon; tests that need one are skipped, loudly, where there is none."""
    try:
        client = docker.APIClient(**docker.utils.kwargs_from_env())
        client.ping()
    except (docker.errors.DockerException, requests.RequestException) as error:
        reason = str(error)
    else:
        return client
    with warnings.catch_warnings():  # about the socket, which docker's SDK has left open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    pytest.skip(f"NO DOCKER HERE, SO IMAGES AND THEIR DRIVER ARE UNTESTED: {reason}")


def build(client: docker.APIClient) -> str:
    """Builds the image, or finds it in docker's cache; returns its name."""
    base = base_image() or newest("pytorch").builds["cpu"].base
    said = [
        str(event.get("stream") or event.get("error", ""))
        for event in client.build(
            fileobj=io.BytesIO(_DOCKERFILE.encode()),
            tag=TAG,
            buildargs={"BASE_IMAGE": base},
            rm=True,
            decode=True,
        )
    ]
    assert client.images(TAG), "".join(said)[-2000:]
    return TAG


def derive(client: docker.APIClient, tag: str, *lines: str, **programs: str) -> str:
    """Builds an image on top of it.

    Args:
        client: of the daemon.
        tag: the image's name.
        lines: of its Dockerfile.
        programs: sources of programs that it has on its PATH, by name.
    """
    copies = [f"COPY --chown=root {name} /usr/local/bin/" for name in programs]
    dockerfile = "\n".join([f"FROM {TAG}", *copies, *lines])
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, text in {"Dockerfile": dockerfile, **programs}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    context.seek(0)
    said = list(client.build(fileobj=context, custom_context=True, tag=tag, rm=True, decode=True))
    assert client.images(tag), said[-3:]
    return tag
