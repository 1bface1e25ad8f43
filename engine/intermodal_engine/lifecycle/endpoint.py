"""The life of an endpoint, or of an inference component: deployed, kept at its number, changed.

A new deployment comes up beside the one in service (`rollout`); one that fails leaves the old one
in service. Weights and numbers of instances change within the deployment in service.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle import resizing, rollout
from intermodal_engine.lifecycle.fleet import Fleet, Member, members_of
from intermodal_engine.lifecycle.fleet_members import FleetMembers
from intermodal_engine.lifecycle.fleet_state import of_generation
from intermodal_engine.lifecycle.keeping import DRAIN_LOOK_S, FleetKeeper, sooner
from intermodal_engine.lifecycle.on_demand import OnDemand
from intermodal_engine.lifecycle.places import Places
from intermodal_engine.lifecycle.resizing import Resize, Resizes
from intermodal_engine.lifecycle.rollout import Rollouts
from intermodal_engine.lifecycle.transitions import set_status
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.router import Health
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Record, Records

logger = logging.getLogger(__name__)


class EndpointBusyError(Exception):
    """The endpoint is being created, updated or deleted."""


class NoSuchMemberError(Exception):
    """The endpoint has no such instance, or none that runs."""


class EndpointLifecycle:
    """All endpoints of one engine, or all inference components, which live in the same way.

    Args:
        records: where they are kept.
        fleet: their members.
        places: where members belong.
        queue: calls `reconcile`.
        clock: stamps changes.
        settings: time-outs.
        on_members: told of the record whose members are others than before.
        on_lacking: told of the record that has members without a place.
    """

    def __init__(
        self,
        *,
        records: Records,
        fleet: Fleet,
        places: Places,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
        on_members: Callable[[Record], None],
        on_lacking: Callable[[Record], None],
    ) -> None:
        self._kind = fleet.kind.name
        self._on_members = on_members
        self._on_lacking = on_lacking
        self._places = places
        self._records = records
        self._fleet = fleet
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._members = FleetMembers(records, fleet, places, clock)
        self._rollouts = Rollouts(
            records=records, fleet=fleet, members=self._members, clock=clock, settings=settings
        )
        self._on_demand = OnDemand(
            records=records,
            fleet=fleet,
            members=self._members,
            clock=clock,
            idle_s=settings.serverless_idle_s,
        )
        self._resizes = Resizes(
            records=records, fleet=fleet, members=self._members, clock=clock, settings=settings
        )
        self._keeper = FleetKeeper(records=records, fleet=fleet, members=self._members, clock=clock)
        queue.register(self._kind, self.reconcile)

    def create(
        self,
        name: str,
        request: Mapping[str, Any],
        variants: Mapping[str, Any],
        *,
        arn: str,
        region: str,
        tags: Mapping[str, str],
        capture: Mapping[str, Any] | None = None,
        belongs_to: Mapping[str, str] | None = None,
    ) -> Record:
        """Accepts an endpoint or a component.

        Args:
            name: its name.
            request: the parameters of CreateEndpoint or CreateInferenceComponent.
            variants: for each variant `container`, `role_arn`, `count`, `weight`, `instance_type`,
                `network_isolation`; a copy, since configurations may be deleted. Without a
                `container` its instances are places for components.
            arn: its ARN.
            region: whose zones are used.
            tags: its tags.
            capture: `DataCaptureConfig` of its configuration.
            belongs_to: a component's `endpoint` and `variant`.

        Raises:
            RecordExistsError: the name is taken.
        """
        state: dict[str, Any] = {
            **(belongs_to or {}),
            "region": region,
            "deployments": {},
            "members": [],
            "current": None,
            "traffic": {},
        }
        config_name = request.get("EndpointConfigName", "")
        self._add_deployment(state, config_name, variants, capture)
        rollout.begin(state, {}, self._clock.now())
        state["last_deployment_config"] = dict(request.get("DeploymentConfig", {}))
        record = self._records.insert(
            self._kind,
            name,
            arn=arn,
            request=request,
            status=EndpointStatus.CREATING,
            state=state,
            tags=tags,
        )
        self._queue.wake(self._kind, name)
        return record

    def update(
        self,
        name: str,
        config_name: str,
        variants: Mapping[str, Any],
        deployment_config: Mapping[str, Any] | None = None,
        capture: Mapping[str, Any] | None = None,
    ) -> Record:
        """Begins to deploy another configuration.

        Args:
            name: the endpoint's.
            config_name: the configuration's.
            variants: as `create` takes them.
            deployment_config: `DeploymentConfig`.
            capture: as `create` takes it.

        Raises:
            RecordNotFoundError: no such endpoint.
            EndpointBusyError: it is not in service.
            InvalidDeploymentError: the configuration of the deployment does not fit the fleets.
        """
        with self._records.edit(self._kind, name) as draft:
            if draft.status != EndpointStatus.IN_SERVICE:
                raise EndpointBusyError(draft.status)
            self._add_deployment(draft.state, config_name, variants, capture)
            rollout.begin(draft.state, dict(deployment_config or {}), self._clock.now())
            draft.state["last_deployment_config"] = dict(deployment_config or {})
            draft.state.pop("failure_reason", None)
            set_status(draft, EndpointStatus.UPDATING)
        self._queue.wake(self._kind, name)
        return self._records.get(self._kind, name)

    def resize(
        self,
        name: str,
        changes: Mapping[str, Resize],
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """Begins to change weights and numbers of instances of variants in service.

        Weights count at once. The endpoint is in service again when every instance is healthy; one
        that does not become so gets its earlier numbers back.

        Args:
            name: the endpoint's.
            changes: by variant.
            also: what else is written in the same transaction.

        Raises:
            RecordNotFoundError: no such endpoint.
            EndpointBusyError: it is not in service.
            UnknownVariantError: naming the variant.
        """
        with self._records.edit(self._kind, name) as draft:
            if draft.status != EndpointStatus.IN_SERVICE:
                raise EndpointBusyError(draft.status)
            resizing.begin(draft, changes, self._clock.now())
            set_status(draft, EndpointStatus.UPDATING)
            also()
        self._queue.wake(self._kind, name)

    def delete(self, name: str) -> None:
        """Begins to delete an endpoint; it is gone when its members have ended.

        Raises:
            RecordNotFoundError: no such endpoint.
            EndpointBusyError: it is being deleted already.
        """
        with self._records.edit(self._kind, name) as draft:
            if draft.status == EndpointStatus.DELETING:
                raise EndpointBusyError(draft.status)
            set_status(draft, EndpointStatus.DELETING)
        self._queue.wake(self._kind, name)

    def healthy(self, record: Record) -> list[Member]:
        """The members of the deployment in service that get requests."""
        members = of_generation(record.state, record.state["current"])
        return [one for one in members if self._fleet.health(record, one) is Health.HEALTHY]

    def recover(self) -> None:
        """Looks at every endpoint: traffic returns to members that lived on.

        Where it goes is known before the first request comes: nobody is told that an endpoint does
        not exist because it has not been looked at yet.
        """
        for record in self._records.all(self._kind):
            if record.state["current"] is not None:
                self._fleet.direct(record)
            self._queue.wake(self._kind, record.name)

    def wake_all(self) -> None:
        """Has every record looked at."""
        for record in self._records.all(self._kind):
            self._queue.wake(self._kind, record.name)

    def kill(self, name: str, member_id: str | None = None) -> Member:
        """Takes one instance away as a machine that fails does; it is replaced like one.

        Args:
            name: of the endpoint or the component.
            member_id: which instance; None: one that gets requests.

        Raises:
            RecordNotFoundError: there is none of that name.
            NoSuchMemberError: it has no such instance, or none that runs.
        """
        record = self._records.get(self._kind, name)
        named = [one for one in members_of(record.state) if one.member_id == member_id]
        for member in self.healthy(record) if member_id is None else named:
            if self._fleet.kill(record, member):
                return member
        raise NoSuchMemberError(member_id or name)

    def on_demand(self, name: str, variant: str, count: int) -> None:
        """The router's news: requests need so many instances of a serverless variant."""
        if self._on_demand.grow(name, variant, count):
            self.wake(name)

    def on_health(self, name: str, backend_id: str, health: Health) -> None:
        """The router's news: a member's health has changed."""
        logger.info("%s `%s`: `%s` is %s", self._kind, name, backend_id, health)
        self.wake(name)

    def wake(self, name: str) -> None:
        """Has a record looked at."""
        self._queue.wake(self._kind, name)

    def reconcile(self, name: str) -> float | None:
        """Does whatever is due for one record; returns when to look again."""
        record = self._records.find(self._kind, name)
        if record is None:
            return None
        look = self._advance(record)
        after = self._records.find(self._kind, name)
        if after is None or after.state["members"] != record.state["members"]:
            self._on_members(after or record)
        if after is not None and self._places.lacking(after):
            self._on_lacking(after)
        return look

    # Steps

    def _advance(self, record: Record) -> float | None:
        steps: dict[str, Callable[[Record], float | None]] = {
            EndpointStatus.CREATING: self._rollouts.advance,
            EndpointStatus.UPDATING: self._update,
            EndpointStatus.ROLLING_BACK: self._back_out,
            EndpointStatus.UPDATE_ROLLBACK_FAILED: self._keeper.keep,
            EndpointStatus.IN_SERVICE: self._serve,
            EndpointStatus.FAILED: self._retire_all,
            EndpointStatus.DELETING: self._delete,
        }
        return steps[record.status](record)

    def _serve(self, record: Record) -> float | None:
        look = self._keeper.keep(record)
        return sooner(look, self._on_demand.shrink(self._records.get(self._kind, record.name)))

    def _update(self, record: Record) -> float | None:
        look = self._keeper.keep(record)
        record = self._records.get(self._kind, record.name)
        is_rollout = record.state.get("target") is not None
        other = self._rollouts.advance(record) if is_rollout else self._resizes.advance(record)
        return sooner(look, other)

    def _back_out(self, record: Record) -> float | None:
        look = self._keeper.keep(record)
        return sooner(look, self._rollouts.back_out(self._records.get(self._kind, record.name)))

    def _retire_all(self, record: Record) -> float | None:
        if self._members.retire(record, members_of(record.state)):
            return self._clock.now() + DRAIN_LOOK_S
        return None

    def _delete(self, record: Record) -> float | None:
        look = self._retire_all(record)
        if look is None:
            self._fleet.forget(record)
            self._records.delete(self._kind, record.name)
        return look

    def _add_deployment(
        self,
        state: dict[str, Any],
        config_name: str,
        variants: Mapping[str, Any],
        capture: Mapping[str, Any] | None,
    ) -> None:
        generation = 1 + max((int(number) for number in state["deployments"]), default=0)
        state["deployments"][str(generation)] = {
            "config_name": config_name,
            "variants": dict(variants),
            "capture": capture,
            "prepared": False,
            "begun_at": self._clock.now(),
        }
        state["target"] = generation
