"""Containers and their output outlive engines that die at any moment."""

import json
import shutil
from dataclasses import replace

import pytest

from intermodal_engine.drivers.base import InstanceState, StartFailedError
from intermodal_engine.drivers.choose import make_driver, prune_containers
from tests.helpers.docker_stage import DockerStage, KilledError
from tests.helpers.driver_stages import Behaviour, text_of, wait_for


@pytest.mark.parametrize("moment", ["ensure_network", "create", "created", "start"])
def test_an_engine_that_died_before_the_container_ran_starts_it_anew(
    stage: DockerStage, moment: str
) -> None:
    spec = stage.spec(1, Behaviour(exit_code=4))
    stage.daemon.dies_at = moment
    with pytest.raises(KilledError):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.restart()
    assert stage.driver.adopt(spec, stage.ends) is None
    assert stage.containers() == []
    assert stage.run(spec).exit_code == 4


@pytest.mark.parametrize("behaviour", [Behaviour(exit_code=4), Behaviour(runs_for_s=None)])
def test_an_engine_that_died_after_the_start_leaves_a_container_that_is_found(
    stage: DockerStage, behaviour: Behaviour
) -> None:
    spec = stage.spec(1, behaviour)
    stage.daemon.dies_at = "started"
    with pytest.raises(KilledError):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.restart()
    instance = stage.driver.adopt(spec, stage.ends)
    assert instance is not None
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)
    assert text_of(spec.log) == "ready\n"


def test_what_ended_without_an_engine_is_settled_with_all_its_output(stage: DockerStage) -> None:
    lines = tuple(f"line {number}" for number in range(2000))
    spec = stage.spec(1, Behaviour(lines=lines, runs_for_s=0.5, exit_code=6))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.docker.close()
    wait_for(lambda: not stage.client.containers(filters={"label": stage.label}))
    stage.restart()
    instance = stage.driver.adopt(spec, stage.ends)
    assert instance is not None
    stage.ends.wait_for(spec.instance_id)
    assert stage.driver.status(instance).exit_code == 6
    assert text_of(spec.log).splitlines() == [*lines, "ready"]


def test_no_line_is_lost_or_doubled_over_many_engines(stage: DockerStage) -> None:
    spec = stage.python(
        1,
        "import sys, time\n"
        "for number in range(3000):\n"
        "    print(number, 'x' * (50_000 if number % 100 == 0 else 10), flush=True)\n"
        "    print('err', number, file=sys.stderr, flush=True)\n"
        "    if number % 30 == 0: time.sleep(0.02)\n",
    )
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    for size in (1_000, 200_000, 700_000):
        wait_for(lambda size=size: spec.log.exists() and spec.log.stat().st_size > size)  # type: ignore[misc] # bound now
        stage.restart()
        with spec.log.open("a") as log:
            log.write("1764000000000 intermodal: a note between\n")
        assert stage.driver.adopt(spec, stage.ends) is not None
    stage.ends.wait_for(spec.instance_id)
    lines = [one for one in text_of(spec.log).splitlines() if "a note" not in one]
    out = [line for line in lines if not line.startswith("err")]
    assert out == [
        f"{number} {'x' * (50_000 if number % 100 == 0 else 10)}" for number in range(3000)
    ]
    assert [line for line in lines if line.startswith("err")] == [
        f"err {number}" for number in range(3000)
    ]


def test_output_that_breaks_off_is_taken_up_again(stage: DockerStage) -> None:
    stage.daemon.breaks = 2
    source = "import time\nfor number in range(60): print(number, flush=True); time.sleep(0.05)"
    spec = stage.python(1, source)
    stage.run(spec)
    assert stage.daemon.breaks == 0
    assert text_of(spec.log).splitlines() == [str(number) for number in range(60)]


def test_what_ended_with_its_machine_is_lost(stage: DockerStage) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    stage.docker.close()
    plan = spec.folder / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"boot_id": "an earlier one"}))
    stage.client.stop(stage.containers()[0], timeout=1)
    stage.restart()
    instance = stage.driver.adopt(spec, stage.ends)
    assert instance is not None
    stage.ends.wait_for(spec.instance_id)
    status = stage.driver.status(instance)
    assert (status.state, status.reason) == (
        InstanceState.LOST,
        "the machine was restarted while it ran",
    )


def test_a_time_limit_that_went_by_without_an_engine_counts_at_once(stage: DockerStage) -> None:
    spec = replace(stage.spec(1, Behaviour(runs_for_s=None)), max_runtime_s=1.0)
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    stage.docker.close()
    wait_for(lambda: stage.age_s(spec) > 1.0)
    stage.restart()
    instance = stage.driver.adopt(spec, stage.ends)
    assert instance is not None
    stage.ends.wait_for(spec.instance_id)
    assert stage.driver.status(instance).max_runtime_exceeded


def test_a_container_that_was_removed_without_an_engine_is_lost(stage: DockerStage) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.docker.close()
    (container,) = stage.containers()
    stage.client.remove_container(container, force=True)
    stage.restart()
    instance = stage.driver.adopt(spec, stage.ends)
    assert instance is not None
    stage.ends.wait_for(spec.instance_id)
    assert stage.driver.status(instance).state is InstanceState.LOST


def test_containers_of_removed_folders_end_with_the_next_start(stage: DockerStage) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.docker.close()
    shutil.rmtree(spec.folder)
    stage.restart()
    stage.docker.close()
    assert stage.left() == []
    stage.restart()


def test_pruning_frees_what_no_engine_could(stage: DockerStage) -> None:
    make_driver("docker", stage.driver_folder, now=lambda: 0.0).close()
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.docker.close()
    prune_containers(stage.driver_folder)
    assert len(stage.containers()) == 1
    shutil.rmtree(spec.folder)
    prune_containers(stage.driver_folder)
    assert stage.left() == []
    stage.restart()


def test_addresses_that_are_used_up_are_told_with_what_helps(stage: DockerStage) -> None:
    spec = stage.spec(1, Behaviour())
    stage.daemon.has_addresses = False
    with pytest.raises(StartFailedError, match=r"no addresses left(.|\n)*default-address-pools"):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    assert stage.left() == []
