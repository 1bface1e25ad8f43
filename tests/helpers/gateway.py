"""A gateway on a real socket whose operations are the test's own, and clients that sign for it."""

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as ClientCredentials

from intermodal_engine.clock import SystemClock
from intermodal_engine.gateway.connection import Bounds
from intermodal_engine.gateway.gateway import Gateway
from intermodal_engine.gateway.origin import Origins
from intermodal_engine.gateway.server import Server, listen
from intermodal_engine.identity import KeyRing
from intermodal_engine.lifecycle.fault_effects import Throttle
from intermodal_engine.services.call import Backends, Operation
from intermodal_engine.services.table import not_implemented
from intermodal_engine.settings import Settings
from intermodal_engine.wire.sigv4 import Credentials

KEYS = Credentials("AKIAEXAMPLE", "secret")
JOB_GATEWAY = "10.66.0.1"
PATIENCE_S = 10.0


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class ServedGateway:
    """A gateway that answers on `port`."""

    def __init__(self, port: int, key_ring: KeyRing, server: Server) -> None:
        self.port = port
        self.key_ring = key_ring
        self._server = server

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def raw(self) -> socket.socket:
        """A bare TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def sign(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        keys: Credentials = KEYS,
    ) -> dict[str, str]:
        """The headers of a signed request, as botocore makes them."""
        request = AWSRequest(
            method, f"http://127.0.0.1:{self.port}{path}", headers=dict(headers or {}), data=body
        )
        credentials = ClientCredentials(
            *(keys.access_key_id, keys.secret_access_key), keys.session_token
        )
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(credentials, service, "us-east-1").add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    def call(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        keys: Credentials = KEYS,
    ) -> Answer:
        """Sends one signed request."""
        return self.send(method, path, body, self.sign(service, method, path, body, headers, keys))

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends one request as it is."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers))
            return read_answer(connection)
        finally:
            connection.close()


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    """The answer to what was sent on a connection."""
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, headers, answer.read())


@contextmanager
def served(
    operations: Mapping[tuple[str, str], Operation],
    settings: Settings,
    bounds: Bounds | None = None,
    **backends: Any,
) -> Iterator[ServedGateway]:
    """Serves operations, by service and operation name, from a thread."""

    def find(service_name: str, operation_name: str) -> Operation:
        try:
            return operations[service_name, operation_name]
        except KeyError:
            raise not_implemented(service_name, operation_name) from None

    key_ring = KeyRing(KEYS)
    parts: dict[str, Any] = dict.fromkeys(Backends.__dataclass_fields__)
    clock = SystemClock()
    usual = {"settings": settings, "clock": clock, "throttle": Throttle(clock.now)}
    parts |= {**usual, **backends}
    origins = Origins()
    origins.allow(JOB_GATEWAY)
    gateway = Gateway(
        *(key_ring, find, Backends(**parts), origins, {"version": "0"}),
        lambda under_way: b"up %d\n" % under_way,
    )
    ready = threading.Event()
    listener = listen(0)
    port = listener.getsockname()[1]
    loops: list[asyncio.AbstractEventLoop] = []

    def on_ready() -> None:
        loops.append(asyncio.get_running_loop())
        if parts["router"] is not None:
            parts["router"].bind(loops[0])
        ready.set()

    server = Server(gateway, on_ready, lambda: None, bounds)

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(sockets=[listener]))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield ServedGateway(port, key_ring, server)
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        gateway.close()
        listener.close()
    assert not thread.is_alive()
