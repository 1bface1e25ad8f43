"""The ways to run the user's code on a host, one module each.

A launcher is a module with two functions: `check` refuses what it cannot run, before anything is
installed; `launch` runs it to its end. Which one a job gets, its `sagemaker_…_enabled`
hyperparameters say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from intermodal_training.errors import DistributionError, NotServedError
from intermodal_training.job import Job
from intermodal_training.report import Ending
from intermodal_training.supervise import Signals
from intermodal_training.user_code import EntryPoint


@dataclass(frozen=True, slots=True)
class Run:
    """What a launcher runs.

    Attributes:
        job: the job.
        entry_point: what shall run.
        environment: of the script.
        signals: tells of stop signals.
    """

    job: Job
    entry_point: EntryPoint
    environment: Mapping[str, str]
    signals: Signals

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self.entry_point.folder


class Launcher(Protocol):
    """What each module here has."""

    def check(self, job: Job, entry_point: EntryPoint) -> None:
        """Refuses what cannot be run.

        Raises:
            DistributionError: the message names the culprit.
        """

    def launch(self, run: Run) -> Ending:
        """Runs it to its end."""


PROCESS = "process"
LAUNCHERS: Mapping[str, str | None] = {
    "sagemaker_torch_distributed_enabled": "torchrun",
    "sagemaker_mpi_enabled": "mpi",
    "sagemaker_parameter_server_enabled": "parameter_server",
    "sagemaker_pytorch_ddp_enabled": None,
    "sagemaker_pytorch_xla_multi_worker_enabled": None,
    "sagemaker_multi_worker_mirrored_strategy_enabled": None,
    "sagemaker_distributed_dataparallel_enabled": None,
}
"""The hyperparameter that asks for a launcher -> its module; None where there is none."""

OPTIONS: Mapping[str, frozenset[str]] = {
    "sagemaker_torch_distributed_": frozenset({"enabled", "process_count_per_node"}),
    "sagemaker_mpi_": frozenset({"enabled", "num_of_processes_per_host", "custom_mpi_options"}),
    "sagemaker_parameter_server_": frozenset({"enabled"}),
}
"""What hyperparameters of each launcher may end with."""

_ENABLED = "_enabled"


def choose(job: Job) -> Launcher:
    """The launcher that a job asks for; the plain process if it asks for none on this host.

    Raises:
        NotServedError: it asks for one that is not there. Running it as a plain process would
            train every host on its own and look like success.
        DistributionError: it asks for two, or with an option that there is not.
    """
    framework = job.hyperparameters.framework
    asked = [name for name, value in framework.items() if name.endswith(_ENABLED) and value is True]
    for name in framework:
        _check_option(name)
    for name in asked:
        if LAUNCHERS.get(name) is None:
            raise NotServedError(
                f"the job asks for `{name}`, a distributed launcher that `train` does not have",
                hint=f"there are {_quoted(n for n, module in LAUNCHERS.items() if module)}; "
                "leave the estimator's `distribution` out to run one process a host",
            )
    if len(asked) > 1:
        raise DistributionError(
            f"the job asks for {len(asked)} launchers at once: {_quoted(asked)}",
            hint="enable one of them in the estimator's `distribution`",
        )
    is_distributed = asked and job.resources.current_host in job.distribution_hosts
    module = LAUNCHERS[asked[0]] if is_distributed else PROCESS
    return cast("Launcher", import_module(f"{__name__}.{module}"))


def _check_option(name: str) -> None:
    for prefix, known in OPTIONS.items():
        if name.startswith(prefix) and name.removeprefix(prefix) not in known:
            raise DistributionError(
                f"`{name}` is no option of a launcher",
                hint=f"there are {_quoted(sorted(prefix + option for option in known))}",
            )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
