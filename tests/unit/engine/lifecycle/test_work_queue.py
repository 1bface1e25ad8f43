"""The work queue: everything woken is looked at, nothing twice at once."""

import threading

import pytest

from intermodal_engine.clock import FakeClock, SystemClock
from intermodal_engine.lifecycle.work_queue import WorkQueue


def test_keys_are_looked_at_in_the_order_they_were_woken() -> None:
    seen: list[str] = []
    queue = WorkQueue(FakeClock())
    queue.register("job", seen.append)
    for name in ("b", "a", "b"):
        queue.wake("job", name)
    queue.run_until_idle()
    assert seen == ["b", "a"]


def test_a_timed_wake_waits_for_its_time() -> None:
    clock = FakeClock()
    seen: list[str] = []
    queue = WorkQueue(clock)
    queue.register("job", seen.append)
    queue.wake_at("job", "a", clock.now() + 10)
    queue.run_until_idle()
    assert seen == []
    clock.advance(10)
    queue.run_until_idle()
    assert seen == ["a"]


def test_a_handler_says_when_it_wants_to_look_again() -> None:
    clock = FakeClock()
    looks: list[float] = []

    def handle(_: str) -> float | None:
        looks.append(clock.now())
        return clock.now() + 5 if len(looks) == 1 else None

    queue = WorkQueue(clock)
    queue.register("job", handle)
    queue.wake("job", "a")
    queue.run_until_idle()
    clock.advance(5)
    queue.run_until_idle()
    clock.advance(100)
    queue.run_until_idle()
    assert len(looks) == 2


def test_a_handler_that_raises_is_called_again_and_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    seen: list[str] = []

    def handle(name: str) -> None:
        seen.append(name)
        if name == "bad" and seen.count("bad") == 1:
            raise ValueError("broken")

    queue = WorkQueue(clock, retry_s=1.0)
    queue.register("job", handle)
    queue.wake("job", "bad")
    queue.wake("job", "good")
    queue.run_until_idle()
    assert seen == ["bad", "good"]
    assert "broken" in caplog.text
    clock.advance(1)
    queue.run_until_idle()
    assert seen == ["bad", "good", "bad"]


def test_one_key_never_runs_twice_at_once_and_a_wake_meanwhile_is_not_lost() -> None:
    running = 0
    most = 0
    looks = 0
    lock = threading.Lock()
    first_started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def handle(_: str) -> None:
        nonlocal running, most, looks
        with lock:
            running += 1
            most = max(most, running)
            looks += 1
            second = looks == 2
        first_started.set()
        go_on.wait(10)
        with lock:
            running -= 1
        if second:
            done.set()

    queue = WorkQueue(SystemClock())
    queue.register("job", handle)
    queue.start(threads=4)
    queue.wake("job", "a")
    assert first_started.wait(10)
    for _ in range(5):
        queue.wake("job", "a")
    go_on.set()
    assert done.wait(10)
    queue.close()
    assert (most, looks) == (1, 2)


def test_timers_fire_in_threads_and_close_ends_them() -> None:
    fired = threading.Event()
    queue = WorkQueue(SystemClock())
    queue.register("job", lambda _: fired.set())
    queue.start(threads=1)
    queue.wake_at("job", "a", SystemClock().now() + 0.05)
    assert fired.wait(10)
    queue.close()


@pytest.mark.parametrize("seconds", [-3600.0, 86_400.0])
def test_a_clock_that_is_set_holds_up_nothing_and_hurries_nothing(seconds: float) -> None:
    clock = FakeClock()
    looks: list[str] = []
    queue = WorkQueue(clock)
    queue.register("job", looks.append)
    queue.wake_at("job", "a", clock.now() + 10)
    clock.jump(seconds)
    clock.advance(9)
    queue.run_until_idle()
    assert looks == []
    clock.advance(1)
    queue.run_until_idle()
    assert looks == ["a"]
