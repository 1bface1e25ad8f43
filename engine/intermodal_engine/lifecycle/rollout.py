"""Brings a deployment of an endpoint into service, step by step, or back out again.

A *rollout* is in the endpoint's record, so that any engine goes on with it:

    Launching    the new fleet is started as far as the step wants it, and becomes healthy
    Baking       the step's share of the traffic goes to it; it and the alarms are watched
    Terminating  all traffic goes to it; the old fleet is kept for a while longer

A failure in any of them ends the rollout: the traffic goes back, the old fleet is made whole, and
only then does the new one go; or all three batch by batch, with a `RollbackMaximumBatchSize`.
"""

from dataclasses import asdict
from enum import StrEnum
from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import InstanceState, InstanceStatus
from intermodal_engine.lifecycle import deployment as deployments
from intermodal_engine.lifecycle.failure import FAILURES, describe_error, describe_exit, shorten
from intermodal_engine.lifecycle.fleet import Fleet, Member
from intermodal_engine.lifecycle.fleet_members import FleetMembers, has_ended
from intermodal_engine.lifecycle.fleet_state import (
    State,
    counts_of,
    deployment_of,
    of_generation,
    still_used,
)
from intermodal_engine.lifecycle.model_files import ModelDataError
from intermodal_engine.lifecycle.places import NO_ROOM
from intermodal_engine.lifecycle.transitions import set_status
from intermodal_engine.router.router import Health
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Draft, Record, Records

KILLS_FORGIVEN = 2
"""Members killed by a signal that a starting deployment replaces before it gives up."""

ALARM_LOOK_S = 1.0
"""How often alarms are looked at while a deployment is watched."""

ALARM_KIND = "alarm"
_IN_ALARM = "ALARM"


class Phase(StrEnum):
    """What a rollout is doing."""

    LAUNCHING = "Launching"
    BAKING = "Baking"
    TERMINATING = "Terminating"


class RolloutError(Exception):
    """A deployment cannot come up, or may not stay; the message is the FailureReason."""


def begin(state: State, config: dict[str, Any], now: float) -> None:
    """Notes the rollout of the deployment that the state's `target` names.

    Args:
        state: the endpoint's.
        config: `DeploymentConfig`.
        now: epoch seconds.

    Raises:
        InvalidDeploymentError: the sizes do not fit the fleets.
    """
    target = deployment_of(state, state["target"])
    new = counts_of(target["variants"])
    current = state["current"]
    old = {} if current is None else counts_of(deployment_of(state, current)["variants"])
    steps = deployments.steps(config, old, new, is_of_copies="endpoint" in state)
    target["wanted"] = dict(steps[0].new)
    state["kills"] = 0
    state["rollout"] = {
        "steps": [asdict(step) for step in steps],
        "at": 0,
        "phase": Phase.LAUNCHING,
        "until": 0.0,
        "began_at": now,
        "config": config,
    }


class Rollouts:
    """All rollouts of one engine.

    Args:
        records: where endpoints, and alarms, are kept.
        fleet: members.
        members: what is done with them.
        clock: tells when to go on.
        settings: time-outs.
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
        """Does whatever is due; returns when to look again."""
        if "rollout" not in record.state:  # an engine that knew of none has begun it
            with self._records.edit(self._kind, record.name) as draft:
                begin(draft.state, {}, self._clock.now())
            return self._clock.now()
        try:
            self._check_limits(record)
            return self._step(record, record.state["target"])
        except (RolloutError, ModelDataError) as error:
            self._give_up(record, str(error))
        except FAILURES as error:
            self._give_up(record, describe_error(error))
        return self._clock.now()

    def back_out(self, record: Record) -> float | None:
        """Ends a rollout that has failed, once the old fleet is whole again, batch by batch."""
        current = record.state["current"]
        if self._members.is_whole(record, current):
            if len(record.state["rollout"].get("back", ())) > 1:
                self._step_back(record)
            else:
                self._end(record, EndpointStatus.IN_SERVICE)
            return self._clock.now()
        patience_s = self._patience_s(deployment_of(record.state, current))
        deadline = float(record.state["rollout"]["until"]) + patience_s
        if self._clock.now() >= deadline:
            self._end(record, EndpointStatus.UPDATE_ROLLBACK_FAILED)
            return self._clock.now()
        return deadline

    def _step(self, record: Record, generation: int) -> float | None:
        deployment = deployment_of(record.state, generation)
        if not deployment["prepared"]:
            is_prepared = self._prepare(record, generation)
            return self._clock.now() if is_prepared else None  # woken when what it waits for ends
        self._check_starting(record, self._members.statuses(record, generation), generation)
        record = self._members.fill_up(record.name, generation)
        members = of_generation(record.state, generation)
        self._members.statuses(record, generation)
        phase = record.state["rollout"]["phase"]
        if phase == Phase.LAUNCHING:
            return self._launch(record, generation, members)
        return self._watch(record, generation, members)

    def _prepare(self, record: Record, generation: int) -> bool:
        """Fetches models once, then whatever else the members need; says whether all is there."""
        variants = deployment_of(record.state, generation)["variants"]
        if any("model_folder" not in variant for variant in variants.values()):
            prepared = self._fleet.prepare(variants)
            with self._records.edit(self._kind, record.name) as draft:
                deployment_of(draft.state, generation)["variants"] = prepared
        record = self._members.fill_up(record.name, generation)
        members = of_generation(record.state, generation)
        ready = [self._fleet.prepare_member(record, member) for member in members]
        if not all(ready):
            return False
        now = self._clock.now()
        images = {one.variant: self._fleet.images(record, one) for one in members}
        with self._records.edit(self._kind, record.name) as draft:
            deployment = deployment_of(draft.state, generation)
            deployment.update(prepared=True, begun_at=now, resolved_at=now)
            for name, resolved in images.items():
                deployment["variants"][name]["resolved_images"] = resolved
        return True

    def _launch(self, record: Record, generation: int, members: list[Member]) -> float:
        """Waits until the step's instances are healthy, then gives them the step's traffic."""
        if self._members.is_whole(record, generation):
            self._shift(record, generation)
            return self._clock.now()
        shortage = self._members.places.shortage(record.name, record.state, generation)
        if shortage is not None:
            raise RolloutError(shortage)
        deployment = deployment_of(record.state, generation)
        patience_s = self._patience_s(deployment)
        deadline = float(deployment["begun_at"]) + patience_s
        if self._clock.now() >= deadline:
            raise RolloutError(self._unhealthy(record, members, f"within {patience_s:.0f} s"))
        return min(deadline, self._alarm_look(record))

    def _shift(self, record: Record, generation: int) -> None:
        now = self._clock.now()
        with self._records.edit(self._kind, record.name) as draft:
            rollout, current = draft.state["rollout"], draft.state["current"]
            step = rollout["steps"][rollout["at"]]
            draft.state["traffic"] = {str(generation): step["share"]}
            if current is not None:
                if step["share"] < 1.0:
                    draft.state["traffic"][str(current)] = 1.0 - step["share"]
                deployment_of(draft.state, current)["wanted"] = dict(step["old"])
            rollout["phase"] = Phase.BAKING
            rollout["until"] = now + deployments.wait_s(rollout["config"])
            draft.note("TrafficShifted", share=step["share"], generation=generation)
        self._fleet.direct(self._records.get(self._kind, record.name))

    def _watch(self, record: Record, generation: int, members: list[Member]) -> float:
        """Goes on to the next step when this one has been good for long enough."""
        sick = [one for one in members if self._fleet.health(record, one) is Health.UNHEALTHY]
        if sick:
            raise RolloutError(self._unhealthy(record, sick, "while it was watched"))
        rollout = record.state["rollout"]
        if self._clock.now() < float(rollout["until"]):
            return min(float(rollout["until"]), self._alarm_look(record))
        is_last = rollout["at"] == len(rollout["steps"]) - 1
        if rollout["phase"] == Phase.TERMINATING:
            self._promote(record, generation)
        elif is_last:
            self._keep_old_for_a_while(record)
        else:
            self._next_step(record, generation)
        return self._clock.now()

    def _next_step(self, record: Record, generation: int) -> None:
        with self._records.edit(self._kind, record.name) as draft:
            rollout = draft.state["rollout"]
            rollout["at"] += 1
            rollout["phase"] = Phase.LAUNCHING
            target = deployment_of(draft.state, generation)
            target["wanted"] = dict(rollout["steps"][rollout["at"]]["new"])
            target["begun_at"] = self._clock.now()

    def _keep_old_for_a_while(self, record: Record) -> None:
        with self._records.edit(self._kind, record.name) as draft:
            rollout = draft.state["rollout"]
            rollout["phase"] = Phase.TERMINATING
            rollout["until"] = self._clock.now() + deployments.termination_wait_s(rollout["config"])

    def _promote(self, record: Record, generation: int) -> None:
        with self._records.edit(self._kind, record.name) as draft:
            if draft.state.get("target") != generation:
                return
            state = draft.state
            state["current"], state["target"] = generation, None
            state["traffic"] = {str(generation): 1.0}
            deployment = deployment_of(state, generation)
            deployment["wanted"] = counts_of(deployment["variants"])
            state["deployments"] = {str(generation): deployment, **still_used(state, generation)}
            del state["rollout"]
            set_status(draft, EndpointStatus.IN_SERVICE)

    # Endings that are none

    def _check_limits(self, record: Record) -> None:
        """Alarms, and the time that the whole may take."""
        rollout = record.state["rollout"]
        config = rollout["config"]
        names = deployments.alarms(config)
        found = {name: self._records.find(ALARM_KIND, name) for name in names}
        ringing = [name for name, one in found.items() if one and one.status == _IN_ALARM]
        if ringing and record.state["current"] is not None:
            raise RolloutError(
                "One or more alarms were in ALARM state during the deployment: "
                + ", ".join(ringing)
            )
        if self._clock.now() >= float(rollout["began_at"]) + deployments.timeout_s(config):
            raise RolloutError(
                "The deployment took longer than MaximumExecutionTimeoutInSeconds "
                f"({deployments.timeout_s(config):.0f} s)"
            )

    def _alarm_look(self, record: Record) -> float:
        rollout = record.state["rollout"]
        end = float(rollout["began_at"]) + deployments.timeout_s(rollout["config"])
        has_alarms = bool(deployments.alarms(rollout["config"]))
        return min(end, self._clock.now() + ALARM_LOOK_S) if has_alarms else end

    def _check_starting(
        self, record: Record, statuses: dict[Member, InstanceStatus], generation: int
    ) -> None:
        """Replaces members of a rollout that something killed, a few times."""
        ended = {one: status for one, status in statuses.items() if has_ended(status)}
        for member, status in ended.items():
            killed = status.state is InstanceState.LOST or status.signal is not None
            if not killed or record.state["kills"] >= KILLS_FORGIVEN:
                raise RolloutError(
                    f"The container for production variant {member.variant} ended before it "
                    f"answered /ping: {describe_exit(member.member_id, status)}; "
                    f"{self._fleet.last_words(record, member)}. The whole output is in the log "
                    f"group {self._fleet.log_group(record)}"
                )
        if ended:
            with self._records.edit(self._kind, record.name) as draft:
                draft.state["kills"] += len(ended)
            self._members.drop(record, list(ended), f"ended while deployment {generation} started")

    def _give_up(self, record: Record, reason: str) -> None:
        """Ends a deployment that cannot come up; an earlier one gets its traffic back."""
        with self._records.edit(self._kind, record.name) as draft:
            if draft.status == EndpointStatus.DELETING:
                return
            draft.state["failure_reason"] = shorten(reason)
            if draft.state["current"] is None:
                draft.state["target"] = None
                del draft.state["rollout"]
                set_status(draft, EndpointStatus.FAILED)
                return
            self._turn_back(draft)
            set_status(draft, EndpointStatus.ROLLING_BACK)
        self._fleet.direct(self._records.get(self._kind, record.name))

    def _turn_back(self, draft: Draft) -> None:
        """Back to the old fleet: at once where it has any instance, or by batches if they are set.

        By batches a part of the traffic follows when the old fleet has the instances for it.
        """
        state = draft.state
        current, target = str(state["current"]), str(state["target"])
        rollout = state["rollout"]
        share = float(state["traffic"].get(target, 0.0))
        fleet = counts_of(deployment_of(state, state["current"])["variants"])
        rollout["back"] = deployments.shares_back(rollout["config"], share, fleet)
        if len(rollout["back"]) == 1 and of_generation(state, state["current"]):
            state["traffic"] = {current: 1.0}
        self._want_back(state)

    def _step_back(self, record: Record) -> None:
        """Gives the old fleet the traffic that it has the instances for, and asks for more."""
        with self._records.edit(self._kind, record.name) as draft:
            state = draft.state
            share = state["rollout"]["back"].pop(0)
            state["traffic"] = {str(state["target"]): share, str(state["current"]): 1.0 - share}
            target = deployment_of(state, state["target"])
            target["wanted"] = deployments.part(counts_of(target["variants"]), share)
            self._want_back(state)
            draft.note("TrafficShifted", share=share, generation=state["target"])
        self._fleet.direct(self._records.get(self._kind, record.name))

    def _want_back(self, state: State) -> None:
        """Asks for the instances of the old fleet that the next share on the way back needs."""
        rollout, deployment = state["rollout"], deployment_of(state, state["current"])
        share = 1.0 - rollout["back"][0]
        deployment["wanted"] = deployments.part(counts_of(deployment["variants"]), share)
        rollout["until"] = self._clock.now()

    def _end(self, record: Record, status: EndpointStatus) -> None:
        with self._records.edit(self._kind, record.name) as draft:
            draft.state["traffic"] = {str(draft.state["current"]): 1.0}
            draft.state["target"] = None
            del draft.state["rollout"]
            set_status(draft, status)
        self._fleet.direct(self._records.get(self._kind, record.name))

    def _patience_s(self, deployment: dict[str, Any]) -> float:
        """How long a deployment may take: the longest that one of its variants asks for."""
        asked = (variant.get("startup_timeout_s") for variant in deployment["variants"].values())
        return max(float(one or self._settings.health_timeout_s) for one in asked)

    def _unhealthy(self, record: Record, members: list[Member], when: str) -> str:
        sick = [one for one in members if self._fleet.health(record, one) is not Health.HEALTHY]
        if not sick:
            return NO_ROOM
        return (
            f"The primary container for production variant {sick[0].variant} did not pass the ping "
            f"health check {when}. Please check CloudWatch "
            f"logs for this endpoint: {self._fleet.log_group(record)}; "
            f"{self._fleet.last_words(record, sick[0])}"
        )
