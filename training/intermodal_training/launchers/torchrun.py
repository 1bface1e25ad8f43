"""PyTorch's own launcher: a process an accelerator, on any instance type and count."""

import select
import sys
from collections.abc import Mapping

from intermodal_training import report, supervise
from intermodal_training.errors import DistributionError
from intermodal_training.hyperparameters import to_arguments
from intermodal_training.job import Job
from intermodal_training.launchers import Run
from intermodal_training.launchers.ranks import rank_folder, settle
from intermodal_training.launchers.slots import accelerators, processes_per_host
from intermodal_training.report import Ending
from intermodal_training.user_code import EntryKind, EntryPoint

PROCESS_COUNT = "sagemaker_torch_distributed_process_count_per_node"
_PROCESS_COUNT_V3 = "process_count_per_node"
_RANK = "intermodal_training.launchers.rank"
_LOOPBACK = "127.0.0.1"
_LET_OTHERS_SPEAK_S = 10.0
_LOST_PEER = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "gloo",
    "NCCL",
    "TCPStore",
    "DistBackendError",
    "DistNetworkError",
    "SIGABRT",
)
"""In what gloo, NCCL and the store say, or abort with, when a rank elsewhere is gone."""


def check(job: Job, entry_point: EntryPoint) -> None:
    """Only Python can be launched so.

    Raises:
        DistributionError: something else was named, or more processes than have room.
    """
    if entry_point.kind not in {EntryKind.SCRIPT, EntryKind.MODULE}:
        raise DistributionError(
            f"torchrun runs Python, and the entry point `{entry_point.name}` is no `.py` file",
            hint="name a `.py` file, or leave `torch_distributed` out of the estimator's "
            "`distribution` and call torchrun in your own script",
        )
    if not job.has_torch:
        raise DistributionError(
            "the job asks for torchrun, and the image has no PyTorch",
            hint="train in a PyTorch image, or list `torch` in its Dockerfile",
        )
    processes(job)


def processes(job: Job) -> int:
    """How many on this host: as the job says, else one an accelerator, else one."""
    asked = job.hyperparameters.framework.get(PROCESS_COUNT)
    name = PROCESS_COUNT
    if not asked:
        asked, name = job.distributed.get(_PROCESS_COUNT_V3), _PROCESS_COUNT_V3
    return processes_per_host(asked, name, job, default=accelerators(job))


def plan(job: Job, entry_point: EntryPoint) -> tuple[str, ...]:
    """The command. A job of one host needs no name of its own to be known."""
    hosts = len(job.resources.hosts)
    module = ("-m",) if entry_point.kind is EntryKind.MODULE else ()
    return (
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", str(hosts), "--nproc_per_node", str(processes(job))),
        *("--master_addr", job.master if hosts > 1 else _LOOPBACK),
        *("--master_port", str(job.master_port)),
        *(("--node_rank", str(job.rank)) if hosts > 1 else ()),
        *("--monitor_interval", "0.1"),
        *("-m", _RANK, *module, entry_point.name),
        *to_arguments(job.hyperparameters.user),
    )


def variables(job: Job, environment: Mapping[str, str]) -> dict[str, str]:
    """What torchrun would otherwise set, and complain about: one thread a process."""
    count = processes(job)
    if count == 1 or "OMP_NUM_THREADS" in environment:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, job.machine.cpus // count))}


def launch(run: Run) -> Ending:
    """Runs it to its end."""
    job = run.job
    command = plan(job, run.entry_point)
    with rank_folder() as ranks:
        environment = {**run.environment, **variables(job, run.environment), **ranks.variables}
        outcome = supervise.run(
            command, run.folder, environment, run.signals, pass_on=ranks.pass_on
        )
        reports = ranks.reports()
    was_stopped = run.signals.received is not None
    ending = settle(reports, report.ending_of(outcome, _shown(command)), was_stopped=was_stopped)
    if len(job.resources.hosts) > 1 and not was_stopped and _lost_a_peer(ending):
        _let_others_speak(run.signals)
    return ending


def _shown(command: tuple[str, ...]) -> tuple[str, ...]:
    """As a person would write it."""
    start = command.index("torch.distributed.run")
    end = command.index(_RANK) - 1
    return ("torchrun", *command[start + 1 : end], *command[end + 2 :])


def _lost_a_peer(ending: Ending) -> bool:
    return any(text in ending.failure for text in _LOST_PEER)


def _let_others_speak(signals: supervise.Signals) -> None:
    """The host that ends first is named as the job's failure; this one only lost another.

    The service stops this one as soon as the other has ended, so the wait is short as a rule.
    """
    poller = select.poll()
    poller.register(signals.wake_fd, select.POLLIN)
    poller.poll(_LET_OTHERS_SPEAK_S * 1000)
