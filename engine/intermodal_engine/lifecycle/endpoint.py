"""The life of an endpoint, or of an inference component: deployed, kept at its number, changed.

A new deployment comes up beside the one in service (`rollout`); one that fails leaves the old one
in service. Weights and numbers of instances change within the deployment in service.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import PlanRefusedError, StartFailedError
from intermodal_engine.lifecycle import rollout
from intermodal_engine.lifecycle.failure import shorten
from intermodal_engine.lifecycle.fleet import Fleet, Member, members_of
from intermodal_engine.lifecycle.fleet_members import FleetMembers, has_ended
from intermodal_engine.lifecycle.fleet_state import (
    counts_of,
    deployment_of,
    of_generation,
)
from intermodal_engine.lifecycle.places import Places
from intermodal_engine.lifecycle.rollout import Rollouts
from intermodal_engine.lifecycle.transitions import set_status
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.router import Health
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Record, Records

DRAIN_LOOK_S = 0.1
"""How soon to look again at a member that still has requests in flight."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0
"""A member that lived this long did not crash in a loop."""

CRASH_LOOP = 3
"""So many members in a row that died young are told as the endpoint's FailureReason."""

logger = logging.getLogger(__name__)


class EndpointBusyError(Exception):
    """The endpoint is being created, updated or deleted."""


class UnknownVariantError(Exception):
    """The endpoint has no production variant of that name."""


@dataclass(frozen=True, slots=True)
class Resize:
    """What is to change of one variant; None leaves it.

    Attributes:
        count: instances.
        weight: share of the traffic, over the sum of all variants' weights.
    """

    count: int | None = None
    weight: float | None = None


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
            deployment["wanted"] = counts_of(variants)
            # What died young before says nothing of what a person asks for now.
            deployment.update(not_before=0.0, pause_s=0.0)
            draft.state["resize"] = {"before": before, "began_at": self._clock.now()}
            draft.state.pop("failure_reason", None)
            draft.note("Resized", wanted=deployment["wanted"])
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

    def recover(self) -> None:
        """Looks at every endpoint: traffic returns to members that lived on.

        Where it goes is known before the first request comes: nobody is told that an endpoint does
        not exist because it has not been looked at yet.
        """
        for record in self._records.all(self._kind):
            if record.state["current"] is not None:
                self._fleet.direct(record)
            self._queue.wake(self._kind, record.name)

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
            EndpointStatus.UPDATE_ROLLBACK_FAILED: self._keep,
            EndpointStatus.IN_SERVICE: self._keep,
            EndpointStatus.FAILED: self._retire_all,
            EndpointStatus.DELETING: self._delete,
        }
        return steps[record.status](record)

    def _update(self, record: Record) -> float | None:
        look = self._keep(record)
        record = self._records.get(self._kind, record.name)
        is_rollout = record.state.get("target") is not None
        other = self._rollouts.advance(record) if is_rollout else self._resized(record)
        return _sooner(look, other)

    def _back_out(self, record: Record) -> float | None:
        look = self._keep(record)
        return _sooner(look, self._rollouts.back_out(self._records.get(self._kind, record.name)))

    def _resized(self, record: Record) -> float | None:
        """Ends a change of numbers when the fleet is as it should be, or will not be."""
        current = record.state["current"]
        surplus = self._places.surplus(record.name, record.state, current)
        if not surplus and self._members.is_whole(record, current):
            with self._records.edit(self._kind, record.name) as draft:
                del draft.state["resize"]
                set_status(draft, EndpointStatus.IN_SERVICE)
            return None
        deadline = float(record.state["resize"]["began_at"]) + self._settings.health_timeout_s
        shortage = self._places.shortage(record.name, record.state, current)
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

    def _keep(self, record: Record) -> float | None:
        """Keeps the current deployment whole and retires what belongs to none."""
        current, target = record.state["current"], record.state.get("target")
        self._fleet.direct(record)
        try:
            statuses = self._members.statuses(record, current)
        except (PlanRefusedError, StartFailedError, OSError) as error:
            logger.warning("endpoint `%s`: %s; trying again", record.name, error)
            return self._clock.now() + FIRST_PAUSE_S
        gone = [one for one, status in statuses.items() if has_ended(status)]
        expected = self._places.surplus(record.name, record.state, current)
        sick = [
            one
            for one in statuses
            if one not in gone and self._fleet.health(record, one) is Health.UNHEALTHY
        ]
        if gone or sick:
            known = [*record.state.get("leaving", []), *(one.member_id for one in expected)]
            fresh = [one for one in [*gone, *sick] if one.member_id not in known]
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
                others += self._places.surplus(record.name, record.state, generation)
        waiting = self._members.retire(record, others) or sick
        drain = self._clock.now() + DRAIN_LOOK_S if waiting else None
        return _sooner(look, drain)

    def _refill(self, name: str, generation: int) -> float | None:
        """Replaces missing members, after a pause where they die young."""
        record = self._records.get(self._kind, name)
        not_before = float(deployment_of(record.state, generation).get("not_before", 0.0))
        if not self._places.missing(name, record.state, generation):
            return self._forget_crashes(record, generation)
        if self._clock.now() < not_before:
            return not_before
        record = self._members.fill_up(record.name, generation)
        try:
            self._members.statuses(record, generation)
        except (PlanRefusedError, StartFailedError, OSError) as error:
            logger.warning("endpoint `%s`: %s; trying again", record.name, error)
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


def _sooner(*looks: float | None) -> float | None:
    return min((look for look in looks if look is not None), default=None)
