"""What the fake driver can be told beyond what every driver does."""

import time
from pathlib import Path

import pytest

from intermodal_engine.clock import FakeClock
from intermodal_engine.drivers.base import InstanceState, PlanRefusedError, StartFailedError
from intermodal_engine.drivers.fake import FakeDriver, Outcome
from tests.helpers.driver_stages import Ends, make_spec

ends: list[str] = []


@pytest.fixture(autouse=True)
def _no_ends() -> None:
    ends.clear()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def driver(clock: FakeClock) -> FakeDriver:
    return FakeDriver(clock.now)


def test_nothing_ends_before_its_time(driver: FakeDriver, clock: FakeClock, tmp_path: Path) -> None:
    driver.script("*", Outcome(exit_code=2, after_s=60, files={"output/failure": "no data"}))
    spec = make_spec(tmp_path, 1, ("train",))
    instance = driver.start(driver.plan(spec), ends.append)
    assert driver.next_turn_at() == clock.now() + 60
    clock.advance(59)
    assert driver.turn() == 0
    assert driver.status(instance).state is InstanceState.RUNNING
    assert not (spec.ml / "output/failure").exists()
    clock.advance(1)
    assert driver.turn() == 1
    assert driver.status(instance).exit_code == 2
    assert (spec.ml / "output/failure").read_text() == "no data"
    assert driver.next_turn_at() is None


def test_ends_come_in_the_order_of_their_times(
    driver: FakeDriver, clock: FakeClock, tmp_path: Path
) -> None:
    for number, after_s in enumerate((30, 10, 20), 1):
        driver.script(f"*/algo-{number}/*", Outcome(after_s=after_s))
        driver.start(driver.plan(make_spec(tmp_path, number, ("train",))), ends.append)
    clock.advance(100)
    assert driver.turn() == 3
    assert [instance_id.split("/")[2] for instance_id in ends] == ["algo-2", "algo-3", "algo-1"]


def test_several_outcomes_are_played_one_after_the_other(
    driver: FakeDriver, tmp_path: Path
) -> None:
    driver.script("*", Outcome(exit_code=1), Outcome(exit_code=2))
    codes = []
    for number in range(3):
        spec = make_spec(tmp_path, number, ("train",))
        instance = driver.start(driver.plan(spec), ends.append)
        driver.turn()
        codes.append(driver.status(instance).exit_code)
    assert codes == [1, 2, 2]


def test_a_refused_plan_and_a_failed_start_say_so(driver: FakeDriver, tmp_path: Path) -> None:
    driver.script("*/algo-1/*", Outcome(refusal="no such image"))
    driver.script("*/algo-2/*", Outcome(failure="no memory"))
    with pytest.raises(PlanRefusedError, match="no such image"):
        driver.plan(make_spec(tmp_path, 1, ("train",)))
    plan = driver.plan(make_spec(tmp_path, 2, ("train",)))
    with pytest.raises(StartFailedError, match="no memory"):
        driver.start(plan, ends.append)
    assert driver.started == []


def test_the_log_grows_with_the_clock(driver: FakeDriver, clock: FakeClock, tmp_path: Path) -> None:
    driver.script("*", Outcome(after_s=None, log=((0, "epoch 1"), (5, "epoch 2"), (9, "epoch 3"))))
    spec = make_spec(tmp_path, 1, ("train",))
    driver.start(driver.plan(spec), ends.append)
    start_ms = int(clock.now() * 1000)
    clock.advance(6)
    driver.turn()
    driver.turn()
    assert spec.log.read_text() == f"{start_ms} epoch 1\n{start_ms + 5000} epoch 2\n"


def test_the_out_of_memory_killer_can_be_played(driver: FakeDriver, tmp_path: Path) -> None:
    driver.script("*", Outcome(out_of_memory=True))
    spec = make_spec(tmp_path, 1, ("train",))
    instance = driver.start(driver.plan(spec), ends.append)
    driver.turn()
    status = driver.status(instance)
    assert (status.out_of_memory, status.exit_code, status.signal) == (True, 137, 9)


def test_an_end_that_nobody_watched_is_told_after_the_adoption(
    driver: FakeDriver, clock: FakeClock, tmp_path: Path
) -> None:
    driver.script("*", Outcome(exit_code=3, after_s=10, log=((0, "a"), (8, "b"))))
    spec = make_spec(tmp_path, 1, ("train",))
    driver.start(driver.plan(spec), ends.append)
    driver.close()
    clock.advance(60)
    another = FakeDriver(clock.now)
    instance = another.adopt(spec, ends.append)
    assert instance is not None
    another.turn()
    assert ends == [spec.instance_id]
    status = another.status(instance)
    assert status.exit_code == 3
    assert status.ended_at == clock.now() - 50
    assert [line.split()[1] for line in spec.log.read_text().splitlines()] == ["a", "b"]


def test_on_a_clock_that_goes_on_by_itself_it_turns_by_itself(tmp_path: Path) -> None:
    driver = FakeDriver(time.time, turns_by_itself=True)
    driver.script("*/algo-1/*", Outcome(exit_code=2, after_s=0.05, log=((0.01, "hello"),)))
    driver.script("*/algo-2/*", Outcome(after_s=None))
    collected = Ends()
    first, second = (make_spec(tmp_path, number, ("train",)) for number in (1, 2))
    instances = [driver.start(driver.plan(spec), collected) for spec in (first, second)]
    collected.wait_for(first.instance_id)
    assert first.log.read_text().endswith(" hello\n")
    driver.stop(instances[1])
    collected.wait_for(second.instance_id)
    driver.close()
