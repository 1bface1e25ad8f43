"""What every driver must do, played on a stage that the module's own fixture `stage` gives."""

import signal
from dataclasses import replace

import pytest

from intermodal_engine.drivers.base import InstanceState, StartFailedError
from tests.helpers.driver_stages import Behaviour, Stage, text_of


class DriverConformance:
    """One class of tests for all drivers; a module derives a class that pytest collects."""

    @pytest.mark.parametrize("code", [0, 3, 255])
    def test_the_exit_code_is_the_programs(self, stage: Stage, code: int) -> None:
        spec = stage.spec(1, Behaviour(exit_code=code))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        status = stage.driver.status(instance)
        assert (status.state, status.exit_code, status.signal) == (InstanceState.EXITED, code, None)
        assert status.started_at is not None
        assert status.ended_at is not None
        assert status.started_at <= status.ended_at

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
    def test_a_signal_is_reported_and_makes_the_exit_code(self, stage: Stage, number: int) -> None:
        spec = stage.spec(1, Behaviour(signal=number))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        status = stage.driver.status(instance)
        assert (status.exit_code, status.signal) == (128 + number, number)
        assert not status.out_of_memory

    def test_the_end_is_told_once(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour())
        stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        other = stage.spec(2, Behaviour())
        stage.driver.start(stage.driver.plan(other), stage.ends)
        stage.wait_until_ended(other, within_s=0)
        assert stage.ends.ids == [spec.instance_id, other.instance_id]

    def test_the_log_is_whole_and_in_order(self, stage: Stage) -> None:
        lines = tuple(f"line {number} ünï" for number in range(500))
        spec = stage.spec(1, Behaviour(lines=lines))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        assert stage.driver.logs(instance) == spec.log
        assert text_of(spec.log).splitlines() == [*lines, "ready"]
        stamps = [int(line.split()[0]) for line in spec.log.read_text().splitlines()]
        assert stamps == sorted(stamps)

    def test_a_running_instance_says_so(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour(runs_for_s=None))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ready(spec)
        assert stage.driver.status(instance).state is InstanceState.RUNNING
        stage.driver.stop(instance)
        stage.wait_until_ended(spec, within_s=0)

    def test_a_stop_that_is_obeyed_keeps_the_programs_own_exit_code(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour(runs_for_s=None, exit_code_on_sigterm=5))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ready(spec)
        stage.driver.stop(instance)
        stage.driver.stop(instance)
        stage.wait_until_ended(spec, within_s=0)
        status = stage.driver.status(instance)
        assert (status.exit_code, status.signal) == (5, None)
        stage.driver.stop(instance)

    def test_a_stop_that_is_ignored_kills_after_the_grace(self, stage: Stage) -> None:
        behaviour = Behaviour(runs_for_s=None, ignores_sigterm=True)
        spec = replace(stage.spec(1, behaviour), stop_grace_s=0.25)
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ready(spec)
        stage.driver.stop(instance)
        assert stage.driver.status(instance).state is InstanceState.RUNNING
        stage.wait_until_ended(spec, within_s=0.25)
        status = stage.driver.status(instance)
        assert (status.exit_code, status.signal) == (137, signal.SIGKILL)
        assert not status.max_runtime_exceeded
        assert not status.out_of_memory
        assert status.ended_at is not None
        assert status.started_at is not None
        assert status.ended_at - status.started_at >= 0.25

    def test_the_time_limit_stops_it(self, stage: Stage) -> None:
        spec = replace(stage.spec(1, Behaviour(runs_for_s=None)), max_runtime_s=0.25)
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0.25)
        status = stage.driver.status(instance)
        assert status.max_runtime_exceeded
        assert status.signal == signal.SIGTERM

    def test_an_instance_that_is_taken_away_is_lost(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour(runs_for_s=None))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ready(spec)
        stage.take_away(instance)
        status = stage.driver.status(instance)
        assert status.state is InstanceState.LOST
        assert status.reason
        assert status.exit_code is None

    def test_an_instance_that_is_killed_is_lost_whatever_its_grace(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour(runs_for_s=None, ignores_sigterm=True))
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ready(spec)
        stage.driver.kill(instance)
        stage.ends.wait_for(spec.instance_id)
        status = stage.driver.status(instance)
        assert (status.state, status.exit_code) == (InstanceState.LOST, None)
        assert status.reason
        stage.driver.kill(instance)
        assert stage.ends.ids == [spec.instance_id]

    def test_what_was_never_started_cannot_be_adopted(self, stage: Stage) -> None:
        assert stage.driver.adopt(stage.spec(1, Behaviour()), stage.ends) is None
        assert stage.ends.ids == []

    def test_a_running_instance_is_adopted_and_its_end_is_told(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour(runs_for_s=None, exit_code_on_sigterm=7))
        started = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ready(spec)
        stage.restart()
        adopted = stage.driver.adopt(spec, stage.ends)
        assert adopted == started
        assert stage.driver.status(adopted).state is InstanceState.RUNNING
        stage.driver.stop(adopted)
        stage.wait_until_ended(spec, within_s=0)
        assert stage.driver.status(adopted).exit_code == 7
        assert stage.ends.ids == [spec.instance_id]

    def test_an_ended_instance_is_adopted_and_its_end_is_told(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour(exit_code=4))
        stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        stage.restart()
        adopted = stage.driver.adopt(spec, stage.ends)
        assert adopted is not None
        stage.ends.wait_for(spec.instance_id)
        assert stage.driver.status(adopted).exit_code == 4
        assert stage.driver.logs(adopted) == spec.log

    def test_the_same_instance_is_not_started_twice(self, stage: Stage) -> None:
        spec = stage.spec(1, Behaviour())
        stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        with pytest.raises(StartFailedError, match="started before"):
            stage.driver.start(stage.driver.plan(spec), stage.ends)

    def test_what_a_start_needs_can_be_got_before_it_and_again(self, stage: Stage) -> None:
        spec = stage.unprepared_spec(1)
        assert not stage.driver.plan(spec).is_prepared
        for _ in range(2):
            stage.driver.prepare(stage.driver.plan(spec))
            assert stage.driver.plan(spec).is_prepared
        assert stage.driver.adopt(spec, stage.ends) is None
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        stage.wait_until_ended(spec, within_s=0)
        assert stage.driver.status(instance).exit_code == 0

    def test_a_start_gets_what_nobody_got_before_it(self, stage: Stage) -> None:
        spec = stage.unprepared_spec(1)
        instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
        assert stage.driver.plan(spec).is_prepared
        stage.wait_until_ended(spec, within_s=0)
        assert stage.driver.status(instance).exit_code == 0
