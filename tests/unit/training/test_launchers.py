"""Which launcher a job gets, what it refuses, and what it would run."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intermodal_contract.training_files import InstanceGroup, ResourceConfig, TrainingPaths
from intermodal_training.errors import DistributionError, NotServedError, TrainError
from intermodal_training.hyperparameters import Hyperparameters
from intermodal_training.job import DISTRIBUTION_GROUPS, Job, Machine, read_job
from intermodal_training.launchers import choose, mpi, parameter_server, process, torchrun
from intermodal_training.user_code import EntryKind, EntryPoint
from tests.helpers.train_program import TrainProgram

SCRIPT = EntryPoint(EntryKind.SCRIPT, "train.py", Path("/opt/ml/code"))
SHELL = EntryPoint(EntryKind.SHELL, "run.sh", Path("/opt/ml/code"))
TWO = ResourceConfig(
    current_host="algo-2",
    hosts=("algo-1", "algo-2"),
    network_interface_name="eth0",
    current_instance_type="ml.m5.xlarge",
)
TORCHRUN = {"sagemaker_torch_distributed_enabled": True}
MPI = {"sagemaker_mpi_enabled": True}
SERVER = {"sagemaker_parameter_server_enabled": True}


def job(framework: Mapping[str, Any] | None = None, **changes: Any) -> Job:
    plain = Job(
        paths=TrainingPaths(),
        hyperparameters=Hyperparameters({"epochs": 3}, framework or {}, {}),
        channels={},
        resources=TWO,
        machine=Machine(cpus=2),
        entry_point="train.py",
        has_torch=True,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("framework", "module"),
    [
        ({}, process),
        (TORCHRUN, torchrun),
        (MPI, mpi),
        (SERVER, parameter_server),
        ({"sagemaker_mpi_enabled": False, **SERVER}, parameter_server),
        ({**TORCHRUN, "sagemaker_instance_type": "ml.m5.xlarge"}, torchrun),
    ],
)
def test_a_job_gets_the_launcher_that_it_asks_for(
    framework: Mapping[str, Any], module: object
) -> None:
    assert choose(job(framework)) is module


@pytest.mark.parametrize(
    ("framework", "culprits"),
    [
        ({**TORCHRUN, **MPI}, ["sagemaker_torch_distributed_enabled", "sagemaker_mpi_enabled"]),
        ({"sagemaker_smddp_enabled": True}, ["sagemaker_smddp_enabled"]),
        ({"sagemaker_distributed_dataparallel_enabled": True}, ["dataparallel"]),
        ({**MPI, "sagemaker_mpi_num_of_procs": 2}, ["sagemaker_mpi_num_of_procs"]),
        ({**TORCHRUN, "sagemaker_torch_distributed_nodes": 2}, ["torch_distributed_nodes"]),
        ({**SERVER, "sagemaker_parameter_server_count": 2}, ["parameter_server_count"]),
    ],
)
def test_what_no_launcher_knows_is_refused_by_name(
    framework: Mapping[str, Any], culprits: list[str]
) -> None:
    with pytest.raises(TrainError) as caught:
        choose(job(framework))
    assert isinstance(caught.value, DistributionError | NotServedError)
    assert all(culprit in str(caught.value) for culprit in culprits)
    assert caught.value.hint


def grouped(current: str, asked: list[str]) -> Job:
    """Three hosts in two groups; the launcher is asked for on some of them."""
    groups = (
        InstanceGroup("loaders", "ml.c5.xlarge", ("algo-1",)),
        InstanceGroup("trainers", "ml.m5.xlarge", ("algo-2", "algo-3")),
    )
    resources = replace(
        TWO,
        current_host=current,
        hosts=("algo-1", "algo-2", "algo-3"),
        instance_groups=groups,
    )
    return job({**TORCHRUN, DISTRIBUTION_GROUPS: asked}, resources=resources)


def test_a_launcher_spans_the_groups_that_it_is_asked_for_and_others_run_plainly() -> None:
    trains, loads = grouped("algo-3", ["trainers"]), grouped("algo-1", ["trainers"])
    assert choose(trains) is torchrun
    assert choose(loads) is process
    command = torchrun.plan(trains.as_launched(), SCRIPT)
    assert command[command.index("--nnodes") + 1] == "2"
    assert command[command.index("--master_addr") + 1] == "algo-2"
    assert command[command.index("--node_rank") + 1] == "1"
    assert loads.as_launched().resources.hosts == ("algo-1", "algo-2", "algo-3")


@pytest.mark.parametrize("asked", [[], ["loaders", "trainers"]])
def test_a_launcher_spans_all_hosts_unless_asked_otherwise(asked: list[str]) -> None:
    for host in ("algo-1", "algo-2", "algo-3"):
        every = grouped(host, asked)
        assert choose(every) is torchrun
        assert every.as_launched().resources.hosts == ("algo-1", "algo-2", "algo-3")


def test_a_group_that_there_is_not_is_named() -> None:
    with pytest.raises(DistributionError, match="instance group `gpus`") as caught:
        choose(grouped("algo-1", ["gpus"]))
    assert caught.value.hint == "there are `loaders`, `trainers`"


def test_a_refusal_comes_within_a_second_and_before_anything_is_installed(
    train: TrainProgram,
) -> None:
    files = {"train.py": "", "requirements.txt": "no-such-distribution-at-all==9.9"}
    values = {**TORCHRUN, "sagemaker_torch_distributed_process_count_per_node": 1000}
    result = train.run(files, values=values)
    assert result.code == 1
    assert result.failure is not None
    assert "`sagemaker_torch_distributed_process_count_per_node` asks for 1000" in result.failure


def test_torchrun_spans_the_hosts_under_the_first_ones_name() -> None:
    command = torchrun.plan(job(TORCHRUN), SCRIPT)
    assert command == (
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"),
        *("--nproc_per_node", "1", "--master_addr", "algo-1", "--master_port", "7777"),
        *("--node_rank", "1", "--monitor_interval", "0.1"),
        *("-m", "intermodal_training.launchers.rank", "train.py", "--epochs", "3"),
    )


def test_torchrun_on_one_host_needs_no_name_and_takes_the_port_that_it_is_given() -> None:
    alone = job(TORCHRUN, resources=ResourceConfig(), master_port=20123)
    command = torchrun.plan(alone, SCRIPT)
    assert "--node_rank" not in command
    assert command[command.index("--master_addr") + 1] == "127.0.0.1"
    assert command[command.index("--master_port") + 1] == "20123"


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"machine": Machine(cpus=8, gpus=4)}, 4),
        ({"machine": Machine(cpus=8, neurons=2)}, 2),
        ({"machine": Machine(cpus=8)}, 1),
        ({"distributed": {"process_count_per_node": 3}}, 3),
    ],
)
def test_torchrun_starts_a_process_an_accelerator_unless_told(
    changes: Mapping[str, Any], count: int
) -> None:
    assert torchrun.processes(job(TORCHRUN, **changes)) == count


def test_processes_share_the_cpus_unless_the_job_says_how() -> None:
    four = job(TORCHRUN, machine=Machine(cpus=8, gpus=4))
    assert torchrun.variables(four, {}) == {"OMP_NUM_THREADS": "2"}
    assert torchrun.variables(four, {"OMP_NUM_THREADS": "5"}) == {}
    assert torchrun.variables(job(TORCHRUN), {}) == {}


@pytest.mark.parametrize(
    ("check", "framework", "changes", "culprit"),
    [
        (torchrun.check, TORCHRUN, {"has_torch": False}, "has no PyTorch"),
        (torchrun.processes, TORCHRUN, {"distributed": {"process_count_per_node": "x"}}, "`x`"),
        (
            torchrun.processes,
            {**TORCHRUN, torchrun.PROCESS_COUNT: 8},
            {"machine": Machine(cpus=96, gpus=4)},
            "8 processes on a host that has 4 GPUs",
        ),
        (mpi.processes, {**MPI, mpi.PROCESSES: 5}, {}, "4 vCPUs (`ml.m5.xlarge`)"),
        (mpi.processes, {**MPI, mpi.PROCESSES: -1}, {}, "`-1`, which is no number"),
        (mpi.custom_options, {**MPI, mpi.CUSTOM_OPTIONS: "-x 'A"}, {}, "No closing quotation"),
        (parameter_server.check, SERVER, {}, "has no MXNet"),
    ],
)
def test_what_cannot_be_launched_is_refused_by_name(
    check: Callable[..., object],
    framework: Mapping[str, Any],
    changes: Mapping[str, Any],
    culprit: str,
) -> None:
    arguments = (SCRIPT,) if check.__name__ == "check" else ()
    with pytest.raises(DistributionError) as caught:
        check(job(framework, **changes), *arguments)
    assert culprit in str(caught.value)


def test_torchrun_runs_python_only() -> None:
    with pytest.raises(DistributionError, match=r"`run.sh` is no `.py` file"):
        torchrun.check(job(TORCHRUN), SHELL)


def test_mpirun_gets_the_hosts_the_interface_and_the_jobs_own_options() -> None:
    framework = {**MPI, mpi.PROCESSES: 2, mpi.CUSTOM_OPTIONS: "-x A='b c' --verbose"}
    command = mpi.plan(job(framework), SCRIPT, "/bin/sh /tmp/agent")
    assert command[:5] == ("mpirun", "--host", "algo-1:2,algo-2:2", "-np", "4")
    line = " ".join(command)
    assert "-mca plm_rsh_agent /bin/sh /tmp/agent -mca" in line
    assert "-mca btl_tcp_if_include eth0" in line
    start = command.index("-x")
    assert command[start : start + 3] == ("-x", "A=b c", "--verbose")
    assert command[start + 3 :] == mpi.rank_command(job(framework), SCRIPT)


def test_mpi_takes_the_settings_of_the_vendors_newer_sdk() -> None:
    settings = {"process_count_per_node": 2, "mpi_additional_options": ["-x", "A=b c"]}
    assert mpi.processes(job(MPI, distributed=settings)) == 2
    assert mpi.custom_options(job(MPI, distributed=settings)) == ["-x", "A=b c"]


def test_a_rank_under_mpi_is_the_script_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("echo a script without a first line")
    command = mpi.rank_command(job(MPI), replace(SHELL, folder=tmp_path))
    assert command[:3] == (sys.executable, "-m", "intermodal_training.launchers.rank")
    assert command[3:] == ("--", "/bin/sh", "./run.sh", "--epochs", "3")


def test_other_hosts_run_nothing_but_open_mpis_daemon() -> None:
    words = ["orted", "-mca", "ess", '"env"', "-mca", "uri", '"1.0;tcp://a:1"']
    assert mpi.daemon_command(words)[2:] == ("ess", "env", "-mca", "uri", "1.0;tcp://a:1")
    for bad in (["rm", "-rf", "/"], ["sh", "-c", "orted"], []):
        with pytest.raises(DistributionError):
            mpi.daemon_command(bad)


def test_the_scheduler_is_on_the_first_host_and_a_server_on_every() -> None:
    assert parameter_server.roles_beside(job(SERVER)) == ("server",)
    first = job(SERVER, resources=replace(TWO, current_host="algo-1"))
    assert parameter_server.roles_beside(first) == ("scheduler", "server")


def test_ps_lite_is_told_who_is_what_and_where() -> None:
    values = parameter_server.variables(job(SERVER), "worker", "10.0.0.1", "10.0.0.2")
    assert values == {
        "DMLC_ROLE": "worker",
        "DMLC_NUM_WORKER": "2",
        "DMLC_NUM_SERVER": "2",
        "DMLC_PS_ROOT_URI": "10.0.0.1",
        "DMLC_PS_ROOT_PORT": "8000",
        "DMLC_NODE_HOST": "10.0.0.2",
        "PS_VERBOSE": "0",
    }
    given = job(SERVER, master_port=20123, has_own_port=True)
    port = parameter_server.variables(given, "worker", "a", "b")["DMLC_PS_ROOT_PORT"]
    assert port == "20123"


@pytest.mark.parametrize(
    ("text", "culprit"),
    [("nonsense", "no JSON object"), ("[1]", "no JSON object"), ('{"nodes": 1}', "`nodes`")],
)
def test_broken_settings_of_the_newer_sdk_are_refused(
    tmp_path: Path, text: str, culprit: str
) -> None:
    environment = {"SAGEMAKER_PROGRAM": "train.py", "SM_DISTRIBUTED_CONFIG": text}
    with pytest.raises(Exception, match="SM_DISTRIBUTED_CONFIG") as caught:
        read_job(TrainingPaths(tmp_path), environment)
    assert culprit in str(caught.value)
