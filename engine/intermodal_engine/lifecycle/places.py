"""Where the members of fleets belong: instances in zones, copies of components on instances.

Copies are placed by what they need, as AWS does it: an instance has as many cores, accelerators and
as much memory as its type, each copy takes its part, and the copies of a component are spread.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.lifecycle import fleet_state
from intermodal_engine.lifecycle.fleet import Member, Place, is_bare, members_of
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import (
    State,
    counts_of,
    deployment_of,
    of_generation,
    wanted_of,
)
from intermodal_engine.lifecycle.room import Needs, Room, choose_room, fresh_needed, needs_of
from intermodal_engine.router.router import Health
from intermodal_engine.store.records import Record, Records

NO_ROOM = (
    "There is not enough hardware resources on the instances to create a copy for this inference "
    "component. Please update resource requirements for this inference component, remove existing "
    "inference components, or increase the number of instances for this endpoint"
)
"""AWS's words."""


Retiring = AbstractSet[str]
"""Ids of members that are on their way out."""

NONE: Retiring = frozenset()


class Places(Protocol):
    """Compares the members that a fleet has with those that it should have."""

    def missing(
        self, name: str, state: State, generation: int, retiring: Retiring = NONE
    ) -> list[Place]:
        """The place of each member that there should be and is not, as far as there is room.

        Those that are on their way out (`retiring`) are no members any more.
        """

    def surplus(
        self, name: str, state: State, generation: int, retiring: Retiring = NONE
    ) -> list[Member]:
        """Members that there should not be, besides those that are on their way out."""

    def lacking(self, record: Record) -> list[tuple[Needs, int]]:
        """What members need that will have no place as it is, and how many these are."""

    def shortage(self, name: str, state: State, generation: int) -> str | None:
        """Why members that there should be have no place and will have none; else None."""


class InstancePlaces:
    """Instances of endpoints: spread over zones.

    Args:
        copies: tells how many copies of components are on an instance of an endpoint.
        closed_zones: those where nothing runs at present.
    """

    def __init__(
        self,
        copies: Callable[[str, str], int],
        closed_zones: Callable[[], AbstractSet[str]] = frozenset,
    ) -> None:
        self._copies = copies
        self._closed_zones = closed_zones

    def missing(
        self,
        name: str,  # noqa: ARG002 (of `Places`)
        state: State,
        generation: int,
        retiring: Retiring = NONE,
    ) -> list[Place]:
        """See `Places`."""
        return fleet_state.missing(_staying(state, retiring), generation, self._closed_zones())

    def surplus(
        self, name: str, state: State, generation: int, retiring: Retiring = NONE
    ) -> list[Member]:
        """See `Places`. Of instances for components, those with the fewest copies go."""
        state = _staying(state, retiring)
        variants = deployment_of(state, generation)["variants"]
        found = fleet_state.surplus(state, generation, self._closed_zones())
        chosen = [one for one in found if not is_bare(variants[one.variant])]
        for variant in {one.variant for one in found if is_bare(variants[one.variant])}:
            there = [one for one in of_generation(state, generation) if one.variant == variant]
            there.sort(key=lambda one: (self._copies(name, one.member_id), -one.started_at))
            chosen += there[: sum(one.variant == variant for one in found)]
        return chosen

    def lacking(self, record: Record) -> list[tuple[Needs, int]]:  # noqa: ARG002
        """There is always another instance."""
        return []

    def shortage(self, name: str, state: State, generation: int) -> str | None:  # noqa: ARG002
        """There is always another instance."""
        return None


class CopyPlaces:
    """Copies of inference components: on the instances of a variant of their endpoint.

    Args:
        records: endpoints and components.
        health: of a member, by its id.
    """

    def __init__(self, records: Records, health: Callable[[str], Health]) -> None:
        self._records = records
        self._health = health

    def missing(
        self, name: str, state: State, generation: int, retiring: Retiring = NONE
    ) -> list[Place]:
        """See `Places`. A copy that is on its way out takes its room until it has gone."""
        return self._placed(name, state, generation, retiring)[0]

    def surplus(
        self,
        name: str,  # noqa: ARG002 (of `Places`)
        state: State,
        generation: int,
        retiring: Retiring = NONE,
    ) -> list[Member]:
        """See `Places`. A copy whose instance goes stays until another one serves for it."""
        variant, wanted = _only(wanted_of(state, generation))
        hosts = {room.host_id for room in self.rooms(state["endpoint"], variant)}
        own = of_generation(_staying(state, retiring), generation)
        settled = [one for one in own if one.host in hosts]
        healthy = [one for one in settled if self._health(one.member_id) is Health.HEALTHY]
        homeless = [one for one in own if one.host not in hosts] if len(healthy) >= wanted else []
        return [*_crowded(settled, len(settled) - wanted, healthy), *homeless]

    def shortage(self, name: str, state: State, generation: int) -> str | None:
        """See `Places`. There is none yet where copies are going, or instances may come."""
        if not self._placed(name, state, generation)[1] or self._is_emptying(name, state):
            return None
        variant, _ = _only(wanted_of(state, generation))
        return None if self._may_grow(state, generation, variant) else NO_ROOM

    def lacking(self, record: Record) -> list[tuple[Needs, int]]:
        """See `Places`. While copies are going, it is not known yet."""
        if self._is_emptying(record.name, record.state):
            return []
        generations = [record.state["current"], record.state.get("target")]
        found = [
            (
                _needs(record.state, generation),
                self._placed(record.name, record.state, generation)[1],
            )
            for generation in generations
            if generation is not None
        ]
        return [one for one in found if one[1]]

    def rooms(self, endpoint: str, variant: str) -> list[Room]:
        """The instances of a variant that are to stay, as if they were empty."""
        record = self._records.find(ENDPOINT.name, endpoint)
        if record is None or record.state["current"] is None:
            return []
        generation = record.state["current"]
        variants = deployment_of(record.state, generation)["variants"]
        if variant not in variants:
            return []
        members = [one for one in of_generation(record.state, generation) if one.variant == variant]
        members.sort(key=lambda one: (self.copies(endpoint, one.member_id), -one.started_at))
        leaving = max(0, len(members) - wanted_of(record.state, generation)[variant])
        kind = variants[variant]["instance_type"]
        return [Room(one.member_id, one.zone, kind) for one in members[leaving:]]

    def copies(self, endpoint: str, host: str) -> int:
        """How many copies are on an instance."""
        return sum(
            member.host == host
            for record in self.components(endpoint)
            for member in members_of(record.state)
        )

    def components(self, endpoint: str) -> list[Record]:
        """The inference components of an endpoint."""
        every = self._records.all(COMPONENT.name)
        return [one for one in every if one.state["endpoint"] == endpoint]

    def _placed(
        self, name: str, state: State, generation: int, retiring: Retiring = NONE
    ) -> tuple[list[Place], int]:
        """The places of missing copies, and how many more have none."""
        variant, wanted = _only(wanted_of(state, generation))
        rooms = {room.host_id: room for room in self.rooms(state["endpoint"], variant)}
        for record in self.components(state["endpoint"]):
            of_one = state if record.name == name else record.state
            for member in members_of(of_one):
                if member.host in rooms:
                    rooms[member.host].take(record.name, _needs(of_one, member.generation))
        deployed = deployment_of(state, generation)["variants"][variant]
        needs, is_packed = needs_of(deployed), deployed["strategy"] == "BINPACK"
        own = of_generation(_staying(state, retiring), generation)
        absent = wanted - sum(one.host in rooms for one in own)
        places: list[Place] = []
        while len(places) < absent:
            room = choose_room(list(rooms.values()), name, needs, is_packed=is_packed)
            if room is None:
                return places, absent - len(places)
            room.take(name, needs)
            places.append(Place(variant, room.zone, room.host_id))
        return places, 0

    def _is_emptying(self, name: str, state: State) -> bool:
        """Whether copies are going, of this component or of one that is being deleted."""
        generations = [one for one in (state["current"], state.get("target")) if one is not None]
        others = [one for one in members_of(state) if one.generation not in generations]
        siblings = self.components(state["endpoint"])
        return (
            bool(others)
            or any(self.surplus(name, state, generation) for generation in generations)
            or any(one.status == EndpointStatus.DELETING for one in siblings)
        )

    def _may_grow(self, state: State, generation: int, variant: str) -> bool:
        record = self._records.find(ENDPOINT.name, state["endpoint"])
        if record is None or record.state["current"] is None:
            return False
        deployment = deployment_of(record.state, record.state["current"])
        bounds = managed_bounds(deployment, variant)
        if bounds is None or counts_of(deployment["variants"])[variant] >= bounds[1]:
            return False
        kind = deployment["variants"][variant]["instance_type"]
        return fresh_needed([(_needs(state, generation), 1)], kind, 1) == 1


def managed_bounds(deployment: Mapping[str, Any], variant: str) -> tuple[int, int] | None:
    """The least and the most instances of a variant whose number follows its copies; else None."""
    scaling = deployment["variants"].get(variant, {}).get("managed_scaling") or {}
    if scaling.get("Status") != "ENABLED":
        return None
    least = int(scaling.get("MinInstanceCount", 1))
    return least, max(least, int(scaling.get("MaxInstanceCount", 1)))


def _staying(state: State, retiring: Retiring) -> State:
    """The state without members that are on their way out."""
    if not retiring:
        return state
    kept = [one for one in state["members"] if one["member_id"] not in retiring]
    return {**state, "members": kept}


def _only(by_variant: Mapping[str, Any]) -> tuple[str, Any]:
    """A component is on one variant."""
    ((variant, value),) = by_variant.items()
    return variant, value


def _needs(state: State, generation: int) -> Needs:
    return needs_of(_only(deployment_of(state, generation)["variants"])[1])


def _crowded(members: list[Member], count: int, healthy: list[Member]) -> list[Member]:
    """Copies to take away: those that do not serve, then from where most are, the youngest."""
    left, chosen = list(members), []
    for _ in range(max(0, count)):
        on = {one.host: sum(other.host == one.host for other in left) for one in left}
        chosen.append(max(left, key=lambda one: (one not in healthy, on[one.host], one.started_at)))
        left.remove(chosen[-1])
    return chosen
