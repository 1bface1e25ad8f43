"""Serverless variants: instances come when requests need them, and go when they are idle.

https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.fleet import Fleet
from intermodal_engine.lifecycle.fleet_members import FleetMembers
from intermodal_engine.lifecycle.fleet_state import (
    State,
    deployment_of,
    of_generation,
    wanted_of,
)
from intermodal_engine.store.records import Record, Records

INSTANCE_TYPE = "serverless"
"""Stands for the type of instances that nobody has chosen."""

_IN_SERVICE = (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING)


class OnDemand:
    """Keeps serverless variants at the numbers that their requests need.

    Args:
        records: where endpoints are.
        fleet: tells who is idle.
        members: lets those go.
        clock: tells when to look again.
        idle_s: for how long an instance may have nothing to do.
    """

    def __init__(
        self,
        *,
        records: Records,
        fleet: Fleet,
        members: FleetMembers,
        clock: Clock,
        idle_s: float,
    ) -> None:
        self._kind = fleet.kind.name
        self._records = records
        self._fleet = fleet
        self._members = members
        self._clock = clock
        self._idle_s = idle_s

    def grow(self, name: str, variant: str, count: int) -> bool:
        """Notes that so many instances are needed; says whether that is more than there were."""
        record = self._records.find(self._kind, name)
        if record is None or not _falls_short(record.state, variant, count):
            return False
        with self._records.edit(self._kind, name) as draft:
            if draft.status not in _IN_SERVICE or not _falls_short(draft.state, variant, count):
                return False
            deployment = deployment_of(draft.state, draft.state["current"])
            most = deployment["variants"][variant]["serverless"]["MaxConcurrency"]
            wanted = wanted_of(draft.state, draft.state["current"])
            deployment["wanted"] = {**wanted, variant: min(count, most)}
        return True

    def shrink(self, record: Record) -> float | None:
        """Lets idle instances go; returns when to look again."""
        generation = record.state["current"]
        variants = deployment_of(record.state, generation)["variants"]
        looks = [
            self._shrink_variant(record, generation, name, variant["serverless"])
            for name, variant in variants.items()
            if variant.get("serverless")
        ]
        return min((look for look in looks if look is not None), default=None)

    def _shrink_variant(
        self, record: Record, generation: int, name: str, config: dict[str, Any]
    ) -> float | None:
        wanted = wanted_of(record.state, generation)[name]
        least = config.get("ProvisionedConcurrency", 0)
        leaving = self._members.retiring(record)
        idle = {
            one: self._fleet.idle_s(one)
            for one in of_generation(record.state, generation)
            if one.variant == name and one not in leaving
        }
        spare = [one for one in idle if idle[one] >= self._idle_s][: max(0, wanted - least)]
        if not spare:
            waiting = [self._idle_s - one for one in idle.values() if one < self._idle_s]
            return self._clock.now() + min(waiting) if waiting and wanted > least else None
        if self._note(record.name, generation, name, wanted, wanted - len(spare)):
            self._members.retire(record, spare)
        return self._clock.now()

    def _note(self, name: str, generation: int, variant: str, wanted: int, left: int) -> bool:
        """Writes a smaller number down, unless requests have asked for more meanwhile."""
        with self._records.edit(self._kind, name) as draft:
            numbers = wanted_of(draft.state, generation)
            if numbers[variant] != wanted:
                return False
            deployment_of(draft.state, generation)["wanted"] = {**numbers, variant: left}
        return True


def _falls_short(state: State, variant: str, count: int) -> bool:
    current = state["current"]
    if current is None:
        return False
    config = deployment_of(state, current)["variants"].get(variant, {}).get("serverless")
    if not config:
        return False
    return bool(wanted_of(state, current)[variant] < min(count, config["MaxConcurrency"]))
