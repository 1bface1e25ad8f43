"""The registry behind ECR: any registry of container images, asked over HTTP.

What is asked is the distribution API that docker's own registry and all others speak:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

TIMEOUT_S = 5.0

# A manifest may have 4 MiB (the specification); lists of tags get the same.
_ANSWER_LIMIT_BYTES = 4 << 20
_SHOWN_BYTES = 200
_NOT_FOUND = 404
_REFUSALS = (400, 405)
"""How registries say that they do not delete that."""
_IMAGE_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
_INDEX_TYPES = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_ACCEPT = {"Accept": ", ".join((*_IMAGE_TYPES, *_INDEX_TYPES))}
_NEXT_PAGE = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class RegistryError(Exception):
    """The registry does not do what it is asked.

    Args:
        message: what happened.
        hint: what to do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DeletionRefusedError(RegistryError):
    """The registry does not remove what it is asked to remove."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a registry says about an image.

    Attributes:
        digest: of the manifest, for example `sha256:…`.
        media_type: the manifest's.
        config_type: media type of the image's configuration; None for an image of many platforms.
        size_bytes: configuration and layers as they are stored, compressed; of an image of many
            platforms, those of its largest.
    """

    digest: str
    media_type: str
    config_type: str | None
    size_bytes: int


class ImageRegistry:
    """A connection to a registry; close it, or use it in a `with`.

    Args:
        url: `http://HOST:PORT` or `https://HOST:PORT`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        is_secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
        self._connection = kind(self.host, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def tags(self, repository: str) -> list[str]:
        """The repository's tags, sorted; none where the registry has never heard of it.

        Raises:
            RegistryError: it does not say.
        """
        path: str | None = f"/v2/{repository}/tags/list"
        found: set[str] = set()
        while path is not None:
            answer = self._ask("GET", path)
            if answer.status == _NOT_FOUND:
                break
            new = set(answer.tags()) - found
            found |= new
            # A page without anything new is the last, whatever the registry says.
            path = answer.next_page() if new else None
        return sorted(found)

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of what a tag or a digest names; None where there is nothing.

        Raises:
            RegistryError: it does not say.
        """
        answer = self._ask("HEAD", _manifest_path(repository, reference))
        return None if answer.status == _NOT_FOUND else answer.digest()

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """The manifest that a tag or a digest names; None where there is none.

        Raises:
            RegistryError: it does not say.
        """
        answer = self._ask("GET", _manifest_path(repository, reference))
        if answer.status == _NOT_FOUND:
            return None
        document = answer.document()
        with answer.well_formed():
            is_index = answer.media_type in _INDEX_TYPES
            return Manifest(
                digest=answer.digest(),
                media_type=answer.media_type,
                config_type=None if is_index else _text(document["config"]["mediaType"]),
                size_bytes=self._largest(repository, document) if is_index else _size(document),
            )

    def delete(self, repository: str, reference: str) -> None:
        """Removes an image with all its tags, by its digest; or a tag, where the registry can.

        Raises:
            DeletionRefusedError: it does not do that.
            RegistryError: it does not say.
        """
        path = _manifest_path(repository, reference)
        answer = self._ask("DELETE", path, refusals=_REFUSALS)
        if answer.status in _REFUSALS:
            raise DeletionRefusedError(
                f"the registry at {self.host} does not delete `{repository}` `{reference}`",
                "docker's registry deletes images, by digest, where it was started with "
                "`REGISTRY_STORAGE_DELETE_ENABLED=true`, and single tags of an image from its "
                "version 3 on",
            )

    def _largest(self, repository: str, index: dict[str, Any]) -> int:
        """The size of the largest image that an index lists."""
        sizes = [0]
        for one in index["manifests"]:
            answer = self._ask("GET", _manifest_path(repository, _text(one["digest"])))
            if answer.status != _NOT_FOUND and answer.media_type not in _INDEX_TYPES:
                with answer.well_formed():
                    sizes.append(_size(answer.document()))
        return max(sizes)

    def _ask(self, method: str, path: str, *, refusals: tuple[int, ...] = ()) -> "_Answer":
        """One request; 404 and `refusals` are answers, too."""
        try:
            self._connection.request(method, path, headers=_ACCEPT)
            response = self._connection.getresponse()
            body = response.read(_ANSWER_LIMIT_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _down(self.host, f"does not answer: {error}") from error
        answer = _Answer(self.host, response, body)
        if response.status in (401, 403):
            raise RegistryError(
                f"the registry at {self.host} wants a login ({response.status})",
                "the engine speaks to registries that take anybody; run one on loopback without "
                "`auth` in its configuration",
            )
        if len(body) > _ANSWER_LIMIT_BYTES or response.status not in (200, 202, 404, *refusals):
            raise answer.unexpected()
        return answer


class _Answer:
    """A registry's answer, read as what it should be."""

    def __init__(self, host: str, response: http.client.HTTPResponse, body: bytes) -> None:
        self.status = response.status
        self.media_type = response.headers.get_content_type()
        self._headers = response.headers
        self._host = host
        self._body = body

    def document(self) -> dict[str, Any]:
        """The JSON object that it holds."""
        try:
            document = json.loads(self._body)
        except ValueError as error:
            raise self.unexpected() from error
        if not isinstance(document, dict):
            raise self.unexpected()
        return document

    def tags(self) -> list[str]:
        """The tags of a listing; a registry may say that there are none by null."""
        with self.well_formed():
            return [_text(tag) for tag in self.document().get("tags") or ()]

    def digest(self) -> str:
        """The digest of the manifest that it is about."""
        digest = self._headers["Docker-Content-Digest"]
        if digest is None:
            raise self.unexpected()
        return digest

    def next_page(self) -> str | None:
        """The path of the list's next page."""
        found = _NEXT_PAGE.search(self._headers.get("Link", ""))
        if found is None:
            return None
        parts = urlsplit(found[1])
        return f"{parts.path}?{parts.query}"

    @contextmanager
    def well_formed(self) -> Iterator[None]:
        """What reads the answer's document in here need not look at what it finds."""
        try:
            yield
        except (KeyError, TypeError) as error:
            raise self.unexpected() from error

    def unexpected(self) -> RegistryError:
        """The error of an answer that no registry gives."""
        words = self._body[:_SHOWN_BYTES].decode("utf-8", "replace").strip()
        return _down(self._host, f"answers {self.status}, not as a registry does: {words!r}")


def _size(manifest: dict[str, Any]) -> int:
    sizes = [blob["size"] for blob in (manifest["config"], *manifest["layers"])]
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise TypeError("a size is a whole number")
    return sum(sizes)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("it is text")
    return value


def _manifest_path(repository: str, reference: str) -> str:
    return f"/v2/{repository}/manifests/{quote(reference, safe=':')}"


def _down(host: str, what: str) -> RegistryError:
    return RegistryError(
        f"the registry at {host} {what}",
        "start one there (Debian's `docker-registry`, or `docker run -d -p 127.0.0.1:5000:5000 "
        "registry:2`), or stop the engine and start it with `intermodal up --registry HOST:PORT` "
        "of another",
    )
