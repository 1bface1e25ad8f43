"""The life of an endpoint: deployed, kept at the wanted number, updated, deleted.

An endpoint has *deployments*, numbered generations made from an endpoint configuration. A new one
comes up beside the one in service; only when all its members are healthy does traffic move, and
only then does the old one retire. A deployment that fails leaves the old one in service.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import (
    InstanceState,
    InstanceStatus,
    PlanRefusedError,
    StartFailedError,
)
from intermodal_engine.lifecycle.failure import FAILURES, describe_error, describe_exit, shorten
from intermodal_engine.lifecycle.fleet import (
    KIND,
    Fleet,
    Member,
    dump_members,
    members_of,
    new_member,
    zones,
)
from intermodal_engine.lifecycle.model_files import ModelDataError
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

KILLS_FORGIVEN = 2
"""Members killed by a signal that a starting deployment replaces before it gives up."""

logger = logging.getLogger(__name__)


class EndpointBusyError(Exception):
    """The endpoint is being created, updated or deleted."""


class _DeploymentError(Exception):
    """A deployment cannot come up; the message is the FailureReason."""


class EndpointLifecycle:
    """All endpoints of one engine.

    Args:
        records: where endpoints are kept.
        fleet: their members.
        queue: calls `reconcile`.
        clock: stamps changes.
        settings: time-outs.
    """

    def __init__(
        self,
        *,
        records: Records,
        fleet: Fleet,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._records = records
        self._fleet = fleet
        self._queue = queue
        self._clock = clock
        self._settings = settings
        queue.register(KIND, self.reconcile)

    def create(
        self,
        request: Mapping[str, Any],
        variants: Mapping[str, Any],
        *,
        arn: str,
        region: str,
        tags: Mapping[str, str],
    ) -> Record:
        """Accepts an endpoint.

        Args:
            request: the parameters of CreateEndpoint.
            variants: for each production variant `container`, `role_arn`, `count`, `weight`,
                `instance_type`, `network_isolation`; a copy, since configurations may be deleted.
            arn: its ARN.
            region: whose zones are used.
            tags: its tags.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = request["EndpointName"]
        state: dict[str, Any] = {
            "region": region,
            "deployments": {},
            "members": [],
            "current": None,
            "kills": 0,
        }
        self._add_deployment(state, request["EndpointConfigName"], variants)
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=request,
            status=EndpointStatus.CREATING,
            state=state,
            tags=tags,
        )
        self._queue.wake(KIND, name)
        return record

    def update(self, name: str, config_name: str, variants: Mapping[str, Any]) -> Record:
        """Begins to deploy another configuration.

        Raises:
            RecordNotFoundError: no such endpoint.
            EndpointBusyError: it is not in service.
        """
        with self._records.edit(KIND, name) as draft:
            if draft.status != EndpointStatus.IN_SERVICE:
                raise EndpointBusyError(draft.status)
            self._add_deployment(draft.state, config_name, variants)
            draft.state.pop("failure_reason", None)
            set_status(draft, EndpointStatus.UPDATING)
        self._queue.wake(KIND, name)
        return self._records.get(KIND, name)

    def delete(self, name: str) -> None:
        """Begins to delete an endpoint; it is gone when its members have ended.

        Raises:
            RecordNotFoundError: no such endpoint.
            EndpointBusyError: it is being deleted already.
        """
        with self._records.edit(KIND, name) as draft:
            if draft.status == EndpointStatus.DELETING:
                raise EndpointBusyError(draft.status)
            set_status(draft, EndpointStatus.DELETING)
        self._queue.wake(KIND, name)

    def recover(self) -> None:
        """Looks at every endpoint: traffic returns to members that lived on."""
        for record in self._records.all(KIND):
            self._queue.wake(KIND, record.name)

    def on_health(self, endpoint: str, backend_id: str, health: Health) -> None:
        """The router's callback: a member's health has changed."""
        logger.info("endpoint `%s`: `%s` is %s", endpoint, backend_id, health)
        self._queue.wake(KIND, endpoint)

    def reconcile(self, name: str) -> float | None:
        """Does whatever is due for one endpoint; returns when to look again."""
        record = self._records.find(KIND, name)
        if record is None:
            return None
        steps: dict[str, Callable[[Record], float | None]] = {
            EndpointStatus.CREATING: self._deploy,
            EndpointStatus.UPDATING: self._deploy,
            EndpointStatus.IN_SERVICE: self._keep,
            EndpointStatus.FAILED: self._retire_all,
            EndpointStatus.DELETING: self._delete,
        }
        return steps[record.status](record)

    # Steps

    def _deploy(self, record: Record) -> float | None:
        looks = [self._keep(record)] if record.state["current"] is not None else []
        target = record.state["target"]
        try:
            looks.append(self._bring_up(record, target))
        except (_DeploymentError, ModelDataError) as error:
            self._give_up(record, str(error))
        except FAILURES as error:
            self._give_up(record, describe_error(error))
        return min((look for look in looks if look is not None), default=None)

    def _bring_up(self, record: Record, generation: int) -> float | None:
        deployment = record.state["deployments"][str(generation)]
        if not deployment["prepared"]:
            is_prepared = self._prepare(record, generation)
            return self._clock.now() if is_prepared else None  # woken when what it waits for ends
        self._check_starting(record, self._statuses(record, generation), generation)
        record = self._fill_up(record.name, generation)
        members = [one for one in members_of(record.state) if one.generation == generation]
        self._statuses(record, generation)
        if all(self._fleet.health(member) is Health.HEALTHY for member in members):
            self._promote(record, generation)
            return self._clock.now()
        deadline = float(deployment["begun_at"]) + self._patience_s(deployment)
        if self._clock.now() >= deadline:
            raise _DeploymentError(self._unhealthy(record, members, self._patience_s(deployment)))
        return deadline

    def _prepare(self, record: Record, generation: int) -> bool:
        """Fetches models once, then whatever else the members need; says whether all is there."""
        variants = record.state["deployments"][str(generation)]["variants"]
        if any("model_folder" not in variant for variant in variants.values()):
            prepared = self._fleet.prepare(variants)
            with self._records.edit(KIND, record.name) as draft:
                draft.state["deployments"][str(generation)]["variants"] = prepared
        record = self._fill_up(record.name, generation)
        members = [one for one in members_of(record.state) if one.generation == generation]
        ready = [self._fleet.prepare_member(record, member) for member in members]
        if not all(ready):
            return False
        with self._records.edit(KIND, record.name) as draft:
            deployment = draft.state["deployments"][str(generation)]
            deployment.update(prepared=True, begun_at=self._clock.now())
        return True

    def _check_starting(
        self, record: Record, statuses: dict[Member, InstanceStatus], generation: int
    ) -> None:
        """Replaces members of a starting deployment that something killed, a few times."""
        ended = {one: status for one, status in statuses.items() if _has_ended(status)}
        for member, status in ended.items():
            killed = status.state is InstanceState.LOST or status.signal is not None
            if not killed or record.state["kills"] >= KILLS_FORGIVEN:
                raise _DeploymentError(
                    f"The container for production variant {member.variant} ended before it "
                    f"answered /ping: {describe_exit(member.member_id, status)}; "
                    f"{self._fleet.last_words(record, member)}. The whole output is in the log "
                    f"group {self._fleet.log_group(record)}"
                )
        if ended:
            with self._records.edit(KIND, record.name) as draft:
                draft.state["kills"] += len(ended)
            self._drop(record, list(ended), f"ended while deployment {generation} started")

    def _keep(self, record: Record) -> float | None:
        """Keeps the current deployment whole and retires what belongs to none."""
        current, target = record.state["current"], record.state.get("target")
        self._fleet.direct(record, current)
        try:
            statuses = self._statuses(record, current)
        except (PlanRefusedError, StartFailedError, OSError) as error:
            logger.warning("endpoint `%s`: %s; trying again", record.name, error)
            return self._clock.now() + FIRST_PAUSE_S
        gone = [one for one, status in statuses.items() if _has_ended(status)]
        sick = [
            one
            for one in statuses
            if one not in gone and self._fleet.health(one) is Health.UNHEALTHY
        ]
        if gone or sick:
            self._pause(record, current, [*gone, *sick])
            self._drop(record, gone, "ended")
            self._retire(record, sick)
        look = self._refill(record.name, current)
        others = [
            one for one in members_of(record.state) if one.generation not in (current, target)
        ]
        waiting = self._retire(record, others) or sick
        drain = self._clock.now() + DRAIN_LOOK_S if waiting else None
        return min((one for one in (look, drain) if one is not None), default=None)

    def _refill(self, name: str, generation: int) -> float | None:
        """Replaces missing members, after a pause where they die young."""
        record = self._records.get(KIND, name)
        deployment = record.state["deployments"][str(generation)]
        not_before = float(deployment.get("not_before", 0.0))
        if not _missing(record, generation):
            return None
        if self._clock.now() < not_before:
            return not_before
        record = self._fill_up(record.name, generation)
        self._statuses(record, generation)
        return None

    def _pause(self, record: Record, generation: int, lost: list[Member]) -> None:
        """Waits longer before each replacement of a member that died young."""
        now = self._clock.now()
        young = any(now - member.started_at < STEADY_S for member in lost)
        with self._records.edit(KIND, record.name) as draft:
            deployment = draft.state["deployments"][str(generation)]
            pause_s = float(deployment.get("pause_s", 0.0)) if young else 0.0
            deployment["not_before"] = now + pause_s
            deployment["pause_s"] = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)

    def _retire_all(self, record: Record) -> float | None:
        if self._retire(record, members_of(record.state)):
            return self._clock.now() + DRAIN_LOOK_S
        return None

    def _delete(self, record: Record) -> float | None:
        look = self._retire_all(record)
        if look is None:
            self._fleet.forget(record)
            self._records.delete(KIND, record.name)
        return look

    # Members

    def _statuses(self, record: Record, generation: int) -> dict[Member, InstanceStatus]:
        return {
            member: self._fleet.ensure(record, member)
            for member in members_of(record.state)
            if member.generation == generation
        }

    def _fill_up(self, name: str, generation: int) -> Record:
        """Records new members for whatever is missing; recorded first, so that none gets lost."""
        now = self._clock.now()
        with self._records.edit(KIND, name) as draft:
            members = [
                new_member(generation, variant, zone, now)
                for variant, zone in _missing(draft.record, generation)
            ]
            draft.state["members"] += dump_members(members)
            for member in members:
                draft.note("MemberAdded", member=member.member_id, zone=member.zone)
        return self._records.get(KIND, name)

    def _retire(self, record: Record, members: list[Member]) -> list[Member]:
        """Moves members towards their end; returns those that have not ended yet."""
        ended = [member for member in members if self._fleet.retire(record, member)]
        self._drop(record, ended, "retired")
        return [member for member in members if member not in ended]

    def _drop(self, record: Record, members: list[Member], why: str) -> None:
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

    # Deployments

    def _add_deployment(
        self, state: dict[str, Any], config_name: str, variants: Mapping[str, Any]
    ) -> None:
        generation = 1 + max((int(number) for number in state["deployments"]), default=0)
        state["deployments"][str(generation)] = {
            "config_name": config_name,
            "variants": dict(variants),
            "prepared": False,
            "begun_at": self._clock.now(),
        }
        state["target"] = generation
        state["kills"] = 0

    def _promote(self, record: Record, generation: int) -> None:
        with self._records.edit(KIND, record.name) as draft:
            if draft.state.get("target") != generation:
                return
            self._fleet.direct(record, generation)
            draft.state["current"] = generation
            draft.state["target"] = None
            draft.state["deployments"] = {
                str(generation): draft.state["deployments"][str(generation)],
                **_still_used(draft.state, generation),
            }
            set_status(draft, EndpointStatus.IN_SERVICE)

    def _give_up(self, record: Record, reason: str) -> None:
        """Ends a deployment that cannot come up; an earlier one stays in service."""
        with self._records.edit(KIND, record.name) as draft:
            if draft.status == EndpointStatus.DELETING:
                return
            draft.state["target"] = None
            draft.state["failure_reason"] = shorten(reason)
            updating = draft.state["current"] is not None
            set_status(draft, EndpointStatus.IN_SERVICE if updating else EndpointStatus.FAILED)
        self._queue.wake(KIND, record.name)

    def _patience_s(self, deployment: Mapping[str, Any]) -> float:
        """How long a deployment may take: the longest that one of its variants asks for."""
        asked = (variant.get("startup_timeout_s") for variant in deployment["variants"].values())
        return max(float(one or self._settings.health_timeout_s) for one in asked)

    def _unhealthy(self, record: Record, members: list[Member], patience_s: float) -> str:
        sick = next(one for one in members if self._fleet.health(one) is not Health.HEALTHY)
        return (
            f"The primary container for production variant {sick.variant} did not pass the ping "
            f"health check within {patience_s:.0f} s. Please check CloudWatch "
            f"logs for this endpoint: {self._fleet.log_group(record)}; "
            f"{self._fleet.last_words(record, sick)}"
        )


def _has_ended(status: InstanceStatus) -> bool:
    return status.state is not InstanceState.RUNNING


def _still_used(state: Mapping[str, Any], current: int) -> dict[str, Any]:
    """Deployments whose members are still retiring."""
    used = {member.generation for member in members_of(state)} - {current}
    return {number: one for number, one in state["deployments"].items() if int(number) in used}


def _missing(record: Record, generation: int) -> list[tuple[str, str]]:
    """`(variant, zone)` of each member that there should be and is not."""
    there = [
        (member.variant, member.zone)
        for member in members_of(record.state)
        if member.generation == generation
    ]
    missing = []
    spread = zones(record.state["region"])
    for name, variant in record.state["deployments"][str(generation)]["variants"].items():
        for index in range(variant["count"]):
            place = (name, spread[index % len(spread)])
            if place in there:
                there.remove(place)
            else:
                missing.append(place)
    return missing
