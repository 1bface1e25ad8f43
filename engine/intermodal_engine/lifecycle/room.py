"""What a copy of an inference component needs, and what an instance has left. Without effects.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_InferenceComponentComputeResourceRequirements.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intermodal_contract.instance import UnknownInstanceTypeError, instance_type


@dataclass(frozen=True, slots=True)
class Needs:
    """What a copy takes of its instance.

    Attributes:
        cpus: cores.
        accelerators: GPUs or NeuronCores.
        memory_mib: main memory.
    """

    cpus: float = 0.0
    accelerators: float = 0.0
    memory_mib: float = 0.0


def needs_of(variant: Mapping[str, Any]) -> Needs:
    """What a component's variant says in `needs`, see `CreateInferenceComponent`."""
    needs = variant["needs"]
    return Needs(
        needs.get("NumberOfCpuCoresRequired", 0.0),
        needs.get("NumberOfAcceleratorDevicesRequired", 0.0),
        needs["MinMemoryRequiredInMb"],
    )


@dataclass(slots=True)
class Room:
    """An instance, and what is left of it.

    Attributes:
        host_id: the instance.
        zone: its Availability Zone.
        instance_type: says what there is; all that is asked for, if it is not known.
        copies: by component, those that are on it.
    """

    host_id: str
    zone: str
    instance_type: str
    copies: dict[str, int] = field(default_factory=dict)
    _taken: Needs = field(default_factory=Needs)

    def fits(self, needs: Needs) -> bool:
        """Whether there is room for another copy."""
        try:
            kind = instance_type(self.instance_type)
        except UnknownInstanceTypeError:
            return True
        taken = self._taken
        return (
            taken.cpus + needs.cpus <= kind.vcpus
            and taken.accelerators + needs.accelerators <= kind.gpus + kind.neurons
            and taken.memory_mib + needs.memory_mib <= kind.memory_gib * 1024
        )

    def take(self, component: str, needs: Needs) -> None:
        """Puts a copy on it."""
        self.copies[component] = self.copies.get(component, 0) + 1
        self._taken = Needs(
            self._taken.cpus + needs.cpus,
            self._taken.accelerators + needs.accelerators,
            self._taken.memory_mib + needs.memory_mib,
        )


def choose_room(
    rooms: Sequence[Room], component: str, needs: Needs, *, is_packed: bool = False
) -> Room | None:
    """Where the next copy goes; None: nowhere.

    Args:
        rooms: all instances.
        component: whose copy.
        needs: what it takes.
        is_packed: fill instances (BINPACK), instead of spreading over them and over zones.
    """
    if is_packed:
        fitting = [room for room in rooms if room.fits(needs)]
        return max(fitting, key=lambda room: sum(room.copies.values()), default=None)
    by_zone: dict[str, int] = {}
    for room in rooms:
        by_zone[room.zone] = by_zone.get(room.zone, 0) + room.copies.get(component, 0)
    fitting = [room for room in rooms if room.fits(needs)]
    return min(
        fitting,
        key=lambda room: (
            room.copies.get(component, 0),
            by_zone[room.zone],
            sum(room.copies.values()),
        ),
        default=None,
    )


def fresh_needed(copies: Iterable[tuple[Needs, int]], kind: str, most: int) -> int:
    """How many new instances of a type would help copies that have no room; 0: none would.

    Args:
        copies: what some need, and how many these are.
        kind: the instance type.
        most: instances that may be added.
    """
    fresh: list[Room] = []
    for needs, count in copies:
        for _ in range(count):
            room = next((one for one in fresh if one.fits(needs)), None)
            if room is None:
                room = Room("", "", kind)
                if len(fresh) == most or not room.fits(needs):
                    break
                fresh.append(room)
            room.take("", needs)
    return len(fresh)
