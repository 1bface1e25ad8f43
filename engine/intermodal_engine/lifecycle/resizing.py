"""Changes of weights and numbers within the deployment in service.

A change is in the record, under `resize`, until the fleet is as it should be; numbers that cannot
be had are given back.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.failure import shorten
from intermodal_engine.lifecycle.fleet import Fleet
from intermodal_engine.lifecycle.fleet_members import FleetMembers
from intermodal_engine.lifecycle.fleet_state import counts_of, deployment_of, of_generation
from intermodal_engine.lifecycle.transitions import set_status
from intermodal_engine.router.router import Health
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Draft, Record, Records


class UnknownVariantError(Exception):
    """The endpoint has no production variant of that name."""


@dataclass(frozen=True, slots=True)
class Resize:
    """What is to change of one variant; None leaves it.

    Attributes:
        count: instances.
        weight: share of the traffic, over the sum of all variants' weights.
        serverless: members of a serverless configuration.
    """

    count: int | None = None
    weight: float | None = None
    serverless: Mapping[str, int] | None = None


def begin(draft: Draft, changes: Mapping[str, Resize], now: float) -> None:
    """Notes a change; weights count at once.

    Args:
        draft: an endpoint, or a component, in service.
        changes: by variant.
        now: epoch seconds.

    Raises:
        UnknownVariantError: naming the variant.
    """
    deployment = deployment_of(draft.state, draft.state["current"])
    variants = deployment["variants"]
    before = counts_of(variants)
    for variant, change in changes.items():
        if variant not in variants or variants[variant].get("is_shadow"):
            raise UnknownVariantError(variant)
        if change.count is not None:
            variants[variant]["count"] = change.count
        if change.weight is not None:
            variants[variant]["weight"] = change.weight
        if change.serverless is not None:
            config = {**variants[variant]["serverless"], **change.serverless}
            variants[variant] |= {"serverless": config, "count": first_count(config)}
    deployment["wanted"] = counts_of(variants)
    # What died young before says nothing of what a person asks for now.
    deployment.update(not_before=0.0, pause_s=0.0)
    draft.state["resize"] = {"before": before, "began_at": now}
    draft.state.pop("failure_reason", None)
    draft.note("Resized", wanted=deployment["wanted"])


def first_count(config: Mapping[str, int]) -> int:
    """How many instances a serverless variant begins with: at least one, to see that it serves."""
    return max(1, config.get("ProvisionedConcurrency", 1))


class Resizes:
    """All changes of numbers under way.

    Args:
        records: where they are.
        fleet: members.
        members: what is done with them.
        clock: time-outs.
        settings: how long new members may take.
    """

    def __init__(
        self,
        *,
        records: Records,
        fleet: Fleet,
        members: FleetMembers,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._kind = fleet.kind.name
        self._records = records
        self._fleet = fleet
        self._members = members
        self._clock = clock
        self._settings = settings

    def advance(self, record: Record) -> float | None:
        """Ends a change when the fleet is as it should be, or will not be."""
        current = record.state["current"]
        surplus = self._members.places.surplus(record.name, record.state, current)
        if not surplus and self._members.is_whole(record, current):
            with self._records.edit(self._kind, record.name) as draft:
                del draft.state["resize"]
                set_status(draft, EndpointStatus.IN_SERVICE)
            return None
        deadline = float(record.state["resize"]["began_at"]) + self._settings.health_timeout_s
        shortage = self._members.places.shortage(record.name, record.state, current)
        if shortage is not None or self._clock.now() >= deadline:
            self._give_numbers_back(record, shortage or self._why_not_resized(record))
            return self._clock.now()
        return deadline

    def _why_not_resized(self, record: Record) -> str:
        sick = [
            one
            for one in of_generation(record.state, record.state["current"])
            if self._fleet.health(record, one) is not Health.HEALTHY
        ]
        words = self._fleet.last_words(record, sick[0]) if sick else "none could be started"
        return (
            "The new instances did not pass the ping health check within "
            f"{self._settings.health_timeout_s:.0f} s; the earlier number is kept. {words}"
        )

    def _give_numbers_back(self, record: Record, reason: str) -> None:
        with self._records.edit(self._kind, record.name) as draft:
            before = draft.state.pop("resize")["before"]
            deployment = deployment_of(draft.state, draft.state["current"])
            for variant, count in before.items():
                deployment["variants"][variant]["count"] = count
            deployment["wanted"] = dict(before)
            draft.state["failure_reason"] = shorten(reason)
            set_status(draft, EndpointStatus.IN_SERVICE)
