"""The model's thread and the event loop's, which may be one."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from intermodal_serving.board import Board
from intermodal_serving.invocation import Invocation
from intermodal_serving.runner import Runner


class StandInModel:
    """Sleeps as long as each request says, and remembers where it ran and with how many."""

    def __init__(self, batch_limit: int = 1) -> None:
        self.batch_limit = batch_limit
        self.is_async = False
        self.threads: set[str] = set()
        self.batches: list[int] = []

    def run(self, invocations: Sequence[Invocation], begin: Callable[[], None]) -> None:
        begin()
        self.threads.add(threading.current_thread().name)
        self.batches.append(len(invocations))
        for invocation in invocations:
            if seconds := float(invocation.body):
                time.sleep(seconds)
            invocation.outcome = RuntimeError("done")


class Bench:
    """A runner, fed from its loop until all of its requests are delivered."""

    def __init__(self, model: StandInModel, delay_s: float = 0.0) -> None:
        self.loop = uvloop.new_event_loop()
        self.board = Board(1, 1)
        self.runner = Runner(self.loop, self.board.row(0), delay_s)
        self.model: Any = model
        self.delivered: list[Invocation] = []
        self.loop_threads: set[str] = set()

    def invocation(self, seconds: float) -> Invocation:
        request: Any = SimpleNamespace(body=b"%f" % seconds)
        nothing: Any = None
        return Invocation(self.model, request, nothing, nothing, ("*/*",), self._deliver)

    def _deliver(self, invocation: Invocation) -> None:
        self.loop_threads.add(threading.current_thread().name)
        self.delivered.append(invocation)

    def run(self, feed: Callable[[], Any]) -> None:
        """Runs `feed`, a coroutine function, on the loop, and ends after it."""

        async def main() -> None:
            try:
                await feed()
            finally:
                self.runner.end()

        task = self.loop.create_task(main())
        self.runner.run()
        task.result()
        self.loop.close()

    async def all_delivered(self, count: int) -> None:
        import asyncio

        async with asyncio.timeout(20):
            while len(self.delivered) < count:
                await asyncio.sleep(0.001)


def test_a_fast_model_gets_the_loop_on_its_thread_and_a_slow_one_does_not() -> None:
    for seconds, threads in ((0.0, {"loop", "MainThread"}), (0.003, {"loop"})):
        bench = Bench(StandInModel())

        async def feed(bench: Bench = bench, seconds: float = seconds) -> None:
            for number in range(1, 151):
                bench.runner.submit(bench.invocation(seconds))
                await bench.all_delivered(number)

        bench.run(feed)
        assert bench.loop_threads == threads
        assert bench.model.threads == {"MainThread"}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_while_the_loop_changes_threads_at_random(seed: int) -> None:
    import asyncio

    chance = random.Random(seed)
    bench = Bench(StandInModel())
    called: list[int] = []

    async def feed() -> None:
        sent = 0
        for _ in range(60):
            is_slow = chance.random() < 0.4
            for _ in range(chance.randrange(1, 200 if not is_slow else 12)):
                bench.runner.submit(bench.invocation(0.004 if is_slow else 0.0))
                sent += 1
                if chance.random() < 0.05:
                    await bench.runner.call(lambda: called.append(1))
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
        await bench.all_delivered(sent)

    bench.run(feed)
    assert bench.loop_threads == {"loop", "MainThread"}
    assert bench.model.threads == {"MainThread"}
    assert called


def test_what_waits_while_the_model_works_becomes_one_batch() -> None:
    bench = Bench(StandInModel(batch_limit=8))

    async def feed() -> None:
        bench.runner.submit(bench.invocation(0.05))
        import asyncio

        await asyncio.sleep(0.02)
        for _ in range(10):
            bench.runner.submit(bench.invocation(0.001))
        await bench.all_delivered(11)

    bench.run(feed)
    assert bench.model.batches == [1, 8, 2]


def test_a_delay_waits_for_others_and_no_longer_than_it_says() -> None:
    bench = Bench(StandInModel(batch_limit=4), delay_s=0.2)
    waited: list[float] = []

    async def feed() -> None:
        import asyncio

        for _ in range(4):  # as many as a batch takes: nobody waits
            bench.runner.submit(bench.invocation(0.0))
            await asyncio.sleep(0.01)
        await bench.all_delivered(4)
        started = time.monotonic()
        bench.runner.submit(bench.invocation(0.0))
        await bench.all_delivered(5)
        waited.append(time.monotonic() - started)

    bench.run(feed)
    assert bench.model.batches == [4, 1]
    assert 0.19 <= waited[0] < 2


def test_who_left_before_the_model_began_is_not_run() -> None:
    bench = Bench(StandInModel())

    async def feed() -> None:
        first, second = bench.invocation(0.05), bench.invocation(0.0)
        bench.runner.submit(first)
        bench.runner.submit(second)
        second.abandon()
        await bench.all_delivered(2)

    bench.run(feed)
    assert bench.model.batches == [1]


def test_a_call_gives_its_result_and_raises_what_was_raised() -> None:
    bench = Bench(StandInModel())
    results: list[Any] = []

    async def feed() -> None:
        results.append(await bench.runner.call(lambda: threading.current_thread().name))
        with pytest.raises(ZeroDivisionError):
            await bench.runner.call(lambda: 1 // 0)

    bench.run(feed)
    assert results == ["MainThread"]


def test_a_turn_comes_after_what_is_queued_and_not_at_all_once_it_is_cancelled() -> None:
    bench = Bench(StandInModel(batch_limit=8))
    said: list[Any] = []

    async def feed() -> None:
        bench.runner.submit(bench.invocation(0.05))
        first = bench.runner.in_turn(lambda: said.append(list(bench.model.batches)))
        given_up = bench.runner.in_turn(lambda: said.append("given up"))
        given_up.cancel()
        bench.runner.submit(bench.invocation(0.0))
        await first
        await bench.all_delivered(2)
        for error in (ZeroDivisionError, StopIteration, SystemExit):

            def fail(error: type[BaseException] = error) -> None:
                raise error

            with pytest.raises((ZeroDivisionError, RuntimeError)):
                await bench.runner.in_turn(fail)

    bench.run(feed)
    assert said == [[1]]
    assert bench.model.batches == [1, 1]
    assert bench.model.threads == {"MainThread"}


def test_turns_and_invocations_are_all_done_while_the_loop_changes_threads() -> None:
    import asyncio

    bench = Bench(StandInModel())
    threads: set[str] = set()
    turns = 0

    async def keep_turning() -> None:
        nonlocal turns
        while len(bench.delivered) < 300:
            await bench.runner.in_turn(lambda: threads.add(threading.current_thread().name))
            turns += 1

    async def feed() -> None:
        turning = [asyncio.ensure_future(keep_turning()) for _ in range(2)]
        for number in range(1, 301):
            bench.runner.submit(bench.invocation(0.004 if number % 100 > 95 else 0.0))
            await bench.all_delivered(number)
        await asyncio.gather(*turning)

    bench.run(feed)
    assert threads == {"MainThread"}
    assert bench.loop_threads == {"loop", "MainThread"}
    assert turns >= 100
