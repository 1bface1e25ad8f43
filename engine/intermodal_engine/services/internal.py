"""What the command line can ask a running engine to do, beyond AWS's operations."""

from collections.abc import Callable
from typing import Any

from intermodal_engine.lifecycle.spot_interruptions import check_interruptible, interrupt
from intermodal_engine.lifecycle.training_instances import KIND
from intermodal_engine.lifecycle.training_job import NotSpotError
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.services.call import Backends
from intermodal_engine.store.records import RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError

Task = Callable[[Backends, dict[str, Any]], dict[str, Any]]
"""Takes a JSON object and returns one. Raises ServiceError; a field `hint` says what to do."""


def find_task(name: str) -> Task:
    """The function behind a path.

    Raises:
        ServiceError: `NotFound`.
    """
    if name not in TASKS:
        raise ServiceError("NotFound", f"this engine knows no `{name}`", status=404)
    return TASKS[name]


def interrupt_spot_job(backends: Backends, parameters: dict[str, Any]) -> dict[str, Any]:
    """`intermodal drill spot`: interrupts `job`; with `only_check` no more than that it might."""
    name = parameters.get("job")
    if not isinstance(name, str):
        raise ServiceError("ValidationException", "`job` must be a training job's name")
    try:
        if parameters.get("only_check"):
            check_interruptible(backends.records, name)
        else:
            interrupt(backends.records, backends.training_jobs, name, cause="drill")
    except RecordNotFoundError as error:
        raise ServiceError(
            "ResourceNotFound",
            f"there is no training job `{name}`",
            status=404,
            fields={"hint": "`intermodal exec -- aws sagemaker list-training-jobs` names them"},
        ) from error
    except NotSpotError as error:
        raise ServiceError("Conflict", str(error), status=409) from error
    request = TrainingRequest(backends.records.get(KIND, name))
    checkpoints = request.checkpoints
    return {
        "job": name,
        "notice_s": backends.settings.stop_grace_s,
        "capacity_wait_s": backends.settings.spot_capacity_wait_s,
        "checkpoint_s3_uri": f"s3://{checkpoints[0].bucket}/{checkpoints[0].key}"
        if checkpoints
        else None,
    }


TASKS: dict[str, Task] = {"drills/spot": interrupt_spot_job}
