"""The ways to run the user's code on a host, one module each.

A launcher is a function from the job and its entry point to the argument vector that runs it, with
no effect of its own. Which one a job gets, its `sagemaker_…_enabled` hyperparameters say.
"""

from collections.abc import Callable, Mapping

from intermodal_training.errors import NotServedError
from intermodal_training.job import Job
from intermodal_training.launchers import process
from intermodal_training.user_code import EntryPoint

Launcher = Callable[[Job, EntryPoint], tuple[str, ...]]

LAUNCHERS: Mapping[str, Launcher | None] = {
    "sagemaker_torch_distributed_enabled": None,
    "sagemaker_pytorch_ddp_enabled": None,
    "sagemaker_pytorch_xla_multi_worker_enabled": None,
    "sagemaker_mpi_enabled": None,
    "sagemaker_parameter_server_enabled": None,
    "sagemaker_multi_worker_mirrored_strategy_enabled": None,
    "sagemaker_distributed_dataparallel_enabled": None,
}
"""The hyperparameter that asks for a launcher -> the launcher; None where there is none yet."""


def choose(job: Job) -> Launcher:
    """The launcher that a job asks for; the plain process if it asks for none.

    Raises:
        NotServedError: it asks for one that is not there. Running it as a plain process would
            train every host on its own and look like success.
    """
    for parameter, launcher in LAUNCHERS.items():
        if job.hyperparameters.framework.get(parameter) is True:
            if launcher is None:
                raise NotServedError(
                    f"the job asks for `{parameter}`, a distributed launcher that `train` does "
                    "not have yet",
                    hint="leave the estimator's `distribution` out to run one process a host",
                )
            return launcher
    return process.plan
