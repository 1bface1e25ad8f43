"""The instances of one job together: started, found, stopped and forgotten as a group."""

from collections.abc import Sequence

from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.lifecycle.attempt import Member
from intermodal_engine.lifecycle.instances import Instances


class Members:
    """Groups of instances, given by their specs.

    Args:
        instances: what runs.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def check(self, specs: Sequence[InstanceSpec]) -> None:
        """Makes sure that all could run here.

        Raises:
            PlanRefusedError: one cannot.
        """
        for spec in specs:
            self._instances.check(spec)

    def is_prepared(self, specs: Sequence[InstanceSpec]) -> bool:
        """Whether all that their start needs is there, so that `prepare` takes no time.

        Raises:
            PlanRefusedError: one cannot run here.
        """
        return all(map(self._instances.is_prepared, specs))

    def prepare(self, specs: Sequence[InstanceSpec]) -> bool:
        """Gets what their start needs; says whether all is there. See `Instances.prepare`.

        Raises:
            StartFailedError: it cannot be had.
        """
        ready = [self._instances.prepare(spec) for spec in specs]  # all are begun at once
        return all(ready)

    def ensure(self, specs: Sequence[InstanceSpec]) -> list[Member]:
        """Starts them, or finds those that were started.

        Raises:
            PlanRefusedError: one cannot run here.
            StartFailedError: one could not be started.
        """
        found = [(spec.host, self._instances.ensure(spec)) for spec in specs]
        return [Member(host, one, self._instances.status(one)) for host, one in found]

    def find(self, specs: Sequence[InstanceSpec]) -> list[Member]:
        """Those that were ever started."""
        found = [(spec.host, self._instances.find(spec)) for spec in specs]
        return [
            Member(host, one, self._instances.status(one)) for host, one in found if one is not None
        ]

    def stop(self, members: Sequence[Member]) -> bool:
        """Begins to stop those that run; says whether any did."""
        running = [member for member in members if not member.has_ended]
        for member in running:
            self._instances.stop(member.instance)
        return bool(running)

    def forget(self, members: Sequence[Member]) -> None:
        """Drops what is kept in memory of members that have ended."""
        for member in members:
            self._instances.forget(member.instance)


def culprit(bad: Sequence[Member]) -> Member:
    """The member that ended first, by itself if possible: the others were stopped because of it."""
    return min(bad, key=lambda one: (one.status.ended_at or 0.0, one.status.signal is not None))
