"""The members of endpoints, started, watched, replaced and retired, as their records want it."""

from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import InstanceState, InstanceStatus
from intermodal_engine.lifecycle.fleet import (
    KIND,
    Fleet,
    Member,
    dump_members,
    members_of,
    new_member,
)
from intermodal_engine.lifecycle.fleet_state import missing, of_generation
from intermodal_engine.router.router import Health
from intermodal_engine.store.records import Record, Records


class FleetMembers:
    """What both the keeping and the changing of a fleet do with its members.

    Args:
        records: where they are kept.
        fleet: what runs.
        clock: stamps them.
    """

    def __init__(self, records: Records, fleet: Fleet, clock: Clock) -> None:
        self._records = records
        self._fleet = fleet
        self._clock = clock

    def statuses(self, record: Record, generation: int) -> dict[Member, InstanceStatus]:
        """Starts whatever is not started, and says how each one is.

        Raises:
            PlanRefusedError: an image cannot run here.
            StartFailedError: one could not be started.
        """
        members = of_generation(record.state, generation)
        return {member: self._fleet.ensure(record, member) for member in members}

    def fill_up(self, name: str, generation: int) -> Record:
        """Records new members for whatever is missing; recorded first, so that none gets lost."""
        now = self._clock.now()
        with self._records.edit(KIND, name) as draft:
            members = [
                new_member(generation, variant, zone, now)
                for variant, zone in missing(draft.state, generation)
            ]
            draft.state["members"] += dump_members(members)
            for member in members:
                draft.note("MemberAdded", member=member.member_id, zone=member.zone)
        return self._records.get(KIND, name)

    def are_healthy(self, members: list[Member]) -> bool:
        """Whether all of them may get requests."""
        return all(self._fleet.health(member) is Health.HEALTHY for member in members)

    def retire(self, record: Record, members: list[Member]) -> list[Member]:
        """Moves members towards their end; returns those that have not ended yet."""
        ended = [member for member in members if self._fleet.retire(record, member)]
        self.drop(record, ended, "retired")
        return [member for member in members if member not in ended]

    def drop(self, record: Record, members: list[Member], why: str) -> None:
        """Forgets members that have ended."""
        if not members:
            return
        for member in members:
            self._fleet.retire(record, member)
        gone = {member.member_id for member in members}
        with self._records.edit(KIND, record.name) as draft:
            kept = [one for one in members_of(draft.state) if one.member_id not in gone]
            draft.state["members"] = dump_members(kept)
            for member_id in sorted(gone):
                draft.note("MemberGone", member=member_id, why=why)


def has_ended(status: InstanceStatus) -> bool:
    """Whether it runs no more."""
    return status.state is not InstanceState.RUNNING
