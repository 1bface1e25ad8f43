"""An image with one file of its own, made of nothing."""

import io
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAME = "intermodal-test/tiny"


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
