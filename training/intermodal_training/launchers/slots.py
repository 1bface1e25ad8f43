"""How many processes a host gets, and how many it has room for."""

from intermodal_contract.instance import UnknownInstanceTypeError, instance_type
from intermodal_training.errors import DistributionError
from intermodal_training.job import Job


def processes_per_host(asked: object, name: str, job: Job, *, default: int) -> int:
    """Checks the number that the job asks for.

    Args:
        asked: the number; None or 0 where the job says nothing.
        name: what it was asked by, for the message.
        job: whose host it is.
        default: where the job says nothing.

    Raises:
        DistributionError: it is no number, or there is no room for so many.
    """
    try:
        number = int(str(asked or default))
    except ValueError:
        number = 0
    if number < 1:
        raise DistributionError(f"`{name}` is `{asked}`, which is no number of processes")
    room, what = slots(job)
    if number > room:
        raise DistributionError(
            f"`{name}` asks for {number} processes on a host that has {room} {what}",
            hint="ask for fewer, or for a bigger instance type",
        )
    return number


def slots(job: Job) -> tuple[int, str]:
    """How many processes have room on this host, and what limits them."""
    if job.machine.gpus:
        return job.machine.gpus, "GPUs"
    if job.machine.neurons:
        return job.machine.neurons, "NeuronCores"
    name = job.resources.current_instance_type
    if name is None:
        return job.machine.cpus, "CPUs"
    try:
        # A small machine may stand in for a big one.
        return max(instance_type(name).vcpus, job.machine.cpus), f"vCPUs (`{name}`)"
    except UnknownInstanceTypeError:
        return job.machine.cpus, "CPUs"


def accelerators(job: Job) -> int:
    """One process an accelerator, one in all where there is none."""
    return job.machine.gpus or job.machine.neurons or 1
