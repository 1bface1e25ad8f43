"""The members of endpoints, started, watched, replaced and retired, as their records want it."""

from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import InstanceState, InstanceStatus
from intermodal_engine.lifecycle.fleet import (
    Fleet,
    Member,
    Place,
    dump_members,
    members_of,
    new_member,
)
from intermodal_engine.lifecycle.fleet_state import State, of_generation, wanted_of
from intermodal_engine.lifecycle.places import Places
from intermodal_engine.router.router import Health
from intermodal_engine.store.records import Record, Records


class FleetMembers:
    """What both the keeping and the changing of a fleet do with its members.

    Args:
        records: where they are kept.
        fleet: what runs.
        places: where they belong.
        clock: stamps them.
    """

    def __init__(self, records: Records, fleet: Fleet, places: Places, clock: Clock) -> None:
        self.places = places
        self._kind = fleet.kind.name
        self._records = records
        self._fleet = fleet
        self._clock = clock
        # The router gives these no requests any more; like that, it is forgotten with the engine.
        self._retiring: set[str] = set()

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
        with self._records.edit(self._kind, name) as draft:
            places = self.missing(name, draft.state, generation)
            members = [new_member(generation, place, now) for place in places]
            draft.state["members"] += dump_members(members)
            for member in members:
                draft.note("MemberAdded", member=member.member_id, zone=member.zone)
        return self._records.get(self._kind, name)

    def missing(self, name: str, state: State, generation: int) -> list[Place]:
        """The places of members that there should be, besides those that are on their way out."""
        return self.places.missing(name, state, generation, frozenset(self._retiring))

    def surplus(self, record: Record, generation: int) -> list[Member]:
        """Members that there should not be, besides those that are on their way out."""
        retiring = frozenset(self._retiring)
        return self.places.surplus(record.name, record.state, generation, retiring)

    def retiring(self, record: Record) -> list[Member]:
        """Members that are on their way out: they go, whatever has changed since."""
        return [one for one in members_of(record.state) if one.member_id in self._retiring]

    def is_whole(self, record: Record, generation: int) -> bool:
        """Whether a deployment has all members that it should have now, and all get requests."""
        members = of_generation(record.state, generation)
        wanted = sum(wanted_of(record.state, generation).values())
        return len(members) >= wanted and self.are_healthy(record, members)

    def are_healthy(self, record: Record, members: list[Member]) -> bool:
        """Whether all of them may get requests."""
        return all(self._fleet.health(record, one) is Health.HEALTHY for one in members)

    def retire(self, record: Record, members: list[Member]) -> list[Member]:
        """Moves members towards their end; returns those that have not ended yet."""
        self._retiring |= {member.member_id for member in members}
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
        self._retiring -= gone
        with self._records.edit(self._kind, record.name) as draft:
            kept = [one for one in members_of(draft.state) if one.member_id not in gone]
            draft.state["members"] = dump_members(kept)
            for member_id in sorted(gone):
                draft.note("MemberGone", member=member_id, why=why)


def has_ended(status: InstanceStatus) -> bool:
    """Whether it runs no more."""
    return status.state is not InstanceState.RUNNING
