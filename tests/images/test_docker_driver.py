"""What only containers do: images, limits, networks, mounts, users."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from intermodal_engine.drivers.base import (
    CannotExecuteError,
    InstanceState,
    Mount,
    MountMode,
    PlanRefusedError,
    StartFailedError,
)
from intermodal_engine.drivers.choose import make_driver
from intermodal_engine.drivers.records import InstanceFolder
from tests.helpers.docker_image import derive
from tests.helpers.docker_stage import ABSENT, DockerStage
from tests.helpers.driver_stages import Behaviour, text_of, with_mounts
from tests.helpers.foreign_image import load_foreign_image

TIMED_OUT = "None\n"
"""What a socket's own timeout says of itself."""
FOREIGN = "intermodal-test/foreign:1"
OWN_USER = "intermodal-test/own-user:1"


@pytest.fixture
def foreign_image(stage: DockerStage) -> Iterator[str]:
    is_arm = os.uname().machine in ("aarch64", "arm64")
    load_foreign_image(stage.client, FOREIGN, "amd64" if is_arm else "arm64")
    yield FOREIGN
    stage.client.remove_image(FOREIGN)


@pytest.fixture
def image_with_a_user(stage: DockerStage) -> Iterator[str]:
    yield derive(stage.client, OWN_USER, "USER worker")
    stage.client.remove_image(OWN_USER, force=True)


def test_hosts_of_a_job_reach_each_other_by_name(stage: DockerStage) -> None:
    source = (
        "import socket, time\n"
        "with socket.create_server(('', 7777)) as server:\n"
        "    while True:\n"
        "        try: socket.create_connection(('{other}', 7777), 5).close(); break\n"
        "        except OSError: time.sleep(0.05)\n"
        "    server.accept()\n"
        "    print(socket.gethostname(), 'met {other}')\n"
    )
    hosts = ("algo-1", "algo-2")
    specs = [
        replace(
            stage.python(number, source.format(other=hosts[number % 2])),
            host=hosts[number - 1],
            hosts=hosts,
            network="training-job/demo",
        )
        for number in (1, 2)
    ]
    for spec in specs:
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    for spec in specs:
        stage.ends.wait_for(spec.instance_id)
    assert [text_of(spec.log) for spec in specs] == [
        "algo-1 met algo-2\n",
        "algo-2 met algo-1\n",
    ]


def test_without_a_way_out_only_the_own_network_is_reached(stage: DockerStage) -> None:
    gateway = stage.driver.gateway_host("any")
    spec = stage.python(
        1,
        "import socket\n"
        "try: socket.create_connection(('GATEWAY', 9), 2)\n"
        "except OSError as error: print(error.strerror)\n".replace("GATEWAY", gateway),
    )
    stage.run(replace(spec, outbound=False))
    assert text_of(spec.log) in ("No route to host\n", "Network is unreachable\n", TIMED_OUT)
    other = stage.python(
        2, "import socket; socket.create_connection(('GATEWAY', 9), 2)".replace("GATEWAY", gateway)
    )
    stage.run(other)
    assert "Connection refused" in text_of(other.log)


@pytest.mark.parametrize("outbound", [True, False])
def test_a_port_is_reached_from_this_machine(stage: DockerStage, outbound: bool) -> None:
    if stage.daemon.machine.is_podman and not outbound:
        pytest.skip("podman gives this machine no route to networks without a way out")
    spec = stage.command(1, "python3", "-m", "http.server", "8080", "--directory", "/opt/ml")
    spec.ml.mkdir()
    (spec.ml / "ping").write_text("healthy")
    spec = replace(spec, ports=(8080,), outbound=outbound)
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    host, port = instance.addresses[8080]
    stage.wait_until_reached(host, port)
    with urllib.request.urlopen(f"http://{host}:{port}/ping", timeout=5) as answer:
        assert answer.read() == b"healthy"
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)


def test_a_program_that_handles_no_signal_is_stopped_at_once(stage: DockerStage) -> None:
    spec = stage.command(1, "sh", "-c", "echo ready; while :; do sleep 0.1; done")
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)
    status = stage.driver.status(instance)
    assert (status.exit_code, status.signal) == (143, signal.SIGTERM)


def test_out_of_memory_is_told_apart(stage: DockerStage) -> None:
    if stage.daemon.machine.is_podman:
        pytest.skip("podman 4.3 does not tell, with version 1 of cgroups")
    spec = stage.python(1, "print(len(bytearray(1 << 30)))")
    status = stage.run(replace(spec, memory_bytes=64 << 20))
    assert (status.exit_code, status.out_of_memory) == (137, True)


def test_an_image_for_another_processor_is_refused(stage: DockerStage, foreign_image: str) -> None:
    with pytest.raises(PlanRefusedError, match=r"is made for \w+, and this machine is \w+"):
        stage.driver.plan(replace(stage.python(1, ""), image=foreign_image))


def test_an_image_that_is_nowhere_fails_with_the_registrys_words(
    stage: DockerStage, tmp_path: Path
) -> None:
    spec = replace(stage.python(1, ""), image="127.0.0.1:9/no/such:1")
    driver = make_driver("docker", tmp_path / "other", now=lambda: 0.0)
    plan = driver.plan(spec)
    assert not plan.is_prepared
    with pytest.raises(StartFailedError, match=r"such:1` cannot be pulled: .*refused(.|\n)*hint: "):
        driver.prepare(plan)
    driver.close()


def test_a_pull_is_told_in_the_log_and_done_once(stage: DockerStage) -> None:
    spec = stage.unprepared_spec(1)
    stage.driver.prepare(stage.driver.plan(spec))
    stage.driver.prepare(stage.driver.plan(spec))
    assert stage.daemon.pulled == [ABSENT]
    assert text_of(spec.log).splitlines() == [
        f"intermodal: pulling `{ABSENT}`",
        f"intermodal: pulled `{ABSENT}` in 0 s",
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "cannot execute `train` in the image (.|\n)*pip install intermodal-training"),
        ("/opt/ml/code/run.sh", "cannot execute `/opt/ml/code/run.sh` (.|\n)*by its whole path"),
    ],
)
def test_a_program_that_is_not_there_fails_the_start_and_leaves_nothing(
    stage: DockerStage, command: str, words: str
) -> None:
    spec = replace(stage.python(1, ""), entrypoint=(), command=(command,))
    with pytest.raises(CannotExecuteError, match=words):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    assert stage.ends.ids == []


def test_a_mount_whose_source_is_gone_fails_the_start_and_leaves_nothing(
    stage: DockerStage, tmp_path: Path
) -> None:
    spec = with_mounts(stage.python(1, ""), Mount(tmp_path / "no", "/x", MountMode.READ_ONLY))
    with pytest.raises(StartFailedError, match="/no"):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    assert stage.left() == []
    assert stage.driver.adopt(spec, stage.ends) is None


def test_what_is_written_over_a_view_never_reaches_its_source(
    stage: DockerStage, tmp_path: Path
) -> None:
    (source := tmp_path / "bucket").mkdir()
    (source / "data.csv").write_text("1")
    spec = stage.python(
        1,
        "import os; os.chdir('/opt/ml/input/data/train')\n"
        "print(open('data.csv').read()); open('data.csv', 'w').write('2')\n"
        "open('new', 'w').close(); print(sorted(os.listdir()))\n",
    )
    status = stage.run(with_mounts(spec, Mount(source, "/opt/ml/input/data/train", MountMode.VIEW)))
    assert status.exit_code == 0
    assert text_of(spec.log) == "1\n['data.csv', 'new']\n"
    assert [(path.name, path.read_text()) for path in source.iterdir()] == [("data.csv", "1")]


def test_a_view_of_a_path_that_no_option_can_hold_is_read_only(
    stage: DockerStage, tmp_path: Path
) -> None:
    if stage.daemon.machine.is_podman:
        pytest.skip("podman binds no such path either")
    (source := tmp_path / "a,b:c").mkdir()
    (source / "data.csv").write_text("1")
    spec = stage.python(1, "print(open('/data/data.csv').read()); open('/data/new', 'w')")
    status = stage.run(with_mounts(spec, Mount(source, "/data", MountMode.VIEW)))
    assert status.exit_code == 1
    assert "Read-only file system" in text_of(spec.log)


def test_a_user_of_the_images_own_reads_and_writes_below_opt_ml(
    stage: DockerStage, image_with_a_user: str, tmp_path: Path
) -> None:
    (model := tmp_path / "model-files").mkdir()
    (model / "weights").write_text("w")
    spec = stage.python(
        1,
        "import os; print(os.getuid(), open('/opt/ml/input/config/x.json').read())\n"
        "print(open('/opt/ml/model/weights').read())\n"
        "for name in ('model/own', 'output/failure'): open('/opt/ml/' + name, 'w').close()\n",
    )
    for name in ("input/config", "model", "output"):
        (spec.ml / name).mkdir(parents=True)
    (spec.ml / "input" / "config" / "x.json").write_text("{}")
    (spec.ml / "input" / "config" / "x.json").chmod(0o600)
    spec = with_mounts(spec, Mount(model, "/opt/ml/model", MountMode.VIEW))
    status = stage.run(replace(spec, image=image_with_a_user))
    assert (text_of(spec.log), status.exit_code) == ("1000 {}\nw\n", 0)


def test_a_container_is_known_as_a_process_of_this_machine_where_it_is_one(
    stage: DockerStage,
) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    pid = InstanceFolder(spec.folder).living_supervisor()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    stage.ends.wait_for(spec.instance_id)
    assert InstanceFolder(spec.folder).living_supervisor() is None


def test_what_lies_outside_of_opt_ml_ends_with_the_container(stage: DockerStage) -> None:
    spec = stage.spec(1, Behaviour(exit_code=3))
    assert stage.run(spec).state is InstanceState.EXITED
    stage.docker.close()
    assert stage.left() == []
    stage.restart()
