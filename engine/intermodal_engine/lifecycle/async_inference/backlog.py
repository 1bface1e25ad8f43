"""The queues of all asynchronous endpoints, in memory: who waits, and who is worked on."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from intermodal_engine.store.async_requests import AsyncRequest


@dataclass(frozen=True, slots=True)
class Entry:
    """A request in a queue.

    Attributes:
        request_id: the rest of it lies in the store.
        accepted_at: epoch seconds.
        expires_at: epoch seconds; nobody begins with it after that.
        endpoint_since: epoch seconds at which its endpoint was created.
    """

    request_id: str
    accepted_at: float
    expires_at: float
    endpoint_since: float


def entry_of(request: AsyncRequest) -> Entry:
    """A request's place in the queue."""
    at, places = request.accepted_at, request.places
    return Entry(request.request_id, at, at + float(places["ttl_s"]), places["endpoint_since"])


@dataclass(slots=True)
class _Queue:
    waiting: deque[Entry] = field(default_factory=deque)
    working: dict[str, Entry] = field(default_factory=dict)


class Backlog:
    """Requests by endpoint, first come, first served. Used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, _Queue] = {}

    def endpoints(self) -> list[str]:
        """Those that have any."""
        with self._lock:
            return list(self._queues)

    def has_waiting(self, endpoint: str) -> bool:
        """Whether anybody waits; asked at the end of every request to any endpoint."""
        queue = self._queues.get(endpoint)
        return queue is not None and bool(queue.waiting)

    def add(self, endpoint: str, entry: Entry) -> None:
        """At the end of the queue."""
        with self._lock:
            self._queues.setdefault(endpoint, _Queue()).waiting.append(entry)

    def begin(self, endpoint: str, capacity: int) -> Entry | None:
        """The next one, if fewer than `capacity` are worked on."""
        with self._lock:
            queue = self._queues.get(endpoint)
            if queue is None or not queue.waiting or len(queue.working) >= capacity:
                return None
            entry = queue.waiting.popleft()
            queue.working[entry.request_id] = entry
            return entry

    def put_back(self, endpoint: str, entry: Entry) -> None:
        """One that was begun is the next one again."""
        with self._lock:
            queue = self._queues[endpoint]
            del queue.working[entry.request_id]
            queue.waiting.appendleft(entry)

    def end(self, endpoint: str, entry: Entry) -> None:
        """One that was begun is over."""
        with self._lock:
            queue = self._queues[endpoint]
            del queue.working[entry.request_id]
            self._drop_empty(endpoint)

    def withdraw(self, endpoint: str, is_over: Callable[[Entry], bool]) -> list[Entry]:
        """Takes those out that wait and will not be begun any more."""
        with self._lock:
            queue = self._queues.get(endpoint)
            if queue is None:
                return []
            over = [one for one in queue.waiting if is_over(one)]
            if over:
                queue.waiting = deque(one for one in queue.waiting if not is_over(one))
                self._drop_empty(endpoint)
            return over

    def size(self, endpoint: str) -> int:
        """How many wait or are worked on, as CloudWatch's ApproximateBacklogSize counts."""
        with self._lock:
            queue = self._queues.get(endpoint)
            return len(queue.waiting) + len(queue.working) if queue else 0

    def oldest(self, endpoint: str) -> float | None:
        """Epoch seconds at which the oldest one came; None where there is none."""
        with self._lock:
            queue = self._queues.get(endpoint)
            if queue is None:
                return None
            entries = [*queue.working.values(), *list(queue.waiting)[:1]]
            return min(one.accepted_at for one in entries)

    def _drop_empty(self, endpoint: str) -> None:
        queue = self._queues[endpoint]
        if not queue.waiting and not queue.working:
            del self._queues[endpoint]
