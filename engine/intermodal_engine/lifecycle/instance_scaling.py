"""Instances that follow their copies: `ManagedInstanceScaling` of an endpoint's variants.

Copies of inference components that have no room get more instances, and instances without any copy
go after a while. https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html
"""

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.endpoint import EndpointBusyError, EndpointLifecycle
from intermodal_engine.lifecycle.fleet_kind import ENDPOINT
from intermodal_engine.lifecycle.fleet_state import counts_of, deployment_of
from intermodal_engine.lifecycle.places import CopyPlaces, managed_bounds
from intermodal_engine.lifecycle.resizing import Resize
from intermodal_engine.lifecycle.room import fresh_needed
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.records import Record, RecordNotFoundError, Records

BUSY_LOOK_S = 1.0
"""How soon to look again at an endpoint that is being changed."""

_QUEUE_KIND = "instance-scaling"


class InstanceScaling:
    """All managed instance scaling of one engine.

    Args:
        records: endpoints and components.
        endpoints: what is changed.
        places: knows which copies have no room.
        queue: calls back.
        clock: how long instances were empty.
        rest_s: how long they must be before they go.
    """

    def __init__(
        self,
        *,
        records: Records,
        endpoints: EndpointLifecycle,
        places: CopyPlaces,
        queue: WorkQueue,
        clock: Clock,
        rest_s: float,
    ) -> None:
        self._records = records
        self._endpoints = endpoints
        self._places = places
        self._queue = queue
        self._clock = clock
        self._rest_s = rest_s
        self._empty_since: dict[tuple[str, str], float] = {}
        queue.register(_QUEUE_KIND, self._look)

    def wake(self, endpoint: str) -> None:
        """Has an endpoint's instances looked at."""
        self._queue.wake(_QUEUE_KIND, endpoint)

    def _look(self, endpoint: str) -> float | None:
        record = self._records.find(ENDPOINT.name, endpoint)
        if record is None or record.state["current"] is None:
            return None
        deployment = deployment_of(record.state, record.state["current"])
        managed = [name for name in deployment["variants"] if managed_bounds(deployment, name)]
        if not managed:
            return None
        if record.status != EndpointStatus.IN_SERVICE:
            return self._clock.now() + BUSY_LOOK_S
        looks = [self._look_at_variant(record, name) for name in managed]
        return min((look for look in looks if look is not None), default=None)

    def _look_at_variant(self, record: Record, variant: str) -> float | None:
        deployment = deployment_of(record.state, record.state["current"])
        bounds = managed_bounds(deployment, variant)
        assert bounds is not None  # noqa: S101 - `_look` has asked
        least, most = bounds
        count = counts_of(deployment["variants"])[variant]
        lacking = [
            needs
            for component in self._places.components(record.name)
            if component.state["variant"] == variant
            for needs in self._places.lacking(component)
        ]
        kind = deployment["variants"][variant]["instance_type"]
        fresh = fresh_needed(lacking, kind, max(0, most - count))
        if fresh:
            self._empty_since.pop((record.name, variant), None)
            return self._resize(record, variant, count, count + fresh)
        empty = sum(
            not self._places.copies(record.name, room.host_id)
            for room in self._places.rooms(record.name, variant)
        )
        wanted = max(least, count - empty)
        if wanted >= count:
            self._empty_since.pop((record.name, variant), None)
            return None
        since = self._empty_since.setdefault((record.name, variant), self._clock.now())
        if self._clock.now() < since + self._rest_s:
            return since + self._rest_s
        return self._resize(record, variant, count, wanted)

    def _resize(self, record: Record, variant: str, count: int, wanted: int) -> float | None:
        if wanted == count:
            return None
        try:
            self._endpoints.resize(record.name, {variant: Resize(count=wanted)})
        except EndpointBusyError:
            return self._clock.now() + BUSY_LOOK_S
        except RecordNotFoundError:
            return None
        return None
