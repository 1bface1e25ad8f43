"""Keeps fleets at their numbers: what died is replaced, what belongs to nothing is retired.

A member that dies young is replaced after a pause that doubles; some in a row are told as a crash
loop.
"""

import logging

from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import PlanRefusedError, StartFailedError
from intermodal_engine.lifecycle.failure import shorten
from intermodal_engine.lifecycle.fleet import Fleet, Member, members_of
from intermodal_engine.lifecycle.fleet_members import FleetMembers, has_ended
from intermodal_engine.lifecycle.fleet_state import deployment_of, of_generation
from intermodal_engine.router.router import Health
from intermodal_engine.store.records import Record, Records

DRAIN_LOOK_S = 0.1
"""How soon to look again at a member that still has requests in flight."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0
"""A member that lived this long did not crash in a loop."""

CRASH_LOOP = 3
"""So many members in a row that died young are told as the endpoint's FailureReason."""

_log = logging.getLogger(__name__)


class FleetKeeper:
    """Keeps all fleets of one kind.

    Args:
        records: where they are.
        fleet: members.
        members: what is done with them.
        clock: pauses.
    """

    def __init__(
        self, *, records: Records, fleet: Fleet, members: FleetMembers, clock: Clock
    ) -> None:
        self._kind = fleet.kind.name
        self._records = records
        self._fleet = fleet
        self._members = members
        self._clock = clock

    def keep(self, record: Record) -> float | None:
        """Keeps the current deployment whole and retires what belongs to none."""
        current, target = record.state["current"], record.state.get("target")
        self._fleet.direct(record)
        try:
            statuses = self._members.statuses(record, current)
        except (PlanRefusedError, StartFailedError, OSError) as error:
            _log.warning("%s `%s`: %s; trying again", self._kind, record.name, error)
            return self._clock.now() + FIRST_PAUSE_S
        gone = [one for one, status in statuses.items() if has_ended(status)]
        expected = [*self._members.surplus(record, current), *self._members.retiring(record)]
        sick = [
            one
            for one in statuses
            if one not in gone and self._fleet.health(record, one) is Health.UNHEALTHY
        ]
        if gone or sick:
            known = [*record.state.get("leaving", []), *(one.member_id for one in expected)]
            fresh = [
                one
                for one in [*gone, *sick]
                if one.member_id not in known and not self._fleet.is_cut_off(one)
            ]
            if fresh:
                self._pause(record, current, fresh)
            self._members.drop(record, gone, "ended")
            self._members.retire(record, sick)
        look = self._refill(record.name, current)
        record = self._records.get(self._kind, record.name)
        others = [
            one for one in members_of(record.state) if one.generation not in (current, target)
        ]
        for generation in (current, target):
            if generation is not None:
                others += self._members.surplus(record, generation)
        others += [one for one in self._members.retiring(record) if one not in others]
        waiting = self._members.retire(record, others) or sick
        drain = self._clock.now() + DRAIN_LOOK_S if waiting else None
        return sooner(look, drain)

    def _refill(self, name: str, generation: int) -> float | None:
        """Replaces missing members, after a pause where they die young."""
        record = self._records.get(self._kind, name)
        not_before = float(deployment_of(record.state, generation).get("not_before", 0.0))
        if not self._members.missing(name, record.state, generation):
            return self._forget_crashes(record, generation)
        if self._clock.now() < not_before:
            return not_before
        record = self._members.fill_up(record.name, generation)
        try:
            self._members.statuses(record, generation)
        except (PlanRefusedError, StartFailedError, OSError) as error:
            _log.warning("%s `%s`: %s; trying again", self._kind, record.name, error)
            return self._clock.now() + FIRST_PAUSE_S
        return None

    def _pause(self, record: Record, generation: int, lost: list[Member]) -> None:
        """Waits longer before each replacement of a member that died young."""
        now = self._clock.now()
        young = [member for member in lost if now - member.started_at < STEADY_S]
        with self._records.edit(self._kind, record.name) as draft:
            there = {member.member_id for member in members_of(draft.state)}
            leaving = [one for one in draft.state.get("leaving", []) if one in there]
            draft.state["leaving"] = leaving + [member.member_id for member in lost]
            deployment = deployment_of(draft.state, generation)
            pause_s = float(deployment.get("pause_s", 0.0)) if young else 0.0
            deployment["not_before"] = now + pause_s
            deployment["pause_s"] = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            deployment["crashes"] = deployment.get("crashes", 0) + len(young) if young else 0
            if deployment["crashes"] >= CRASH_LOOP:
                draft.state["failure_reason"] = shorten(
                    f"The container for production variant {young[0].variant} keeps ending: "
                    f"{deployment['crashes']} times in a row within {STEADY_S:.0f} s of its start; "
                    f"{self._fleet.last_words(record, young[0])}. What still runs goes on serving"
                )
                draft.state["is_crashing"] = True

    def _forget_crashes(self, record: Record, generation: int) -> float | None:
        """Once the youngest member is steady, the endpoint is said to be well again."""
        if not record.state.get("is_crashing"):
            return None
        began = max((one.started_at for one in of_generation(record.state, generation)), default=0)
        if self._clock.now() < began + STEADY_S:
            return began + STEADY_S
        with self._records.edit(self._kind, record.name) as draft:
            draft.state.pop("failure_reason", None)
            del draft.state["is_crashing"]
            deployment_of(draft.state, generation)["crashes"] = 0
        return None


def sooner(*looks: float | None) -> float | None:
    """The earliest of the moments at which to look again."""
    return min((look for look in looks if look is not None), default=None)
