"""Scaling of variants and inference components: policies that alarms ring for, and what came of it.

Targets, policies and activities are records. A policy is looked at when one of its alarms rings; it
changes the endpoint as UpdateEndpointWeightsAndCapacities does, and an activity tells of it.
"""

import logging
import uuid
from dataclasses import dataclass
from typing import Any

from intermodal_contract.statuses import EndpointStatus
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle import scaling_policy as policies
from intermodal_engine.lifecycle.alarms import KIND as ALARM
from intermodal_engine.lifecycle.alarms import AlarmLifecycle, AlarmState
from intermodal_engine.lifecycle.endpoint import EndpointBusyError, EndpointLifecycle
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of
from intermodal_engine.lifecycle.resizing import Resize
from intermodal_engine.lifecycle.scaling_policy import Bounds
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.records import Record, RecordNotFoundError, Records

TARGET, POLICY, ACTIVITY = "scalable-target", "scaling-policy", "scaling-activity"
BUSY_LOOK_S = 1.0
"""How soon to look again at an endpoint that is being changed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scaled:
    """What is scaled: `endpoint/NAME/variant/NAME`, or `inference-component/NAME`.

    Attributes:
        endpoint: whose variant or component.
        variant: the variant, or the component's.
        component: empty for a variant.
    """

    endpoint: str
    variant: str
    component: str = ""

    @property
    def resource_id(self) -> str:
        """As Application Auto Scaling writes it."""
        if self.component:
            return f"{COMPONENT.name}/{self.component}"
        return f"endpoint/{self.endpoint}/variant/{self.variant}"

    @property
    def record(self) -> tuple[str, str]:
        """Kind and name of the record that has the number."""
        if self.component:
            return COMPONENT.name, self.component
        return ENDPOINT.name, self.endpoint

    @property
    def what(self) -> str:
        """The number, in the words of activities."""
        return "copy count" if self.component else "instance count"


class ScalingLifecycle:
    """All scaling of one engine.

    Args:
        records: where targets, policies and activities are kept.
        endpoints: whose variants are changed.
        components: what else is changed.
        alarms: what rings.
        queue: calls back.
        clock: cooldowns.
        period_s: of the metrics that target tracking looks at; 60 on AWS.
    """

    def __init__(
        self,
        *,
        records: Records,
        endpoints: EndpointLifecycle,
        components: EndpointLifecycle,
        alarms: AlarmLifecycle,
        queue: WorkQueue,
        clock: Clock,
        period_s: int,
    ) -> None:
        self._records = records
        self._lifecycles = {ENDPOINT.name: endpoints, COMPONENT.name: components}
        self._alarms = alarms
        self._queue = queue
        self._clock = clock
        self._period_s = period_s
        queue.register(TARGET, self._look_at_target)
        queue.register(POLICY, self._look_at_policy)
        queue.register(ACTIVITY, self._look_at_activity)

    def recover(self) -> None:
        """Looks at every target, policy and open activity."""
        for kind in (TARGET, POLICY, ACTIVITY):
            for record in self._records.all(kind):
                self._queue.wake(kind, record.name)

    def wake_target(self, name: str) -> None:
        """Has a target's capacity brought within its bounds."""
        self._queue.wake(TARGET, name)

    def ring_by(self, policy: str, scaled: Scaled, region: str, account_id: str) -> list[str]:
        """Makes the alarms of a policy that tracks a target; returns their names."""
        record = self._records.get(POLICY, policy)
        made = []
        wanted = policies.tracking_alarms(
            record.request["config"], _dimensions(scaled), self._period_s
        )
        for kind, request in wanted.items():
            name = f"TargetTracking-{scaled.resource_id}-{kind}-{uuid.uuid4()}"
            arn = f"arn:aws:cloudwatch:{region}:{account_id}:alarm:{name}"
            self._alarms.put(
                {**request, "AlarmName": name, "AlarmActions": [record.arn]}, arn=arn, tags={}
            )
            made.append(name)
        with self._records.edit(POLICY, policy) as draft:
            draft.state["alarms"] = made
        return made

    def silence(self, policy: Record) -> None:
        """Removes the alarms that a policy made."""
        for name in policy.state.get("alarms", []):
            try:
                self._records.delete(ALARM, name)
            except RecordNotFoundError:
                continue

    def on_alarm(self, policy_arn: str, alarm: str) -> None:
        """An alarm rings for a policy, or tells a new value while it does."""
        policy = self._records.find_by_arn(policy_arn)
        if policy is None or policy.kind != POLICY:
            _log.warning("alarm `%s` rings for `%s`, which is not there", alarm, policy_arn)
            return
        with self._records.edit(POLICY, policy.name) as draft:
            draft.state["alarm"] = alarm
        self._queue.wake(POLICY, policy.name)

    # Looks

    def _look_at_target(self, name: str) -> float | None:
        """Brings a capacity that is out of bounds back into them."""
        target = self._records.find(TARGET, name)
        if target is None:
            return None
        scaled = Scaled(**target.state["scaled"])
        current = self._capacity(scaled)
        if current is None:
            return None
        wanted = _bounds(target).clamp(current)
        if wanted == current:
            return None
        reason = "minimum capacity" if wanted > current else "maximum capacity"
        return self._change(target, scaled, current, wanted, f"{reason} of the target was changed")

    def _look_at_policy(self, name: str) -> float | None:
        policy = self._records.find(POLICY, name)
        if policy is None:
            return None
        alarm = self._records.find(ALARM, policy.state.get("alarm", ""))
        target = self._records.find(TARGET, policy.request["target"])
        if alarm is None or target is None or alarm.status != AlarmState.ALARM:
            return None
        scaled = Scaled(**target.state["scaled"])
        current, value = self._capacity(scaled), alarm.state.get("value")
        if current is None or value is None:
            return None
        wanted = _wanted(policy, alarm, current, float(value), _bounds(target))
        if wanted == current or _is_suspended(target, is_out=wanted > current):
            return None
        config = policy.request["config"]
        rest_s = policies.cooldown_s(config, is_out=wanted > current)
        may_at = float(policy.state.get("changed_at", 0.0)) + rest_s
        if self._clock.now() < may_at:
            return may_at
        cause = (
            f"monitor alarm {alarm.name} in state ALARM triggered policy "
            f"{policy.request['PolicyName']}"
        )
        look = self._change(target, scaled, current, wanted, cause, policy=name)
        return self._clock.now() + rest_s if look is None else look  # the alarm may go on ringing

    def _change(
        self,
        target: Record,
        scaled: Scaled,
        current: int,
        wanted: int,
        cause: str,
        policy: str | None = None,
    ) -> float | None:
        """Changes a variant's number; None when it is begun, else when to try again.

        The change, the activity that tells of it and the policy's rest are one transaction.
        """
        activity = str(uuid.uuid4())

        def note() -> None:
            self._insert_activity(activity, target, scaled, wanted, cause)
            if policy is not None:
                with self._records.edit(POLICY, policy) as draft:
                    draft.state["changed_at"] = self._clock.now()

        try:
            kind, name = scaled.record
            self._lifecycles[kind].resize(name, {scaled.variant: Resize(count=wanted)}, note)
        except EndpointBusyError:
            return self._clock.now() + BUSY_LOOK_S
        except RecordNotFoundError:
            return None
        word = "scaling out" if wanted > current else "scaling in"
        _log.info("%s: %s from %d to %d", scaled.resource_id, word, current, wanted)
        self._queue.wake(ACTIVITY, activity)
        return None

    def _insert_activity(
        self, activity: str, target: Record, scaled: Scaled, wanted: int, cause: str
    ) -> None:
        state = {"scaled": target.state["scaled"], "wanted": wanted, "cause": cause}
        self._records.insert(
            ACTIVITY,
            activity,
            arn=f"{target.arn}/activity/{activity}",
            request={
                **_identity(target),
                "Description": f"Setting desired {scaled.what} to {wanted}.",
            },
            status="InProgress",
            state=state,
        )

    def _look_at_activity(self, name: str) -> float | None:
        """Ends an activity when its endpoint is in service with the wanted number, or is not."""
        activity = self._records.find(ACTIVITY, name)
        if activity is None or activity.status != "InProgress":
            return None
        scaled = Scaled(**activity.state["scaled"])
        record = self._records.find(*scaled.record)
        if record is not None and record.status == EndpointStatus.UPDATING:
            return self._clock.now() + BUSY_LOOK_S / 4
        is_there = self._capacity(scaled) == activity.state["wanted"]
        reason = "" if record is None else record.state.get("failure_reason", "")
        wanted = activity.state["wanted"]
        status, message = "Overridden", "The number was changed again meanwhile."
        if is_there:
            status = "Successful"
            message = (
                f"Successfully set desired {scaled.what} to {wanted}. Change successfully "
                "fulfilled by sagemaker."
            )
        elif reason or record is None:
            status, message = "Failed", f"Failed to set desired {scaled.what}. {reason}"
        with self._records.edit(ACTIVITY, name) as draft:
            draft.status = status
            draft.state.update(ended_at=self._clock.now(), message=message)
        return None

    def _capacity(self, scaled: Scaled) -> int | None:
        """The number that is asked for now; None where there is no such variant in service."""
        record = self._records.find(*scaled.record)
        if record is None or record.state["current"] is None:
            return None
        variants = deployment_of(record.state, record.state["current"])["variants"]
        found = variants.get(scaled.variant)
        return None if found is None else int(found["count"])


def _dimensions(scaled: Scaled) -> dict[str, str]:
    """Of the metrics of what is scaled."""
    if scaled.component:
        return {"InferenceComponentName": scaled.component}
    return {"EndpointName": scaled.endpoint, "VariantName": scaled.variant}


def _wanted(policy: Record, alarm: Record, current: int, value: float, bounds: Bounds) -> int:
    config = policy.request["config"]
    threshold = float(alarm.request["Threshold"])
    if policy.request["PolicyType"] == "StepScaling":
        return policies.stepped(current, value - threshold, config, bounds)
    high = next(iter(policy.state.get("alarms", [])), None)
    if alarm.name != high:
        threshold /= 0.9
    wanted = policies.tracked(current, value, threshold, bounds)
    # What is said of high values never takes instances away, and the other way round.
    return max(wanted, current) if alarm.name == high else min(wanted, current)


def _bounds(target: Record) -> Bounds:
    return Bounds(target.request["MinCapacity"], target.request["MaxCapacity"])


def _is_suspended(target: Record, *, is_out: bool) -> bool:
    suspended = target.request.get("SuspendedState", {})
    name = "DynamicScalingOutSuspended" if is_out else "DynamicScalingInSuspended"
    return bool(suspended.get(name, False))


def _identity(target: Record) -> dict[str, Any]:
    names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    return {name: target.request[name] for name in names}
