"""How much of this machine an instance may use, by its instance type."""

import os
from dataclasses import dataclass

from intermodal_contract.instance import InstanceType, UnknownInstanceTypeError, instance_type

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What an instance may use; None: all that the machine has.

    Attributes:
        memory_bytes: main memory.
        cpus: cores.
    """

    memory_bytes: int | None = None
    cpus: float | None = None


def limits_of(name: str, machine: InstanceType | None = None) -> Limits:
    """The limits of an instance of a type.

    There is none where the type has as much as the machine or more, or stands for the machine.

    Args:
        name: the type's, as in the request.
        machine: what the machine has; None: this one.
    """
    try:
        kind = instance_type(name)
    except UnknownInstanceTypeError:
        return Limits()
    if kind.is_local:
        return Limits()
    here = machine or _this_machine()
    return Limits(
        memory_bytes=int(kind.memory_gib * _GIB) if kind.memory_gib < here.memory_gib else None,
        cpus=float(kind.vcpus) if kind.vcpus < here.vcpus else None,
    )


def _this_machine() -> InstanceType:
    """As far as this process may use it."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return InstanceType("local", vcpus=os.cpu_count() or 1, memory_gib=memory_gib)
