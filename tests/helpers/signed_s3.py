"""A small S3 that checks every signature with botocore's own signer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_ACCESS_KEY = "secret/with+signs"
SESSION_TOKEN = "token=="


@dataclass
class SignedS3:
    """What the server holds, and how it behaves.

    Attributes:
        objects: `bucket/key` -> content.
        url: where it listens.
        failures_left: so many requests are answered with 503 first.
        cuts: how many bytes of a body come, of the first answers, before the connection ends.
        page_size: keys a listing page.
        requests: paths that were asked for.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    failures_left: int = 0
    cuts: list[int] = field(default_factory=list)
    page_size: int = 2
    requests: list[str] = field(default_factory=list)

    def answer(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
        self.requests.append(target)
        if target == "/credentials":
            return 200, (
                f'{{"AccessKeyId": "{ACCESS_KEY_ID}", "SecretAccessKey": "{SECRET_ACCESS_KEY}",'
                f' "Token": "{SESSION_TOKEN}"}}'
            ).encode()
        if self.failures_left:
            self.failures_left -= 1
            return 503, b"<Error><Code>SlowDown</Code><Message>slow</Message></Error>"
        if not self._is_signed(method, target, headers):
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>"
        parts = urlsplit(target)
        name = unquote(parts.path).removeprefix("/")
        if "list-type" in parts.query:
            return 200, self._page(name.rstrip("/"), parse_qs(parts.query))
        if name in self.objects:
            return 200, self.objects[name]
        if name.startswith("forbidden/"):
            return 403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        return (
            404,
            b"<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>",
        )

    def _is_signed(self, method: str, target: str, headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "")
        if not given.startswith("AWS4-HMAC-SHA256 "):
            return False
        fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
        region = fields["Credential"].split("/")[2]
        signed = fields["SignedHeaders"].split(";")
        token = headers.get("x-amz-security-token")
        auth = S3SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, token), "s3", region)
        request: Any = AWSRequest(
            method=method,
            url=f"{self.url}{target}",
            headers={name: headers[name] for name in signed},
        )
        request.context["timestamp"] = headers["x-amz-date"]
        request.context["payload_signing_enabled"] = True
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return bool(auth.signature(text, request) == fields["Signature"])

    def _page(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix = f"{bucket}/{query['prefix'][0]}"
        keys = sorted(name for name in self.objects if name.startswith(prefix))
        first = int(query.get("continuation-token", ["0"])[0])
        page = keys[first : first + self.page_size]
        more = first + self.page_size
        token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more < len(keys) else ""
        contents = "".join(
            f"<Contents><Key>{key.split('/', 1)[1]}</Key></Contents>" for key in page
        )
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{contents}{token}</ListBucketResult>"
        ).encode()


@contextmanager
def serving_s3() -> Iterator[SignedS3]:
    """Runs the server meanwhile."""
    store = SignedS3()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = store.answer("GET", self.path, headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if store.cuts:
                body, self.close_connection = body[: store.cuts.pop(0)], True
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        store.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
