"""A registry of images in the test's own process: the part of the distribution API that is asked.

It keeps manifests only. What an image weighs is what its manifest says.
"""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ANY_DIGEST = "sha256:" + "f" * 64
CONFIG = "application/vnd.docker.container.image.v1+json"


@dataclass
class FakeRegistry:
    """What the registry holds and how it behaves; a test may change all of it at any time.

    Attributes:
        url: where it answers.
        manifests: media type and text by digest, for each repository.
        tags: digest by tag, for each repository.
        page_size: tags in a page of a listing.
        can_delete: whether it deletes images.
        can_untag: whether it deletes a tag; docker's does from version 3 on.
        repeats: whether every page of tags says that there is another, itself.
        answer: status, media type and body of every answer, in place of what it would say.
        requests: methods and paths in the order of their coming.
    """

    url: str = ""
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    page_size: int = 1000
    can_delete: bool = True
    can_untag: bool = False
    repeats: bool = False
    answer: tuple[int, str, bytes] | None = None
    requests: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host and port, as in the names of its images."""
        return self.url.partition("://")[2]

    def push(self, repository: str, tag: str | None, *layers: int, config: int = 100) -> str:
        """Puts an image there whose layers have these sizes; returns its digest."""
        document = {
            "mediaType": IMAGE,
            "config": {"mediaType": CONFIG, "size": config},
            "layers": [{"size": size} for size in layers],
        }
        return self.put(repository, tag, IMAGE, document)

    def push_index(self, repository: str, tag: str, *digests: str) -> str:
        """Puts an image of several platforms there; returns its digest."""
        document = {"manifests": [{"digest": digest} for digest in digests]}
        return self.put(repository, tag, INDEX, document)

    def put(self, repository: str, tag: str | None, media_type: str, document: Any) -> str:
        """Puts a manifest there; returns its digest."""
        text = json.dumps(document).encode()
        digest = "sha256:" + hashlib.sha256(text).hexdigest()
        self.manifests.setdefault(repository, {})[digest] = (media_type, text)
        if tag is not None:
            self.tags.setdefault(repository, {})[tag] = digest
        return digest


@contextmanager
def fake_registry(certificate: Path | None = None) -> Iterator[FakeRegistry]:
    """A registry that answers.

    Args:
        certificate: with its key, for TLS; None for plain HTTP.
    """
    registry = FakeRegistry()

    class Handler(_Handler):
        held = registry

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    registry.url = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    held: FakeRegistry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass

    def _serve(self) -> None:
        self.held.requests.append(f"{self.command} {self.path}")
        path, _, query = self.path.partition("?")
        repository, _, rest = path.removeprefix("/v2/").partition("/manifests/")
        if self.held.answer is not None:
            status, media_type, body = self.held.answer
            headers = {"Docker-Content-Digest": ANY_DIGEST, "Content-Type": media_type}
            self._answer(status, body, headers)
        elif rest:
            self._serve_manifest(repository, rest)
        else:
            self._list_tags(repository.removesuffix("/tags/list"), query)

    def _list_tags(self, repository: str, query: str) -> None:
        if repository not in self.held.manifests:
            self._answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
            return
        after = query.partition("last=")[2]
        tags = sorted(tag for tag in self.held.tags.get(repository, {}) if tag > after)
        shown = tags[: self.held.page_size]
        headers = {}
        if self.held.repeats:
            headers["Link"] = f"<{self.path}>; rel=next"
        elif len(tags) > len(shown):
            headers["Link"] = f'</v2/{repository}/tags/list?last={shown[-1]}>; rel="next"'
        self._answer(200, json.dumps({"name": repository, "tags": shown or None}).encode(), headers)

    def _serve_manifest(self, repository: str, reference: str) -> None:
        manifests, tags = (
            self.held.manifests.get(repository, {}),
            self.held.tags.get(repository, {}),
        )
        digest = tags.get(reference, reference)
        if digest not in manifests:
            self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        elif self.command == "DELETE":
            self._delete(repository, reference)
        else:
            media_type, text = manifests[digest]
            headers = {"Docker-Content-Digest": digest, "Content-Type": media_type}
            self._answer(200, text, headers)

    def _delete(self, repository: str, reference: str) -> None:
        tags = self.held.tags.get(repository, {})
        if not self.held.can_delete:
            self._answer(405, b'{"errors":[{"code":"UNSUPPORTED"}]}')
        elif reference not in tags:
            del self.held.manifests[repository][reference]
            self.held.tags[repository] = {t: d for t, d in tags.items() if d != reference}
            self._answer(202, b"")
        elif self.held.can_untag:
            del tags[reference]
            self._answer(202, b"")
        else:
            self._answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
