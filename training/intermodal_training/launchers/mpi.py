"""Open MPI without sshd: `mpirun` on the first host, its daemon `orted` on the others.

`mpirun` starts its daemons through an agent, as a rule ssh. Ours (`mpi_agent.py`) hands the command
to `train` on the other host over a connection that this `train` itself opened to the first host
(`mpi_control.py`). So nothing listens on the other hosts, and each rank gets the environment of the
host that it runs on.
"""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from intermodal_training import hosts, supervise
from intermodal_training.errors import DistributionError
from intermodal_training.job import Job, is_installed
from intermodal_training.launchers import Run, process
from intermodal_training.launchers.mpi_control import ControlServer, Member
from intermodal_training.launchers.ranks import RankFolder, first_failure, rank_folder, settle
from intermodal_training.launchers.slots import processes_per_host
from intermodal_training.network import LOOPBACK
from intermodal_training.report import Ending, ending_of
from intermodal_training.user_code import EntryKind, EntryPoint

PROCESSES = "sagemaker_mpi_num_of_processes_per_host"
CUSTOM_OPTIONS = "sagemaker_mpi_custom_mpi_options"
_PROCESSES_V3 = "process_count_per_node"
_OPTIONS_V3 = "mpi_additional_options"
_PROGRAM = "mpirun"
_DAEMON = "orted"
_RANK = (sys.executable, "-m", "intermodal_training.launchers.rank")


def check(job: Job, entry_point: EntryPoint) -> None:
    """Open MPI must be there, and room for the processes.

    Raises:
        DistributionError: it is not.
    """
    if shutil.which(_PROGRAM) is None or shutil.which(_DAEMON) is None:
        raise DistributionError(
            f"`{entry_point.name}` shall run under MPI, and the image has no `{_PROGRAM}`",
            hint="install Open MPI in the image, on Debian `openmpi-bin`, and `mpi4py`",
        )
    processes(job)
    custom_options(job)


def processes(job: Job) -> int:
    """How many on each host: as the job says, else one."""
    asked, name = job.hyperparameters.framework.get(PROCESSES), PROCESSES
    if not asked:
        asked, name = job.distributed.get(_PROCESSES_V3), _PROCESSES_V3
    return processes_per_host(asked, name, job, default=1)


def custom_options(job: Job) -> list[str]:
    """Options for `mpirun` that the job asks for.

    Raises:
        DistributionError: they are no shell words.
    """
    given = job.hyperparameters.framework.get(CUSTOM_OPTIONS)
    given = given or job.distributed.get(_OPTIONS_V3) or ""
    if isinstance(given, list):
        return [str(word) for word in given]
    try:
        return shlex.split(str(given))
    except ValueError as error:
        raise DistributionError(f"`{CUSTOM_OPTIONS}` is `{given}`: {error}") from error


def plan(job: Job, entry_point: EntryPoint, agent: str) -> tuple[str, ...]:
    """The command on the first host.

    Args:
        job: the job.
        entry_point: what each rank runs.
        agent: command that starts a daemon on another host.
    """
    interface = job.resources.network_interface_name
    count = processes(job)
    return (
        _PROGRAM,
        *("--host", ",".join(f"{host}:{count}" for host in job.resources.hosts)),
        *("-np", str(count * len(job.resources.hosts))),
        *("--allow-run-as-root", "--tag-output", "--leave-session-attached"),
        *("--bind-to", "none", "--map-by", "slot"),
        *_mca("plm_rsh_agent", agent),
        *_mca("plm_rsh_no_tree_spawn", "1"),
        *_mca("plm_rsh_num_concurrent", str(len(job.resources.hosts))),
        *_mca("oob_tcp_if_include", interface),
        *_mca("btl_tcp_if_include", interface),
        *_mca("pml", "ob1"),
        *_mca("btl", "^openib"),
        # Containers may not read each other's memory.
        *_mca("btl_vader_single_copy_mechanism", "none"),
        *_mca("orte_abort_on_non_zero_status", "1"),
        *(_mca("mpi_yield_when_idle", "1") if _is_crowded(job, count) else ()),
        *custom_options(job),
        *rank_command(job, entry_point),
    )


def _is_crowded(job: Job, count: int) -> bool:
    """Whether ranks share CPUs: then one that waits must not keep another from working."""
    return count >= job.machine.cpus or job.resources.network_interface_name == LOOPBACK


def rank_command(job: Job, entry_point: EntryPoint) -> tuple[str, ...]:
    """What each rank runs.

    mpi4py's own runner ends the whole job when a rank raises, instead of leaving the others to wait
    for it for ever.
    """
    program, *rest = process.plan(job, entry_point)
    is_python = entry_point.kind in {EntryKind.SCRIPT, EntryKind.MODULE}
    runner = ("-m", "mpi4py") if is_python and is_installed("mpi4py") else ()
    return (*_RANK, "--", program, *runner, *rest)


def launch(run: Run) -> Ending:
    """Runs `mpirun` on the first host; on the others what it asks for."""
    with rank_folder() as ranks:
        return _lead(run, ranks) if run.job.rank == 0 else _follow(run, ranks)


def _lead(run: Run, ranks: RankFolder) -> Ending:
    job = run.job
    others = job.resources.hosts[1:]
    wait_s = hosts.wait_seconds(run.environment) or hosts.DEFAULT_WAIT_S
    with ControlServer(job.master, job.master_port, others, run.environment) as control:
        control.wait_for_members(wait_s)
        agent = _write_agent(ranks.path, control.port)
        command = plan(job, run.entry_point, f"/bin/sh {agent}")
        environment = {**run.environment, **ranks.variables}
        outcome = supervise.run(
            command, run.folder, environment, run.signals, pass_on=ranks.pass_on
        )
        reports = [*ranks.reports(), *control.failures()]
        ending = settle(
            reports, ending_of(outcome, command), was_stopped=run.signals.received is not None
        )
        control.tell_end(ending)
    return ending


def _follow(run: Run, ranks: RankFolder) -> Ending:
    job = run.job
    wait_s = hosts.wait_seconds(run.environment) or hosts.DEFAULT_WAIT_S
    with Member.join(
        job.master, job.master_port, job.resources.current_host, run.environment, wait_s
    ) as member:
        command = daemon_command(member.wait_for_command())
        environment = {**run.environment, **ranks.variables}
        outcome = supervise.run(
            command,
            run.folder,
            environment,
            run.signals,
            pass_on=ranks.pass_on,
            on_running=member.watch,
        )
        failure = first_failure(ranks.reports())
        return member.end(outcome.exit_code, failure)


def daemon_command(words: Sequence[str]) -> tuple[str, ...]:
    """What `mpirun` asks another host to run; nothing but its daemon is run.

    Raises:
        DistributionError: it asks for something else.
    """
    command = shlex.split(" ".join(words))
    if not command or Path(command[0]).name != _DAEMON:
        raise DistributionError(f"`{_PROGRAM}` asked for `{' '.join(words)}`, not for `{_DAEMON}`")
    return _DAEMON, *command[1:]


def _write_agent(folder: Path, port: int) -> Path:
    """A program with no arguments of its own, since `mpirun` splits them at spaces."""
    path = folder / "agent.sh"
    command = [sys.executable, "-m", "intermodal_training.launchers.mpi_agent", str(port)]
    path.write_text(f'exec {shlex.join(command)} "$@"\n')
    return path


def _mca(name: str, value: str) -> tuple[str, str, str]:
    return "-mca", name, value
