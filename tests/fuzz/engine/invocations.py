"""Hostile invocations of an endpoint that is in service: they reach the router and an instance.

The engine is one of its own, over HTTP, and the instance really serves.
"""

import http.client
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from intermodal_engine.wire.sigv4 import Credentials
from tests.fuzz.engine.requests import Attack
from tests.fuzz.engine.target import PATIENCE_S, signed
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, create_endpoint, settled_endpoint, store_model

ENDPOINT = "in-service"
ECHO = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body.encode() if isinstance(body, str) else bytes(body)
def predict_fn(body, model): return body
def output_fn(prediction, accept): return prediction
"""
_ALLOWED = (501, 503)
_PROOF = b"still here"


class LiveEndpoint:
    """The endpoint, attacked until it is closed.

    Attributes:
        faults: what went wrong, each once, and the first request that it went wrong with.
        statuses: how often each was answered.
    """

    def __init__(self, engine: RunningEngine) -> None:
        self.faults: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self._engine = engine
        self._keys = Credentials(
            engine.environment["AWS_ACCESS_KEY_ID"], engine.environment["AWS_SECRET_ACCESS_KEY"]
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=PATIENCE_S)

    def attack(self, what: Attack) -> None:
        """Sends one request, and keeps what must not come of it."""
        try:
            status, body = self._send(what)
        except (OSError, http.client.HTTPException) as error:
            self._blame(what, f"no answer: {error!r}")
            return
        self.statuses[status] += 1
        if status >= 500 and status not in _ALLOWED:
            self._blame(what, f"answer {status}: {body[:300]!r}")
        if self._keys.secret_access_key.encode() in body or b"Traceback" in body:
            self._blame(what, f"the answer tells what it must not: {body[:300]!r}")

    def check(self) -> None:
        """The endpoint serves as before, and the engine has nothing to complain of."""
        what = Attack("sagemaker", "POST", f"/endpoints/{ENDPOINT}/invocations", body=_PROOF)
        answer = self._send(what)
        if answer != (200, _PROOF):
            self._blame(what, f"it serves no more: {answer}")
        log = (self._engine.home / "engine.log").read_text(errors="replace")
        lines = [line for line in log.splitlines() if " ERROR " in line]
        self.faults |= dict.fromkeys(lines[:5], "one of these")

    def _blame(self, what: Attack, why: str) -> None:
        self.faults.setdefault(why, f"{what!r:.1500}")

    def _send(self, what: Attack) -> tuple[int, bytes]:
        headers = signed(what, time.time(), self._keys)
        try:
            self._connection.putrequest(
                what.method, what.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in headers.items():
                self._connection.putheader(name, value.encode("latin-1"))
            self._connection.endheaders(what.body)
            reply = self._connection.getresponse()
            return reply.status, reply.read()
        except BaseException:
            self._connection.close()
            raise


@contextmanager
def live_endpoint() -> Iterator[LiveEndpoint]:
    """An engine with an endpoint in service, as long as the block."""
    with running_engine() as engine:
        s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
        s3.create_bucket(Bucket=BUCKET)
        create_endpoint(sagemaker, ENDPOINT, store_model(s3, ENDPOINT, ECHO))
        settled_endpoint(sagemaker, ENDPOINT)
        yield LiveEndpoint(engine)
        sagemaker.delete_endpoint(EndpointName=ENDPOINT)
