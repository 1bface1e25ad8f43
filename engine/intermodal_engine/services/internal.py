"""What the command line can ask a running engine to do, beyond AWS's operations."""

from collections.abc import Callable
from typing import Any

from intermodal_engine.services import drills
from intermodal_engine.services.call import Backends
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


TASKS: dict[str, Task] = {
    "drills/spot": drills.interrupt_spot_job,
    "drills/job": drills.describe_job,
    "drills/endpoint": drills.describe_endpoint,
    "drills/zone": drills.describe_zone,
    "drills/instance": drills.kill_instance,
    "drills/begin": drills.begin_fault,
    "drills/end": drills.end_fault,
}
