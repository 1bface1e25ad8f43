"""Clients as they ought to be: each does one thing after the other, and looks at the answers."""

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.load.stage import BUCKET, ENDPOINT, GROUP, MODELS, SHARED_KEY, WEIGHTS, Stage
from tests.load.wire import Body, Caller, CallFailedError, ThrottledError

KIB, MIB = 1 << 10, 1 << 20
PART_BYTES = 5 * MIB
THINK_S = 0.5
"""Mean pause of a client between two things."""

_KEYS = 3
_EVENTS = 5
_EVENTS_LIMIT = 200
"""A client's log stream begins anew after so many, or reading it would take ever longer."""

_SIZES = {
    KIB: 20, 4 * KIB: 25, 16 * KIB: 25, 64 * KIB: 15, 256 * KIB: 8, MIB: 5, 8 * MIB: 2,
}  # fmt: skip
"""Bytes of an upload, and how often one has so many."""


@dataclass(slots=True)
class Findings:
    """What the clients of one phase have seen.

    Attributes:
        took_s: seconds of each call, by kind.
        failures: what must not be, and how often.
        throttled: answers that said: later.
        sent_bytes: in uploads.
        received_bytes: in objects.
    """

    took_s: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class Bodies:
    """What is uploaded; the same few for all clients, so that comparing costs no memory."""

    def __init__(self, seed: int) -> None:
        choices = random.Random(seed)
        self._weights = list(_SIZES.values())
        self._all = [Body.of(choices.randbytes(size - 7)) for size in _SIZES]
        self.parts = [Body.of(choices.randbytes(size)) for size in (PART_BYTES, 700 * KIB)]
        self.in_parts = Body.of(b"".join(part.data for part in self.parts))

    def choose(self, choices: random.Random) -> Body:
        """One of them."""
        return choices.choices(self._all, self._weights)[0]


class Client:
    """One client, on one connection.

    Args:
        number: which; its objects and its log are its own.
        stage: what there is.
        bodies: to upload.
        seed: of its choices.
    """

    def __init__(self, number: int, stage: Stage, bodies: Bodies, seed: int) -> None:
        self.findings = Findings()
        self._name = f"c{number:04}"
        self._stage = stage
        self._bodies = bodies
        self._random = random.Random(f"{seed}/{number}")
        self._caller = Caller(stage.signer)
        self._objects: dict[str, Body] = {}
        self._messages: list[str] = []
        self._has_stream = False
        self._count = 0
        self._steps: dict[Callable[[], Awaitable[None]], int] = {
            self._invoke: 30,
            self._describe: 10,
            self._list: 10,
            self._put_events: 8,
            self._get_events: 7,
            self._filter_events: 5,
            self._put: 10,
            self._get: 11,
            self._get_range: 4,
            self._list_objects: 2,
            self._delete: 2,
            self._put_parts: 1,
        }

    async def work(self, ended: asyncio.Event, think_s: float = THINK_S) -> None:
        """Does one thing after the other until the end.

        Args:
            ended: set at the end.
            think_s: mean pause.
        """
        steps, weights = list(self._steps), list(self._steps.values())
        while not ended.is_set():
            try:
                async with asyncio.timeout(self._random.expovariate(1 / think_s)):
                    await ended.wait()
            except TimeoutError:
                await self._step(self._random.choices(steps, weights)[0])
        self._caller.close()

    async def _step(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ThrottledError:
            self.findings.throttled += 1
        except CallFailedError as error:
            self.findings.failures[f"{step.__name__[1:]}: {error}"] += 1

    @asynccontextmanager
    async def _timed(self, kind: str) -> AsyncIterator[None]:
        """Notes how long a call takes that succeeds."""
        began = time.perf_counter()
        yield
        self.findings.took_s[kind].append(time.perf_counter() - began)

    # Invocations.

    async def _invoke(self) -> None:
        text = f"{self._name} {self._random.random()}"
        headers = {"Content-Type": "text/plain"}
        path = f"/endpoints/{ENDPOINT}/invocations"
        async with self._timed("InvokeEndpoint"):
            answer = await self._caller.send(
                "sagemaker", "POST", path, Body.of(text.encode()), headers
            )
        _expect(answer.body.decode(), f"{text} {WEIGHTS}")

    # Describes.

    async def _describe(self) -> None:
        async with self._timed("DescribeEndpoint"):
            found = await self._caller.json("sagemaker", "DescribeEndpoint", EndpointName=ENDPOINT)
        _expect(found["EndpointStatus"], "InService")
        model = self._random.choice(MODELS)
        async with self._timed("DescribeModel"):
            found = await self._caller.json("sagemaker", "DescribeModel", ModelName=model)
        _expect(found["ModelName"], model)

    async def _list(self) -> None:
        async with self._timed("ListModels"):
            found = await self._caller.json("sagemaker", "ListModels", MaxResults=100)
        _expect(sorted(one["ModelName"] for one in found["Models"]), sorted([ENDPOINT, *MODELS]))
        async with self._timed("ListEndpoints"):
            found = await self._caller.json("sagemaker", "ListEndpoints")
        _expect([one["EndpointName"] for one in found["Endpoints"]], [ENDPOINT])

    # Logs.

    async def _put_events(self) -> None:
        place = {"logGroupName": GROUP, "logStreamName": self._name}
        if self._has_stream and len(self._messages) >= _EVENTS_LIMIT:
            async with self._timed("DeleteLogStream"):
                await self._caller.json("logs", "DeleteLogStream", **place)
            self._has_stream, self._messages = False, []
        if not self._has_stream:
            async with self._timed("CreateLogStream"):
                await self._caller.json("logs", "CreateLogStream", **place)
            self._has_stream = True
        messages = [f"{self._next()} {self._random.random()}" for _ in range(_EVENTS)]
        now_ms = int(time.time() * 1000)
        events = [{"timestamp": now_ms, "message": one} for one in messages]
        async with self._timed("PutLogEvents"):
            await self._caller.json("logs", "PutLogEvents", **place, logEvents=events)
        self._messages += messages

    async def _get_events(self) -> None:
        if not self._has_stream:
            await self._put_events()
        place = {"logGroupName": GROUP, "logStreamName": self._name}
        async with self._timed("GetLogEvents"):
            found = await self._caller.json("logs", "GetLogEvents", **place, startFromHead=True)
        _expect([one["message"] for one in found["events"]], self._messages)

    async def _filter_events(self) -> None:
        if not self._messages:
            await self._put_events()
        wanted = self._random.choice(self._messages)
        place: dict[str, Any] = {
            "logGroupName": GROUP,
            "logStreamNamePrefix": self._name[:-1],  # ten clients'
            "filterPattern": f'"{wanted}"',
        }
        found: list[str] = []
        page: dict[str, Any] = {}
        while not page or "nextToken" in page:
            token = {"nextToken": page["nextToken"]} if page else {}
            async with self._timed("FilterLogEvents"):
                page = await self._caller.json("logs", "FilterLogEvents", **place, **token)
            found += [one["message"] for one in page["events"]]
        _expect(found, [wanted])

    # Objects.

    async def _put(self) -> None:
        key, body = self._any_key(), self._bodies.choose(self._random)
        async with self._timed(f"PutObject {_class_of(body)}"):
            await self._caller.send("s3", "PUT", f"/{BUCKET}/{key}", body)
        self._objects[key] = body
        self.findings.sent_bytes += len(body.data)

    async def _put_parts(self) -> None:
        key = self._any_key()
        path = f"/{BUCKET}/{key}"
        async with self._timed("CreateMultipartUpload"):
            answer = await self._caller.send("s3", "POST", f"{path}?uploads=")
        upload = quote(_first(rb"<UploadId>([^<]+)<", answer.body), safe="")
        document = "<CompleteMultipartUpload>"
        for number, part in enumerate(self._bodies.parts, start=1):
            query = f"?partNumber={number}&uploadId={upload}"
            async with self._timed(f"UploadPart {_class_of(part)}"):
                answer = await self._caller.send("s3", "PUT", path + query, part)
            self.findings.sent_bytes += len(part.data)
            document += f"<Part><PartNumber>{number}</PartNumber>"
            document += f"<ETag>{answer.headers['etag']}</ETag></Part>"
        whole = Body.of(f"{document}</CompleteMultipartUpload>".encode())
        async with self._timed("CompleteMultipartUpload"):
            answer = await self._caller.send("s3", "POST", f"{path}?uploadId={upload}", whole)
        _first(rb"<ETag>([^<]+)<", answer.body)  # an error may come behind a 200
        self._objects[key] = self._bodies.in_parts

    async def _get(self) -> None:
        key, body = self._known_object()
        async with self._timed(f"GetObject {_class_of(body)}"):
            answer = await self._caller.send("s3", "GET", f"/{BUCKET}/{key}")
        self.findings.received_bytes += len(answer.body)
        _expect(answer.body, body.data)

    async def _get_range(self) -> None:
        key, body = self._known_object()
        begin = self._random.randrange(len(body.data))
        end = min(len(body.data), begin + self._random.randrange(1, 64 * KIB))
        headers = {"Range": f"bytes={begin}-{end - 1}"}
        async with self._timed("GetObject, a range"):
            answer = await self._caller.send("s3", "GET", f"/{BUCKET}/{key}", headers=headers)
        self.findings.received_bytes += len(answer.body)
        _expect(answer.body, body.data[begin:end])

    async def _list_objects(self) -> None:
        query = f"list-type=2&prefix={self._name}%2F"
        async with self._timed("ListObjectsV2"):
            answer = await self._caller.send("s3", "GET", f"/{BUCKET}?{query}")
        found = re.findall(rb"<Key>([^<]+)</Key>", answer.body)
        _expect(sorted(key.decode() for key in found), sorted(self._objects))

    async def _delete(self) -> None:
        key = self._any_key()
        async with self._timed("DeleteObject"):
            await self._caller.send("s3", "DELETE", f"/{BUCKET}/{key}")
        self._objects.pop(key, None)

    def _any_key(self) -> str:
        return f"{self._name}/{self._random.randrange(_KEYS)}"

    def _known_object(self) -> tuple[str, Body]:
        if not self._objects:
            return SHARED_KEY, self._stage.shared
        return self._random.choice(list(self._objects.items()))

    def _next(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}."


def _class_of(body: Body) -> str:
    """Calls whose bodies are of about one size take about one time."""
    size = len(body.data)
    return "to 64 KiB" if size <= 64 * KIB else "to 1 MiB" if size <= MIB else "to 8 MiB"


def _first(pattern: bytes, text: bytes) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise CallFailedError(f"an answer without {pattern!r}: {text[:300]!r}")
    return found[1].decode()


def _expect(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise CallFailedError(f"answered {str(found)[:200]} instead of {str(wanted)[:200]}")
