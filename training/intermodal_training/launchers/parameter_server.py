"""MXNet's parameter server: a scheduler on the first host, a server and a worker on every host.

Scheduler and servers are Python programs that import MXNet: by its environment variables it knows
what it is, and stays there until the workers have ended (`mxnet.kvstore_server`).
"""

import socket
import sys
from collections.abc import Mapping, Sequence

from intermodal_contract.errors import IntermodalError
from intermodal_training import supervise
from intermodal_training.errors import DistributionError, HostsError
from intermodal_training.job import Job, is_installed
from intermodal_training.launchers import Run, process
from intermodal_training.report import Ending, describe, ending_of
from intermodal_training.user_code import EntryPoint

DEFAULT_ROOT_PORT = 8000
_GUARD = "intermodal_training.launchers.guard"
_LOOPBACK = "127.0.0.1"
_BESIDE = (sys.executable, "-c", "import mxnet")


def check(job: Job, entry_point: EntryPoint) -> None:  # noqa: ARG001 (every launcher gets both)
    """The image must hold MXNet.

    Raises:
        DistributionError: it does not.
    """
    if not is_installed("mxnet"):
        raise DistributionError(
            f"`{entry_point.name}` shall use a parameter server, and the image has no MXNet",
            hint="train in an MXNet image",
        )


def variables(job: Job, role: str, root: str, own: str) -> dict[str, str]:
    """What ps-lite reads in one process.

    Args:
        job: the job.
        role: `scheduler`, `server` or `worker`.
        root: address of the scheduler.
        own: address of this host.
    """
    count = str(len(job.resources.hosts))
    port = job.master_port if job.has_own_port else DEFAULT_ROOT_PORT
    return {
        "DMLC_ROLE": role,
        "DMLC_NUM_WORKER": count,
        "DMLC_NUM_SERVER": count,
        "DMLC_PS_ROOT_URI": root,
        "DMLC_PS_ROOT_PORT": str(port),
        # Else ps-lite takes the first interface that it finds, which may lead elsewhere.
        "DMLC_NODE_HOST": own,
        "PS_VERBOSE": "0",
    }


def roles_beside(job: Job) -> tuple[str, ...]:
    """What runs on this host beside its worker."""
    return ("scheduler", "server") if job.rank == 0 else ("server",)


def guarded(command: Sequence[str]) -> tuple[str, ...]:
    """The worker's command such that a failing worker ends at once; only Python can be so run."""
    program, *rest = command
    return (program, "-m", _GUARD, *rest) if program == sys.executable else tuple(command)


def launch(run: Run) -> Ending:
    """Runs the worker to its end, and with it what runs beside."""
    job = run.job
    root, own = _address(job, job.master), _address(job, job.resources.current_host)

    def environment(role: str) -> Mapping[str, str]:
        return {**run.environment, **variables(job, role, root, own)}

    companions = [
        supervise.Companion(role, _BESIDE, environment(role)) for role in roles_beside(job)
    ]
    command = process.plan(job, run.entry_point)
    outcome = supervise.run(
        guarded(command), run.folder, environment("worker"), run.signals, companions=companions
    )
    broken = outcome.broken_companion
    if broken is None:
        return ending_of(outcome, command, f"the worker on {job.resources.current_host}")
    of = f"the {broken.companion.name} on {job.resources.current_host}"
    failure = describe(broken.outcome, broken.companion.command, of)
    return Ending(broken.outcome.exit_code, failure, is_told=False)


def _address(job: Job, host: str) -> str:
    """ps-lite takes addresses, not names."""
    if len(job.resources.hosts) == 1:
        return _LOOPBACK
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise HostsError(f"`{host}` has no address: {error.strerror}") from error
    except UnicodeError as error:
        raise IntermodalError(f"`{host}` is no host name") from error
