"""The engine in this process: real gateway, services and store; fake driver and clock."""

import asyncio
import hashlib
import logging
import time
import traceback
from collections import Counter
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intermodal_engine.gateway.gateway import Gateway
from intermodal_engine.gateway.origin import Origins
from intermodal_engine.identity import KeyRing
from intermodal_engine.services.table import find_operation
from intermodal_engine.wire.canonical import (
    canonical_head,
    signature,
    signing_key,
    string_to_sign,
)
from intermodal_engine.wire.sigv4 import Credentials
from tests.fuzz.engine.requests import Attack
from tests.helpers.lifecycle import ROLE, World, make_world, training_request

KEYS = Credentials("AKIAFUZZFUZZFUZZFUZZ", "a-secret-that-no-answer-may-hold")
REGION = "us-east-1"
PATIENCE_S = 10.0
"""What takes longer counts as a hang; the slowest honest answers take a tenth of a second."""

SETTLE_EVERY = 25
_HANG_S = 60.0


class Complaints(logging.Handler):
    """Keeps what the engine logs as its own failures."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record with the end of its traceback."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            # The end tells one fault from another; the request's id would make all of them differ.
            text = "".join(traceback.format_exception(record.exc_info[1])[-4:])
        self.lines.append(text)


class Target:
    """One engine, attacked until it is closed.

    Args:
        home: the engine's.
        loop: where the gateway runs.
    """

    def __init__(self, home: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.faults: dict[str, str] = {}
        """What went wrong, each once, and the first request that it went wrong with."""
        self.statuses: Counter[int] = Counter()
        self.inputs = 0
        self.slowest_s = 0.0
        self.world = make_world(home)
        self._loop = loop
        self._complaints = Complaints()
        logging.getLogger("intermodal_engine").addHandler(self._complaints)
        self._gateway = Gateway(
            KeyRing(KEYS),
            find_operation,
            self.world.backends,
            Origins(),
            {},
            lambda _under_way: b"",
        )
        _furnish(self.world)

    def attack(self, what: Attack) -> None:
        """Sends one request, and keeps what must not come of it."""
        self.inputs += 1
        began = time.monotonic()
        try:
            answer = self._loop.run_until_complete(asyncio.wait_for(self._send(what), _HANG_S))
        except TimeoutError:
            self._blame(what, "no answer")
            return
        took_s = time.monotonic() - began
        self.slowest_s = max(self.slowest_s, took_s)
        self._judge(what, *answer, took_s)
        if self.inputs % SETTLE_EVERY == 0:
            self.world.advance(1.0)
        if self._complaints.lines:
            self._blame(what, self._complaints.lines[0])
            self._complaints.lines.clear()

    def close(self) -> None:
        """Ends the engine."""
        logging.getLogger("intermodal_engine").removeHandler(self._complaints)
        self._gateway.close()
        self.world.queue.close()
        self.world.backends.objects.close()

    def _judge(self, what: Attack, status: int, body: bytes, took_s: float) -> None:
        self.statuses[status] += 1
        if status >= 500 and status not in (501, 503) and not self._complaints.lines:
            self._blame(what, f"answer {status}: {body[:300]!r}")
        if KEYS.secret_access_key.encode() in body or b"Traceback" in body:
            self._blame(what, f"the answer tells what it must not: {body[:300]!r}")
        if took_s > PATIENCE_S:
            self._blame(what, f"the answer took {took_s:.1f} s")

    def _blame(self, what: Attack, why: str) -> None:
        self.faults.setdefault(why, f"{what!r:.1500}")

    async def _send(self, what: Attack) -> tuple[int, bytes]:
        headers = signed(what, self.world.clock.now())
        sent: list[MutableMapping[str, Any]] = []
        waiting = [{"type": "http.request", "body": what.body, "more_body": False}]

        async def receive() -> MutableMapping[str, Any]:
            if waiting:
                return waiting.pop()
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": what.method,
            "raw_path": what.path.encode("latin-1", "replace"),
            "query_string": what.query.encode("latin-1", "replace"),
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
        }
        await self._gateway(scope, receive, send)
        status = next((one["status"] for one in sent if "status" in one), 599)
        return status, b"".join(one.get("body", b"") for one in sent)


def signed(what: Attack, now: float, keys: Credentials = KEYS) -> dict[str, str]:
    """The headers of a request with its signature."""
    amz_date = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
    digest = hashlib.sha256(what.body).hexdigest()
    headers = {
        **what.headers,
        "host": "127.0.0.1",
        "content-length": str(len(what.body)),
        "x-amz-date": amz_date,
        "x-amz-content-sha256": digest,
    }
    names = sorted(headers)
    is_s3 = what.signing_name == "s3"
    head = canonical_head(what.method, what.path, what.query, headers, names, is_s3=is_s3)
    scope = f"{amz_date[:8]}/{REGION}/{what.signing_name}/aws4_request"
    key = signing_key(keys.secret_access_key, amz_date[:8], REGION, what.signing_name)
    claimed = signature(key, string_to_sign(amz_date, scope, head + digest))
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={claimed}"
    )
    return headers


def _furnish(world: World) -> None:
    """What requests can name: objects, a job, a model, an endpoint."""
    objects = world.backends.objects
    for bucket in ("data", "results"):
        objects.create_bucket(bucket)
    for key in ("train/one", "a", "a/b", "model.tar.gz"):
        objects.put_bytes("data", key, b"some bytes")
    world.call("CreateTrainingJob", **training_request())
    world.call(
        "CreateModel",
        ModelName="model-1",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "img:1"},
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model-1",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    world.call("CreateEndpointConfig", EndpointConfigName="config-1", ProductionVariants=[variant])
    world.call("CreateEndpoint", EndpointName="endpoint-1", EndpointConfigName="config-1")
    world.call("CreateModelPackageGroup", ModelPackageGroupName="group-1")
    world.settle()
