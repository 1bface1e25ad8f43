"""Asynchronous inference as a whole: accepted requests are begun, ended, counted and told of.

The store has each request until it is over, so that the next engine begins again with what was not:
at least once. Who has room is told on the event loop; what touches the store is done in threads.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from intermodal_contract.channel import parse_s3_uri
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.async_inference.backlog import Backlog, Entry, entry_of
from intermodal_engine.lifecycle.async_inference.exchange import (
    InstanceLostError,
    NotNowError,
    perform,
)
from intermodal_engine.lifecycle.async_inference.metrics import AsyncMetrics, Times
from intermodal_engine.lifecycle.async_inference.outcome import Outcome, notification, topic_of
from intermodal_engine.lifecycle.data_log import DataLog
from intermodal_engine.lifecycle.fleet_kind import ENDPOINT
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.router import Router
from intermodal_engine.store.async_requests import AsyncRequest, AsyncRequests
from intermodal_engine.store.objects import ObjectStore, ObjectStoreError
from intermodal_engine.store.records import Records

LOOK_EVERY_S = 1.0
"""How often queues are measured, and searched for what waits for nothing."""

RETRY_S = 1.0
"""How soon a request that could not be done is begun again, if nobody says before that there is
room."""

ATTEMPTS = 3
"""Instances that may die over one request."""

_QUEUE_KIND = "async-inference"
_log = logging.getLogger(__name__)

Publish = Callable[[str, str], str]
"""`(topic ARN, message)`: tells a topic's subscribers, in the transaction that is open."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A request that an instance shall work on."""

    endpoint: str
    entry: Entry
    at: float


class AsyncInference:
    """All asynchronous requests of one engine.

    Args:
        requests: where they are kept.
        records: which endpoints there are.
        router: whose instances work on them.
        objects: where inputs and answers lie.
        metrics: of the queues.
        data_log: what became of each.
        publish: tells a topic.
        queue: keeps the time.
        clock: tells it.
    """

    def __init__(
        self,
        *,
        requests: AsyncRequests,
        records: Records,
        router: Router,
        objects: ObjectStore,
        metrics: AsyncMetrics,
        data_log: DataLog,
        publish: Publish,
        queue: WorkQueue,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._records = records
        self._router = router
        self._objects = objects
        self._metrics = metrics
        self._data_log = data_log
        self._publish = publish
        self._queue = queue
        self._clock = clock
        self._backlog = Backlog()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        queue.register(_QUEUE_KIND, self._look)

    def recover(self) -> None:
        """Queues what an earlier engine had accepted."""
        for request in self._requests.open():
            self._backlog.add(request.endpoint, entry_of(request))
        self._queue.wake(_QUEUE_KIND, "all")

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to work; called on the event loop that the router is bound to."""
        self._loop = loop
        self._router.watch_room(self._begin)

    def accept(self, request: AsyncRequest) -> None:
        """Keeps a request, durably, and queues it. Called from a thread."""
        self._requests.add(request)
        self._backlog.add(request.endpoint, entry_of(request))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin, request.endpoint)

    def close(self) -> None:
        """Lets go of what is under way; the next engine begins it again. On the event loop."""
        self._loop = None
        for task in self._tasks:
            task.cancel()

    # On the event loop

    def _begin(self, endpoint: str) -> None:
        """Begins as many requests as there is room for."""
        while self._loop is not None and self._backlog.has_waiting(endpoint):
            capacity = self._router.asynchronous_capacity(endpoint)
            entry = self._backlog.begin(endpoint, capacity)
            if entry is None:
                return
            begun = _Begun(endpoint, entry, self._clock.now())
            task = self._loop.create_task(self._work(begun))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, begun: _Begun) -> None:
        try:
            is_over = await self._try(begun)
        except Exception:  # noqa: BLE001 - the task's boundary
            # What was accepted is not lost for a defect, or for a disk that is full.
            _log.exception("asynchronous request %s; trying again", begun.entry.request_id)
            is_over = False
        if is_over:
            self._backlog.end(begun.endpoint, begun.entry)
            self._begin(begun.endpoint)
        else:
            self._backlog.put_back(begun.endpoint, begun.entry)
            asyncio.get_running_loop().call_later(RETRY_S, self._begin, begun.endpoint)

    async def _try(self, begun: _Begun) -> bool:
        """Whether the request is over."""
        request = await asyncio.to_thread(self._requests.find, begun.entry.request_id)
        if request is None:
            return True
        try:
            if await asyncio.to_thread(self._since, begun.endpoint) == begun.entry.endpoint_since:
                outcome = await perform(request, self._router, self._objects)
            else:
                outcome = _deserted(begun.endpoint)
        except InstanceLostError as error:
            lost = await asyncio.to_thread(self._requests.count_attempt, request.request_id)
            _log.info("asynchronous request %s: %s", request.request_id, error)
            if lost < ATTEMPTS:
                return False
            outcome = Outcome(
                f"InternalServerError: {lost} instances that worked on it are gone ({error})"
            )
        except NotNowError as error:
            _log.info("asynchronous request %s waits: %s", request.request_id, error)
            return False
        await asyncio.to_thread(self._end, request, outcome, begun.at)
        return True

    # In threads

    def _look(self, _name: str) -> float:
        """Ends what waits for nothing, and measures the queues."""
        now = self._clock.now()
        for endpoint in self._backlog.endpoints():
            self._end_expired(endpoint, now)
            self._end_deserted(endpoint, now)
        for endpoint in self._router.asynchronous_targets():
            capacity = self._router.asynchronous_capacity(endpoint)
            instances = self._router.ready_instances(endpoint)
            oldest = self._backlog.oldest(endpoint)
            self._metrics.measure(endpoint, self._backlog.size(endpoint), instances, oldest)
            if capacity and self._loop is not None:
                self._loop.call_soon_threadsafe(self._begin, endpoint)
        self._metrics.flush()
        return now + LOOK_EVERY_S

    def _end_expired(self, endpoint: str, now: float) -> None:
        for entry in self._backlog.withdraw(endpoint, lambda one: one.expires_at <= now):
            age_s = now - entry.accepted_at
            why = f"ClientError: It waited for {age_s:.0f} s (RequestTTLSeconds) and has expired"
            self._end_waiting(entry, Outcome(why, is_expired=True), now)

    def _end_deserted(self, endpoint: str, now: float) -> None:
        since = self._since(endpoint)
        for entry in self._backlog.withdraw(endpoint, lambda one: one.endpoint_since != since):
            self._end_waiting(entry, _deserted(endpoint), now)

    def _since(self, endpoint: str) -> float | None:
        """When the endpoint was created; None where there is none."""
        record = self._records.find(ENDPOINT.name, endpoint)
        return None if record is None else record.created_at

    def _end_waiting(self, entry: Entry, outcome: Outcome, now: float) -> None:
        request = self._requests.find(entry.request_id)
        if request is not None:
            self._end(request, outcome, now)

    def _end(self, request: AsyncRequest, outcome: Outcome, began: float) -> None:
        """Writes down how a request ended. What is stored comes first: nobody is told too early."""
        if not outcome.has_succeeded:
            self._store_failure(request, outcome)
        now = self._clock.now()
        self._requests.finish(request.request_id, lambda: self._tell(request, outcome, now))
        times = Times(began - request.accepted_at, now - began)
        self._metrics.count(request.endpoint, outcome, times)
        ended = outcome.failure or f"succeeded: {request.places['output']}"
        self._say(
            request, f"{ended} (in the queue {times.waited_s:.3f} s, then {times.took_s:.3f} s)"
        )

    def _store_failure(self, request: AsyncRequest, outcome: Outcome) -> None:
        """What the model said, or else why there is no result."""
        if "failure" not in request.places:
            return
        uri = parse_s3_uri(request.places["failure"])
        said = outcome.failure.encode() if outcome.answer is None else outcome.answer
        try:
            self._objects.put_bytes(uri.bucket, uri.key, said, content_type=outcome.content_type)
        except ObjectStoreError as error:
            self._say(request, f"{uri} is not written: {error}")

    def _tell(self, request: AsyncRequest, outcome: Outcome, now: float) -> None:
        topic = topic_of(request, outcome)
        if topic is None:
            return
        try:
            self._publish(topic, notification(request, outcome, now))
        except LookupError as error:
            self._say(request, f"nobody is told: {error}")

    def _say(self, request: AsyncRequest, message: str) -> None:
        inference = request.parameters["InferenceId"]
        line = f"inference {inference} (request {request.request_id}): {message}"
        self._data_log.say(request.endpoint, request.places["variant"], line)


def _deserted(endpoint: str) -> Outcome:
    return Outcome(
        f"ClientError: Endpoint {endpoint} was deleted before an instance had the request"
    )
