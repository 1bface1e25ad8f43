"""A subscriber of SNS's by HTTP: confirms as it is told to, and keeps what it gets."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen

PATIENCE_S = 30.0


class Webhook(ThreadingHTTPServer):
    """Listens on loopback.

    Attributes:
        confirms: whether it fetches the `SubscribeURL` that it gets.
        hang_s: how long it takes for an answer.
        got: the bodies that came.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.confirms = True
        self.hang_s = 0.0
        self.got: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The bodies of a type, once there are so many."""
        deadline = time.monotonic() + PATIENCE_S
        while len(found := [one for one in self.got if one["Type"] == kind]) < count:
            assert time.monotonic() < deadline, self.got
            time.sleep(0.01)
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append(body)
        if body["Type"] == "SubscriptionConfirmation" and self.server.confirms:
            with urlopen(body["SubscribeURL"]) as answer:
                answer.read()
        time.sleep(self.server.hang_s)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def webhook() -> Iterator[Webhook]:
    """One that listens until the end."""
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
