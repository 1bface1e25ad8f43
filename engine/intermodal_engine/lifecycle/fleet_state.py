"""What an endpoint's record says of its fleets: deployments, how many instances, traffic.

A *deployment* is one generation of the endpoint, made from an endpoint configuration:

    variants   by name: the container, its role, type, weight, and the number that is asked for
    wanted     by name: how many instances there should be at this moment

`traffic` of the state gives each generation its share.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from intermodal_engine.lifecycle.fleet import Member, Place, members_of, zones

State = dict[str, Any]


def deployment_of(state: Mapping[str, Any], generation: int) -> dict[str, Any]:
    """One generation."""
    deployment: dict[str, Any] = state["deployments"][str(generation)]
    return deployment


def counts_of(variants: Mapping[str, Any]) -> dict[str, int]:
    """How many instances of each variant are asked for."""
    return {name: int(variant["count"]) for name, variant in variants.items()}


def wanted_of(state: Mapping[str, Any], generation: int) -> dict[str, int]:
    """How many instances of each variant there should be now."""
    deployment = deployment_of(state, generation)
    wanted: dict[str, int] = deployment.get("wanted") or counts_of(deployment["variants"])
    return wanted


def of_generation(state: Mapping[str, Any], generation: int | None) -> list[Member]:
    """The members of one deployment."""
    return [member for member in members_of(state) if member.generation == generation]


def missing(
    state: Mapping[str, Any], generation: int, closed: AbstractSet[str] = frozenset()
) -> list[Place]:
    """The place of each member that there should be and is not, if zones alone count.

    Args:
        state: the endpoint's.
        generation: of which deployment.
        closed: zones without places.
    """
    return _compared(state, generation, closed)[0]


def surplus(
    state: Mapping[str, Any], generation: int, closed: AbstractSet[str] = frozenset()
) -> list[Member]:
    """Members that there should not be, likewise: the younger ones of the fullest zones."""
    return _compared(state, generation, closed)[1]


def still_used(state: Mapping[str, Any], current: int) -> dict[str, Any]:
    """Deployments whose members are still retiring."""
    used = {member.generation for member in members_of(state)} - {current}
    return {number: one for number, one in state["deployments"].items() if int(number) in used}


def _compared(
    state: Mapping[str, Any], generation: int, closed: AbstractSet[str]
) -> tuple[list[Place], list[Member]]:
    """Which places are empty, and which members have none.

    A member stays where it is as long as there is need of one, in whichever zone.
    """
    spread = [zone for zone in zones(state["region"]) if zone not in closed]
    empty = [
        Place(variant, spread[index % len(spread)])
        for variant, count in wanted_of(state, generation).items()
        for index in range(count if spread else 0)
    ]
    without = []
    for member in sorted(of_generation(state, generation), key=lambda one: one.started_at):
        place = Place(member.variant, member.zone)
        if place in empty:
            empty.remove(place)
        else:
            without.append(member)
    surplus = []
    for member in without:
        other = next((place for place in empty if place.variant == member.variant), None)
        if other is None:
            surplus.append(member)
        else:
            empty.remove(other)
    return empty, surplus
