"""Serverless variants: instances come when requests need them, and go when they are idle.

https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.fleet import Fleet
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
        clock: tells when to look again.
        idle_s: for how long an instance may have nothing to do.
    """

    def __init__(self, *, records: Records, fleet: Fleet, clock: Clock, idle_s: float) -> None:
        self._kind = fleet.kind.name
        self._records = records
        self._fleet = fleet
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
        there = [one for one in of_generation(record.state, generation) if one.variant == name]
        idle = [self._fleet.idle_s(one) for one in there]
        waiting = [self._idle_s - one for one in idle if one < self._idle_s]
        wanted = wanted_of(record.state, generation)[name]
        leaving = len(there) - wanted  # some of the idle ones may be on their way already
        gone = sum(one >= self._idle_s for one in idle) - max(0, leaving)
        least = config.get("ProvisionedConcurrency", 0)
        left = max(least, wanted - max(0, gone))
        if left < wanted:
            with self._records.edit(self._kind, record.name) as draft:
                if draft.state["current"] != generation:
                    return None
                numbers = wanted_of(draft.state, generation)
                deployment_of(draft.state, generation)["wanted"] = {**numbers, name: left}
            return self._clock.now()
        return self._clock.now() + min(waiting) if waiting and wanted > least else None


def _falls_short(state: State, variant: str, count: int) -> bool:
    current = state["current"]
    if current is None:
        return False
    config = deployment_of(state, current)["variants"].get(variant, {}).get("serverless")
    if not config:
        return False
    return bool(wanted_of(state, current)[variant] < min(count, config["MaxConcurrency"]))
