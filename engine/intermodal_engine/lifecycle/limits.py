"""How much of this machine an instance may use, by its instance type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from intermodal_contract.instance import InstanceType, UnknownInstanceTypeError, instance_type

_GIB = 1 << 30
_N = TypeVar("_N", int, float)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an instance may use; None: all that the machine has.

    Attributes:
        memory_bytes: main memory.
        cpus: cores.
    """

    memory_bytes: int | None = None
    cpus: float | None = None

    def within(self, needs: Mapping[str, Any] | None) -> "Limits":
        """The limits of a copy of a component, which has a part of an instance.

        Args:
            needs: `ComputeResourceRequirements`; None: it has the whole.
        """
        if needs is None:
            return self
        cpus, memory_mib = needs.get("NumberOfCpuCoresRequired"), needs.get("MaxMemoryRequiredInMb")
        memory_bytes = int(memory_mib) << 20 if memory_mib else None
        return Limits(_smaller(memory_bytes, self.memory_bytes), _smaller(cpus, self.cpus))


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
    here = machine or instance_type("local")
    return Limits(
        memory_bytes=int(kind.memory_gib * _GIB) if kind.memory_gib < here.memory_gib else None,
        cpus=float(kind.vcpus) if kind.vcpus < here.vcpus else None,
    )


def _smaller(one: _N | None, other: _N | None) -> _N | None:
    return min((limit for limit in (one, other) if limit), default=None)
