"""What only the process driver does, at each isolation level that is possible here."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from intermodal_engine.drivers import process
from intermodal_engine.drivers.base import (
    CannotExecuteError,
    InstanceState,
    Mount,
    MountMode,
    PlanRefusedError,
    StartFailedError,
)
from intermodal_engine.drivers.spawn import Descriptors
from tests.helpers.driver_stages import (
    PRIVATE,
    PROCESS_STAGES,
    Behaviour,
    ProcessStage,
    kill_supervisor,
    process_stage,
    processes_of,
    processes_with,
    text_of,
    wait_for,
    with_environment,
    with_mounts,
)

NAMESPACES = PROCESS_STAGES[:-1]
STANDARD_SIGNALS = 0x7FFFFFFF
ML = "import os; ML = os.environ.get('SAGEMAKER_BASE_DIR', '/opt/ml')\n"


def on(*stages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", stages, indirect=True)


@pytest.fixture(params=PROCESS_STAGES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProcessStage]:
    stage = process_stage(tmp_path, request.param)
    if stage is None:
        pytest.skip(f"this machine allows no {request.param}")
    yield stage
    stage.close()
    assert processes_with(str(tmp_path)) == []


def test_output_of_100_000_lines_is_whole(stage: ProcessStage) -> None:
    spec = stage.python(1, "for number in range(100_000): print('line', number)")
    assert stage.run(spec).exit_code == 0
    assert text_of(spec.log) == "".join(f"line {number}\n" for number in range(100_000))


def test_a_line_is_in_the_log_while_the_program_runs(stage: ProcessStage) -> None:
    spec = stage.spec(1, Behaviour(lines=("hello",), runs_for_s=None))
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    assert text_of(spec.log).startswith("hello\n")
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)


def test_an_instance_without_its_supervisor_is_lost_and_nothing_of_it_is_left(
    stage: ProcessStage,
) -> None:
    spec = stage.python(
        1,
        "import subprocess, sys, threading\n"
        "for _ in range(3):\n"
        "    subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True)\n"
        "print('ready', flush=True); threading.Event().wait()",
    )
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    assert len(processes_of(spec)) >= 5
    kill_supervisor(spec.folder)
    stage.ends.wait_for(spec.instance_id)
    assert processes_of(spec) == []
    status = stage.driver.status(instance)
    assert status.state is InstanceState.LOST
    assert "without a record" in (status.reason or "")


def test_without_supervisor_and_init_the_driver_still_ends_the_rest(stage: ProcessStage) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    supervisor = json.loads((spec.folder / "supervisor.json").read_text())["pid"]
    init = int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(init, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    stage.ends.wait_for(spec.instance_id)
    assert processes_of(spec) == []


def test_an_instance_whose_folder_is_removed_ends_by_itself(stage: ProcessStage) -> None:
    spec = stage.python(
        1,
        "import time\n"
        "print('ready', flush=True)\n"
        "while True: print('line', flush=True); time.sleep(0.1)",
    )
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    marker = json.loads((spec.folder / "plan.json").read_text())["marker"]
    shutil.rmtree(spec.folder)
    stage.ends.wait_for(spec.instance_id)
    assert processes_with(marker) == []


def test_what_the_program_leaves_in_the_background_ends_with_it(stage: ProcessStage) -> None:
    spec = stage.python(
        1,
        "import os, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        subprocess.run(['sleep', '600'])\n"
        "    os._exit(0)\n"
        "print('first process ends')",
    )
    status = stage.run(spec)
    assert status.exit_code == 0
    assert text_of(spec.log) == "first process ends\n"
    assert processes_of(spec) == []


def test_a_killed_tree_leaves_no_grandchild(stage: ProcessStage) -> None:
    spec = stage.python(
        1,
        "import signal, subprocess, threading\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print('ready', flush=True); threading.Event().wait()",
    )
    spec = replace(spec, stop_grace_s=0.1)
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)
    assert stage.driver.status(instance).exit_code == 137
    assert processes_of(spec) == []


def test_orphans_are_reaped_while_the_program_runs(stage: ProcessStage) -> None:
    spec = stage.python(
        1,
        "import os\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if (orphan := os.fork()) == 0: os._exit(0)\n"
        "    os.write(w, str(orphan).encode()); os._exit(0)\n"
        "orphan = int(os.read(r, 20)); os.wait()\n"
        "while os.path.exists(f'/proc/{orphan}'): os.sched_yield()\n"
        "print('reaped')",
    )
    assert stage.run(spec).exit_code == 0
    assert text_of(spec.log) == "reaped\n"


def test_signals_that_python_ignores_are_not_ignored_in_the_program(stage: ProcessStage) -> None:
    spec = replace(
        stage.spec(1, Behaviour()), entrypoint=("sh", "-c", "grep ^Sig /proc/self/status")
    )
    stage.run(spec)
    masks = dict(line.split(":\t") for line in text_of(spec.log).splitlines())
    assert int(masks["SigIgn"], 16) & STANDARD_SIGNALS == 0
    assert int(masks["SigBlk"], 16) == 0


def test_nothing_of_the_engines_environment_reaches_the_program(
    stage: ProcessStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("GITHUB_TOKEN", "real")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/certificates.pem")
    spec = stage.python(1, "import json, os; print(json.dumps(dict(os.environ)))")
    spec = replace(with_environment(spec, {"MINE": "yes"}), gpus=(1, 3))
    stage.run(spec)
    seen = json.loads(text_of(spec.log))
    assert "real" not in str(seen)
    assert "password" not in str(seen)
    assert "PYTHONPATH" not in seen
    assert seen["SSL_CERT_FILE"] == "/etc/certificates.pem"
    assert seen["MINE"] == "yes"
    assert seen["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert seen["HOME"] == str(spec.folder / "home")
    assert seen["PATH"].split(":")[0] == str(stage.bin)


def test_what_the_program_writes_to_opt_ml_is_in_the_hosts_folder(stage: ProcessStage) -> None:
    spec = stage.python(1, f"{ML}os.mkdir(ML + '/model'); open(ML + '/model/m', 'w').write('w')")
    assert stage.run(spec).exit_code == 0
    assert (spec.ml / "model" / "m").read_text() == "w"


def test_writes_to_a_view_never_reach_the_source(stage: ProcessStage, tmp_path: Path) -> None:
    source = tmp_path / "bucket, with: signs"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "data.csv").write_text("1,2")
    spec = stage.python(
        1,
        f"{ML}d = ML + '/input/data/train/deep/'\n"
        "print(open(d + 'data.csv').read())\n"
        "open(d + 'data.csv', 'a').write('more'); open(d + 'new', 'w').close()\n"
        "print(open(d + 'data.csv').read()); os.remove(d + 'data.csv')\n",
    )
    spec = with_mounts(spec, Mount(source, "/opt/ml/input/data/train", MountMode.VIEW))
    assert stage.run(spec).exit_code == 0
    assert text_of(spec.log) == "1,2\n1,2more\n"
    assert (source / "deep" / "data.csv").read_text() == "1,2"
    assert [path.name for path in (source / "deep").iterdir()] == ["data.csv"]


def test_writes_to_a_read_write_mount_reach_the_source(stage: ProcessStage, tmp_path: Path) -> None:
    source = tmp_path / "checkpoints"
    source.mkdir()
    spec = stage.python(1, f"{ML}open(ML + '/checkpoints/one', 'w').write('step 1')")
    spec = with_mounts(spec, Mount(source, "/opt/ml/checkpoints", MountMode.READ_WRITE))
    assert stage.run(spec).exit_code == 0
    assert (source / "one").read_text() == "step 1"


def test_what_is_mounted_is_a_copy_exactly_where_the_driver_says_that_it_cannot_mount(
    stage: ProcessStage, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "weights").write_text("1")
    spec = stage.python(1, f"{ML}print(os.stat(ML + '/model/weights').st_ino)")
    spec = with_mounts(spec, Mount(source, "/opt/ml/model", MountMode.READ_ONLY))
    stage.run(spec)
    is_the_source = int(text_of(spec.log)) == (source / "weights").stat().st_ino
    assert stage.driver.can_mount == is_the_source


@on(*NAMESPACES)
def test_a_read_only_mount_refuses_writes(stage: ProcessStage, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "weights").write_text("1")
    spec = stage.python(
        1,
        "try: open('/opt/ml/model/weights', 'w')\nexcept OSError as error: print(error.strerror)",
    )
    spec = with_mounts(spec, Mount(source, "/opt/ml/model", MountMode.READ_ONLY))
    stage.run(spec)
    assert text_of(spec.log) == "Read-only file system\n"
    assert (source / "weights").read_text() == "1"


@on(*NAMESPACES)
def test_each_host_of_the_group_reaches_each_other_by_name(
    stage: ProcessStage, tmp_path: Path
) -> None:
    hosts = ("algo-1", "algo-2")
    listening = (
        "import os, socket\n"
        "address = ('algo-1', int(os.environ.get('INTERMODAL_MASTER_PORT', '7777')))\n"
        "with socket.create_server(address) as server:\n"
        "    print('ready', flush=True)\n"
        "    print(server.accept()[0].recv(100).decode())\n"
    )
    calling = (
        "import os, socket\n"
        "address = ('algo-1', int(os.environ.get('INTERMODAL_MASTER_PORT', '7777')))\n"
        "with socket.create_connection(address, 5) as connection:\n"
        "    connection.send(socket.gethostname().encode())\n"
        "assert socket.gethostbyname('algo-2') != socket.gethostbyname('algo-1')\n"
    )
    first = replace(stage.python(1, listening), hosts=hosts, network="job")
    second = replace(stage.python(2, calling), hosts=hosts, network="job", host="algo-2")
    instance = stage.driver.start(stage.driver.plan(first), stage.ends)
    stage.wait_until_ready(first)
    assert stage.run(second).exit_code == 0, second.log.read_text()
    stage.ends.wait_for(first.instance_id)
    assert stage.driver.status(instance).exit_code == 0
    assert text_of(first.log) == "ready\nalgo-2\n"


def test_two_instances_serve_on_the_same_container_port(stage: ProcessStage) -> None:
    stage.program(
        "serve",
        "import http.server, os, socketserver\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(os.environ['NAME'].encode())\n"
        "host = os.environ.get('SAGEMAKER_BIND_TO_HOST', '0.0.0.0')\n"
        "port = int(os.environ.get('SAGEMAKER_BIND_TO_PORT', '8080'))\n"
        "server = socketserver.TCPServer((host, port), Handler)\n"
        "print('ready', flush=True); server.serve_forever()\n",
    )
    instances = []
    for number in (1, 2):
        spec = with_environment(stage.python(number, ""), {"NAME": f"instance {number}"})
        spec = replace(spec, entrypoint=(), command=("serve",), ports=(8080,))
        instances.append(stage.driver.start(stage.driver.plan(spec), stage.ends))
        stage.wait_until_ready(spec)
    for number, instance in enumerate(instances, 1):
        host, port = instance.addresses[8080]
        with urllib.request.urlopen(f"http://{host}:{port}/ping", timeout=5) as answer:
            assert answer.read() == f"instance {number}".encode()
        stage.driver.stop(instance)
        stage.ends.wait_for(instance.instance_id)


def test_a_program_that_is_not_there_fails_the_start_and_leaves_nothing(
    stage: ProcessStage,
) -> None:
    spec = replace(stage.python(1, ""), entrypoint=("no-such-program",))
    with pytest.raises(CannotExecuteError, match="cannot execute `no-such-program`: No such file"):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    assert processes_of(spec) == []
    assert stage.ends.ids == []


@on(*NAMESPACES)
def test_a_mount_whose_source_is_gone_fails_the_start(stage: ProcessStage, tmp_path: Path) -> None:
    spec = stage.python(1, "")
    mount = Mount(tmp_path / "gone", "/opt/ml/input/data/train", MountMode.VIEW)
    with pytest.raises(StartFailedError, match=r"/gone: No such file"):
        stage.driver.start(stage.driver.plan(with_mounts(spec, mount)), stage.ends)


def test_a_supervisor_that_dies_at_the_start_says_why(stage: ProcessStage) -> None:
    spec = stage.python(1, "")
    spec.log.mkdir(parents=True)
    with pytest.raises(StartFailedError, match="its supervisor died: IsADirectoryError"):
        stage.driver.start(stage.driver.plan(spec), stage.ends)
    assert processes_of(spec) == []


@on(*NAMESPACES)
def test_an_instance_sees_only_its_own_processes_and_shared_memory(stage: ProcessStage) -> None:
    spec = stage.python(
        1,
        "import os, socket\n"
        "print(socket.gethostname(), os.getppid(), os.listdir('/dev/shm'))\n"
        "print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))\n"
        "open('/dev/shm/left-behind', 'w').close()\n",
    )
    stage.run(spec)
    assert text_of(spec.log) == "algo-1 1 []\n[1, 2]\n"
    assert not Path("/dev/shm/left-behind").exists()


@on(*NAMESPACES)
def test_a_host_without_opt_ml_keeps_lacking_it(stage: ProcessStage) -> None:
    if Path("/opt/ml").exists():
        pytest.skip("this host has an /opt/ml")
    outside = sorted(path.name for path in Path("/opt").iterdir())
    spec = stage.python(1, "import os; print(sorted(os.listdir('/opt')))")
    stage.run(spec)
    assert text_of(spec.log) == f"{sorted([*outside, 'ml'])}\n"
    assert sorted(path.name for path in Path("/opt").iterdir()) == outside


@on("none")
def test_without_namespaces_a_program_that_insists_on_opt_ml_is_refused(
    stage: ProcessStage,
) -> None:
    spec = replace(stage.python(1, ""), entrypoint=("bash", "/opt/ml/input/data/code/run.sh"))
    with pytest.raises(PlanRefusedError, match=r"insists on /opt/ml(.|\n)*--driver docker"):
        stage.driver.plan(spec)


@on("none")
def test_without_namespaces_several_hosts_are_refused(stage: ProcessStage) -> None:
    spec = replace(stage.python(1, ""), hosts=("algo-1", "algo-2"))
    with pytest.raises(PlanRefusedError, match="several hosts"):
        stage.driver.plan(spec)


@on("none")
def test_without_namespaces_the_program_is_told_where_opt_ml_is(stage: ProcessStage) -> None:
    spec = stage.python(1, "")
    plan = stage.driver.plan(spec)
    assert plan.environment["SAGEMAKER_BASE_DIR"] == str(spec.ml)
    assert any(str(spec.ml) in note for note in plan.notes)


ENGINE = """
import sys, threading
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.helpers.driver_stages import Behaviour, ProcessStage
from intermodal_engine.drivers.isolation import Isolation
stage = ProcessStage(Path({root!r}), Isolation({level!r}), engine_port={port})
for number, behaviour in enumerate([
    Behaviour(lines=("first",), runs_for_s=None, exit_code_on_sigterm=9),
    Behaviour(exit_code=6), Behaviour(runs_for_s=None),
], 1):
    spec = stage.spec(number, behaviour)
    stage.driver.start(stage.driver.plan(spec), stage.ends)
print("started", flush=True)
threading.Event().wait()
"""


def test_instances_outlive_an_engine_that_is_killed(stage: ProcessStage, tmp_path: Path) -> None:
    root = tmp_path / "engine"
    root.mkdir()
    source = ENGINE.format(
        tests=str(Path(__file__).parents[2]),
        root=str(root),
        level=str(stage.isolation),
        port=stage.engine_port,
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"started\n"
        engine.kill()
    specs = [
        replace(
            stage.python(number, ""),
            folder=root / f"instance-{number}",
            log=root / "logs" / f"{number}.log",
        )
        for number in (1, 2, 3)
    ]
    kill_supervisor(specs[2].folder)
    running, ended, lost = (stage.driver.adopt(spec, stage.ends) for spec in specs)
    assert running is not None
    assert ended is not None
    assert lost is not None
    stage.ends.wait_for(ended.instance_id)
    stage.ends.wait_for(lost.instance_id)
    assert stage.driver.status(running).state is InstanceState.RUNNING
    assert stage.driver.status(ended).exit_code == 6
    assert stage.driver.status(lost).state is InstanceState.LOST
    stage.wait_until_ready(specs[0])
    stage.driver.stop(running)
    stage.ends.wait_for(running.instance_id)
    assert stage.driver.status(running).exit_code == 9
    assert text_of(specs[0].log) == "first\nready\n"


STARTING_ENGINE = """
import sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.helpers.driver_stages import Behaviour, process_stage
stage = process_stage(Path({root!r}), {name!r})
plan = stage.driver.plan(stage.spec(1, Behaviour(exit_code=4)))
print("starting", flush=True)
stage.driver.start(plan, stage.ends)
threading.Event().wait()
"""


@pytest.mark.parametrize("name", [PRIVATE, "none"])
@pytest.mark.parametrize("delay_s", [0.0, 0.004, 0.012])
def test_an_engine_killed_in_the_middle_of_a_start_leaves_a_clear_state(
    name: str, delay_s: float, tmp_path: Path
) -> None:
    source = STARTING_ENGINE.format(
        tests=str(Path(__file__).parents[2]), root=str(tmp_path), name=name
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        if engine.stdout.readline() != b"starting\n":
            pytest.skip(f"this machine allows no {name}")
        threading.Event().wait(delay_s)
        engine.kill()
    stage = process_stage(tmp_path, name)
    assert stage is not None
    spec = replace(stage.python(2, ""), folder=tmp_path / "instance-1")
    spec = replace(spec, instance_id="training-job/demo/algo-1/0")
    adopted = stage.driver.adopt(spec, stage.ends)
    if adopted is not None:
        stage.ends.wait_for(spec.instance_id)
        status = stage.driver.status(adopted)
        assert status.state is InstanceState.LOST or status.exit_code == 4
    stage.close()
    assert processes_with(str(tmp_path)) == []


def test_an_instance_whose_supervisor_never_lived_can_be_started(
    stage: ProcessStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine dies after it has recorded the plan and before it has started anything."""

    class KilledError(Exception):
        pass

    def die(_folder: Path, descriptors: Descriptors, _marker: str) -> None:
        for descriptor in (descriptors.plan, descriptors.alive, descriptors.network):
            if descriptor is not None:
                os.close(descriptor)
        raise KilledError

    spec = stage.spec(1, Behaviour(exit_code=4))
    plan = stage.driver.plan(spec)
    with monkeypatch.context() as patched:
        patched.setattr(process, "spawn_supervisor", die)
        with pytest.raises(KilledError):
            stage.driver.start(plan, stage.ends)
    assert (spec.folder / "plan.json").exists()
    stage.restart()
    assert stage.driver.adopt(spec, stage.ends) is None
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.ends.wait_for(spec.instance_id)
    assert stage.driver.status(instance).exit_code == 4


def test_another_process_with_a_recorded_pid_is_left_alone(stage: ProcessStage) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None, exit_code_on_sigterm=3))
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    record = json.loads((spec.folder / "supervisor.json").read_text())
    with subprocess.Popen(["sleep", "600"]) as bystander:
        (spec.folder / "supervisor.json").write_text(json.dumps({**record, "pid": bystander.pid}))
        stage.driver.stop(instance)
        assert bystander.poll() is None
        bystander.kill()
    (spec.folder / "supervisor.json").write_text(json.dumps(record))
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)


def test_no_supervisor_stays_as_a_zombie(stage: ProcessStage) -> None:
    children = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
    before = children.read_text()
    for number in range(3):
        stage.run(stage.spec(number, Behaviour()))
    assert set(children.read_text().split()) <= set(before.split())


@on(*NAMESPACES)
def test_nothing_stays_mounted_on_the_host(stage: ProcessStage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    spec = with_mounts(
        stage.spec(1, Behaviour(runs_for_s=None)),
        Mount(source, "/opt/ml/input/data/train", MountMode.VIEW),
    )
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_full_disk_loses_log_lines_but_neither_the_program_nor_its_result(
    stage: ProcessStage, tmp_path: Path
) -> None:
    spec = replace(
        stage.spec(1, Behaviour(lines=("x" * 100,) * 5, exit_code=2)), log=Path("/dev/full")
    )
    status = stage.run(spec)
    assert status.exit_code == 2
    assert "log are lost" in (status.reason or "")


def test_standard_input_is_at_its_end(stage: ProcessStage) -> None:
    spec = stage.python(1, "import sys; print(repr(sys.stdin.read()))")
    stage.run(spec)
    assert text_of(spec.log) == "''\n"


def test_the_program_inherits_no_descriptor_but_the_standard_ones(stage: ProcessStage) -> None:
    spec = replace(stage.spec(1, Behaviour()), entrypoint=("ls", "/proc/self/fd"))
    stage.run(spec)
    # The last one is that of `ls` reading the folder.
    assert text_of(spec.log).split() == ["0", "1", "2", "3"]


def test_an_ended_instances_folder_can_be_removed(stage: ProcessStage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    mount = Mount(source, "/opt/ml/input/data/train", MountMode.VIEW)
    spec = with_mounts(stage.python(1, ""), mount)
    stage.run(spec)
    unreadable = [path for path in spec.folder.rglob("*/") if not path.stat().st_mode & 0o400]
    assert unreadable == []
    shutil.rmtree(spec.folder)


MEMORY_HOG = """
import os
group = {group!r}
os.makedirs(group, exist_ok=True)
for name, value in {limits!r}.items():
    with open(os.path.join(group, name), "w") as file:
        file.write(value)
print("grouped", flush=True)
hog = bytearray(400 * 2**20)
"""


@on("namespaces")
def test_the_out_of_memory_killer_is_named(stage: ProcessStage, tmp_path: Path) -> None:
    version_1 = Path("/sys/fs/cgroup/memory")
    version_2 = Path("/sys/fs/cgroup/cgroup.controllers")
    limit = str(64 * 2**20)
    if (version_1 / "memory.limit_in_bytes").exists():
        group = version_1 / f"intermodal-{os.getpid()}"
        limits = {"memory.limit_in_bytes": limit, "cgroup.procs": "0"}
    elif version_2.exists() and "memory" in version_2.read_text():
        group = version_2.parent / f"intermodal-{os.getpid()}"
        limits = {"memory.max": limit, "memory.swap.max": "0", "cgroup.procs": "0"}
    else:
        pytest.skip("no memory control group here")
    spec = stage.python(1, MEMORY_HOG.format(group=str(group), limits=limits))
    status = stage.run(spec)
    assert text_of(spec.log) == "grouped\n"
    assert (status.exit_code, status.signal, status.out_of_memory) == (137, signal.SIGKILL, True)
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


UNPRIVILEGED = """
import ctypes, os, sys
from pathlib import Path
from intermodal_engine.drivers.supervision.surroundings import CLONE_NEWUSER, Kernel
from intermodal_engine.drivers.rehearsal import allowed_isolation
if {no_namespaces}:
    uid = os.getuid()
    Kernel().unshare(CLONE_NEWUSER)
    Path("/proc/self/uid_map").write_text(f"0 {{uid}} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
libc = ctypes.CDLL(None, use_errno=True)
SETFCAP = 31  # Without it, not even user 0 may map user 0; others map themselves freely.
for capability in set(range(64)) - {{SETFCAP}}:
    libc.prctl(24, capability, 0, 0, 0)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
left = 1 << SETFCAP
assert libc.capset(header, (ctypes.c_uint32 * 6)(left, left)) == 0
print(allowed_isolation(Path({folder!r})))
"""


@pytest.mark.needs_root
@pytest.mark.parametrize(("no_namespaces", "level"), [(False, "user-namespaces"), (True, "none")])
def test_what_the_kernel_allows_is_found_out(
    no_namespaces: bool, level: str, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give up what root may do")
    (tmp_path / "driver").mkdir()
    source = UNPRIVILEGED.format(folder=str(tmp_path / "driver"), no_namespaces=no_namespaces)
    found = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert found.stdout == f"{level}\n", found.stderr
    assert list((tmp_path / "driver").iterdir()) == []


def test_stopping_right_after_the_start_is_not_lost(stage: ProcessStage) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)
    assert stage.driver.status(instance).signal == signal.SIGTERM


def test_the_log_follows_within_moments(stage: ProcessStage) -> None:
    spec = stage.python(
        1, "import time, threading\nprint(time.time(), flush=True); threading.Event().wait()"
    )
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    wait_for(lambda: spec.log.exists() and spec.log.read_text().endswith("\n"))
    stamp, printed = spec.log.read_text().split()
    assert int(stamp) / 1000 - float(printed) < 1.0
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)
