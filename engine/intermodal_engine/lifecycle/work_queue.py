"""A queue of names that need a look, and the threads that look.

Level-triggered, as controllers are: whoever thinks that something may have changed *wakes* a key;
a worker then calls the key's handler, which looks at the record and does whatever is due. One key
never runs twice at once; a key woken while it runs runs once more afterwards; waking is cheap and
harmless. A handler may return the time of its next look.
"""

import heapq
import logging
import threading
from collections import deque
from collections.abc import Callable

from intermodal_engine.clock import Clock

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Kind and name of a record."""

Handler = Callable[[str], float | None]
"""Takes the name; returns when to look again (epoch seconds), or None."""


class WorkQueue:
    """Keys to look at, in the order they were woken.

    Args:
        clock: tells when a timed wake is due.
        retry_s: how soon a handler that raised is called again.
    """

    def __init__(self, clock: Clock, retry_s: float = 1.0) -> None:
        self._clock = clock
        self._retry_s = retry_s
        self._handlers: dict[str, Handler] = {}
        self._ready: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._running: set[Key] = set()
        self._timers: list[tuple[float, Key]] = []  # by the time that nobody sets
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def register(self, kind: str, handler: Handler) -> None:
        """Names the handler of a kind of records."""
        self._handlers[kind] = handler

    def wake(self, kind: str, name: str) -> None:
        """Has the record looked at soon."""
        with self._changed:
            self._enqueue((kind, name))

    def wake_at(self, kind: str, name: str, at: float) -> None:
        """Has the record looked at `at` epoch seconds."""
        with self._changed:
            self._set_timer((kind, name), at)
            self._changed.notify()

    def start(self, threads: int) -> None:
        """Starts the workers."""
        for number in range(threads):
            thread = threading.Thread(target=self._work, name=f"lifecycle-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Lets each worker finish what it does, and no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def run_until_idle(self) -> None:
        """Works in the calling thread until nothing is due: for tests with a fake clock."""
        while True:
            with self._changed:
                self._release_due()
                key = self._take()
            if key is None:
                return
            self._run(key)

    def _work(self) -> None:
        while True:
            with self._changed:
                key = None
                while not self._closed:
                    wait_s = self._release_due()
                    key = self._take()
                    if key is not None:
                        break
                    self._changed.wait(wait_s)
                if key is None:
                    return
            self._run(key)

    def _run(self, key: Key) -> None:
        kind, name = key
        next_look: float | None
        try:
            next_look = self._handlers[kind](name)
        except Exception:
            # The boundary of the lifecycle: a handler's defect must not stop the others.
            logger.exception("looking at %s `%s` failed; trying again", kind, name)
            next_look = self._clock.now() + self._retry_s
        with self._changed:
            self._running.discard(key)
            if next_look is not None:
                self._set_timer(key, next_look)
            self._changed.notify()

    def _set_timer(self, key: Key, at: float) -> None:
        """A clock that is set back meanwhile must hold up nothing."""
        due = self._clock.monotonic() + at - self._clock.now()
        heapq.heappush(self._timers, (due, key))

    def _enqueue(self, key: Key) -> None:
        if key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._changed.notify()

    def _take(self) -> Key | None:
        for _ in range(len(self._ready)):
            key = self._ready.popleft()
            if key in self._running:
                self._ready.append(key)
                continue
            self._queued.discard(key)
            self._running.add(key)
            return key
        return None

    def _release_due(self) -> float | None:
        """Queues what is due; returns the seconds until the next timer."""
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._enqueue(heapq.heappop(self._timers)[1])
        return max(0.0, self._timers[0][0] - now) if self._timers else None
