"""Which thread the model runs on, and which one the event loop.

A model stays on one thread, the main one: it was loaded there, and what libraries keep by thread
(gradient modes, GPU contexts, database handles) stays true. The event loop is what moves:

    while the model is slow    the loop runs on a thread of its own, so `/ping` and new requests
                               are never behind the model
    while the model is fast    the loop runs on the model's thread: a prediction of 50 microseconds
                               costs no hand-over between threads, which would take as long

A model counts as fast once it took less than `FAST_S` on average over `FAST_CALLS` calls or more.
If the average rises above `SLOW_S`, or one call takes longer than `LONG_S`, the loop goes back to
its own thread, and twice as many calls must be fast the next time; after one as long as that it
stays there.
"""

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar

from intermodal_serving.board import Row

logger = logging.getLogger("serve")

FAST_CALLS = 64
FAST_S = 0.0005
SLOW_S = 0.002
LONG_S = 0.1
WEIGHT = 1 / 16
"""Of the newest call in the average: one that the system interrupted does not yet count as slow."""

TURN_S = 0.002
"""So long the model may go on before the loop, on the same thread, looks for new bytes."""

GATHER_SHARE = 0.05
"""Of a batch's time: so long the next one waits for the clients that have just been answered."""

END_GRACE_S = 1.0

T = TypeVar("T")


class Work(Protocol):
    """What can be queued for the model's thread: an invocation, or a `Turn`."""

    model: Any
    """Whose it is: it has `batch_limit` and `run(works, begin)`."""
    submitted_at: float
    queue_s: float

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for it any more."""

    @property
    def deliver(self) -> Callable[[Any], None]:
        """Called on the event loop with itself, once it is done."""


class Runner:
    """Runs invocations, and the event loop beside or between them.

    Args:
        loop: the event loop; nobody else runs it.
        row: says on the board since when the model is busy.
        delay_s: how long the first of a batch waits for others.
        on_hang: called on the loop's thread if the model is still busy `END_GRACE_S` after `end`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        row: Row,
        delay_s: float = 0.0,
        on_hang: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._row = row
        self._delay_s = delay_s
        self._on_hang = on_hang
        self._queue: deque[Work] = deque()
        self._tasks: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._loop_is_ours = False  # whether the loop runs on the model's thread
        self._wants_loop = False  # the model's thread asks for the loop
        self._is_leaving = False  # the model's thread shall give it back
        self._baton = threading.Event()  # set: the loop's own thread runs the loop
        self._given = threading.Event()  # set: the model's thread may run it
        self._is_scheduled = False
        self._is_ended = False
        self._average_s = 0.0
        self._calls = 0  # since the loop last changed its thread
        self._calls_needed = FAST_CALLS
        self._last_batch_s = 0.0
        self._last_batch_size = 0
        self._batch_ended_at = 0.0
        self._enough = 1  # so many must wait before the model's thread is woken
        self._has_ended = threading.Event()

    # On the model's thread.

    def run(self) -> None:
        """Work until `end`; the loop runs beside it."""
        beside = threading.Thread(target=self._run_loop_beside, name="loop", daemon=True)
        beside.start()
        self._baton.set()
        while not self._is_ended:
            self._work()
            if self._wants_loop and not self._is_ended:
                self._run_loop_here()
        self._has_ended.set()
        self._baton.set()
        beside.join()

    # On the loop.

    def submit(self, invocation: Work) -> None:
        """Queue an invocation."""
        if self._loop_is_ours:
            self._queue.append(invocation)
            self._schedule()
            return
        with self._changed:
            self._queue.append(invocation)
            if len(self._queue) >= self._enough:
                self._changed.notify()

    async def call(self, function: Callable[[], T]) -> T:
        """The result of a function that runs on the model's thread."""
        future: asyncio.Future[T] = self._loop.create_future()

        def task() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
                failure = RuntimeError(str(error)) if isinstance(error, StopIteration) else error
                self._loop.call_soon_threadsafe(_fail, future, failure)
            else:
                self._loop.call_soon_threadsafe(_resolve, future, result)

        with self._changed:
            self._tasks.append(task)
            self._changed.notify()
        if self._loop_is_ours:
            self._leave_loop()
        return await future

    def in_turn(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """The result of a function that runs on the model's thread after what is queued already.

        If the future is cancelled before the turn has come, the function is not run.
        """
        turn = _Turn(function, self._loop.create_future())
        self.submit(turn)
        return turn.future

    def wait_for(self, awaitable: Awaitable[Any]) -> Any:
        """From the model's thread: what an awaitable gives on the loop."""

        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def end(self) -> None:
        """Let `run` return; on the loop, as its last deed."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
        self._loop.stop()

    @property
    def waiting(self) -> Sequence[Work]:
        """What is queued and not begun."""
        return self._queue

    # Threads beside each other.

    def _work(self) -> None:
        """Run invocations on this thread until the loop is to be run here, or all ends."""
        while (taken := self._take()) is not None:
            if callable(taken):
                self._row.begin()
                taken()
                self._row.end()
                continue
            self._execute(taken)
            self._loop.call_soon_threadsafe(_deliver, taken)
            is_fast = self._average_s < FAST_S and self._calls >= self._calls_needed
            if is_fast and not self._delay_s:
                self._wants_loop = True

    def _take(self) -> Callable[[], None] | list[Work] | None:
        with self._changed:
            while True:
                if self._is_ended:
                    return None
                if self._tasks:
                    return self._tasks.popleft()
                if self._wants_loop:
                    return None
                if self._queue:
                    break
                self._changed.wait()
            self._gather()
            return self._next_batch()

    def _gather(self) -> None:
        """Wait for more, where that is asked for or pays: held by the condition."""
        limit = self._queue[0].model.batch_limit
        if limit == 1:
            return
        now = monotonic()
        # The clients of the last batch have just been answered, and many ask again at once.
        until = self._batch_ended_at + GATHER_SHARE * self._last_batch_s
        expected = min(limit, max(self._last_batch_size, 2))
        if self._delay_s:
            until, expected = max(until, self._queue[0].submitted_at + self._delay_s), limit
        self._enough = expected
        while len(self._queue) < expected and now < until and not self._is_ended:
            self._changed.wait(until - now)
            now = monotonic()
        self._enough = 1

    def _next_batch(self) -> list[Work]:
        queue = self._queue
        first = queue.popleft()
        taken, limit = [first], first.model.batch_limit
        while len(taken) < limit and queue and queue[0].model is first.model:
            taken.append(queue.popleft())
        return taken

    def _execute(self, taken: list[Work]) -> None:
        row, started = self._row, monotonic()
        wanted = [each for each in taken if not each.is_abandoned]
        if not wanted:
            return
        for invocation in wanted:
            invocation.queue_s = started - invocation.submitted_at
        row.begin()
        wanted[0].model.run(wanted, row.begin)
        row.end()
        ended_at = monotonic()
        took_s = ended_at - started
        if wanted[0].model is not _TURNS:
            self._batch_ended_at, self._last_batch_s = ended_at, took_s
            self._last_batch_size = len(wanted)
            row.batches.observe(len(wanted))
        self._calls += 1
        self._average_s += WEIGHT * (took_s - self._average_s)
        if took_s > LONG_S:
            self._average_s = max(self._average_s, took_s)
            if self._loop_is_ours:
                self._calls_needed = sys.maxsize  # it may do so again, and holds the loop up then

    def _run_loop_beside(self) -> None:
        while True:
            self._baton.wait()
            self._baton.clear()
            # A `stop` may be left over from the other thread's turn: only the flags count.
            while not (self._wants_loop or self._is_ended):
                self._loop.run_forever()
            self._given.set()
            if self._is_ended:
                break
        if not self._has_ended.wait(END_GRACE_S):
            self._on_hang()

    # The loop on the model's thread.

    def _run_loop_here(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._given.wait()
        self._given.clear()
        if not self._is_ended:
            logger.debug("the model is fast: it shares its thread with the event loop")
            self._loop_is_ours = True
            self._wants_loop = self._is_leaving = False
            self._schedule()
            if self._tasks:
                self._leave_loop()
            while not (self._is_leaving or self._is_ended):
                self._loop.run_forever()
            self._loop_is_ours = False
            if not self._is_ended:
                logger.debug("the model is slow: the event loop has its own thread")
                self._baton.set()

    def _leave_loop(self) -> None:
        """Give the loop back to its own thread, after this turn."""
        self._calls = 0
        self._is_leaving = True
        self._loop.stop()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        if not self._loop_is_ours:
            return
        ends_at = monotonic() + TURN_S
        answered: list[Work] = []
        while self._queue and self._average_s <= SLOW_S:
            taken = self._next_batch()
            self._execute(taken)
            answered += taken
            if monotonic() > ends_at:
                break
        # Written together: each system call between two predictions would slow the next one down.
        _deliver(answered)
        if self._average_s > SLOW_S:
            self._calls_needed *= 2
            self._leave_loop()
        elif self._queue:
            self._schedule()


class _Turn:
    """A function that runs on the model's thread once, between invocations."""

    __slots__ = ("_error", "_function", "_result", "future", "model", "queue_s", "submitted_at")

    def __init__(self, function: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        self.model = _TURNS
        self.future = future
        self.submitted_at = monotonic()
        self.queue_s = 0.0
        self._function = function
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def is_abandoned(self) -> bool:
        return self.future.cancelled()

    def run(self) -> None:
        try:
            self._result = self._function()
        except StopIteration as error:  # no future takes it
            self._error = RuntimeError(str(error))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._error = error
        except BaseException as error:  # noqa: BLE001 - sys.exit must not end the loop
            self._error = RuntimeError(repr(error))

    def deliver(self, _: Any) -> None:
        if self._error is not None:
            _fail(self.future, self._error)
        else:
            _resolve(self.future, self._result)


class _Turns:
    """Stands for the model of turns, which never become a batch."""

    batch_limit = 1

    def run(self, turns: Sequence[_Turn], begin: Callable[[], None]) -> None:
        for turn in turns:
            begin()
            turn.run()


_TURNS = _Turns()


def _deliver(invocations: list[Work]) -> None:
    for invocation in invocations:
        try:
            invocation.deliver(invocation)
        except Exception:
            logger.exception("an answer could not be delivered")


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
