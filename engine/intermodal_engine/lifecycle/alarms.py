"""Alarms: looked at again and again, and who is told when one changes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
An alarm is a record whose status is its StateValue. Whoever needs an alarm reads that.
"""

import logging
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.records import (
    Draft,
    Record,
    RecordExistsError,
    RecordNotFoundError,
    Records,
)

KIND = "alarm"
LONGEST_LOOK_S = 10.0
"""An alarm of longer periods is looked at this often, too: its last period may be over."""

_UNCHECKED = "Unchecked: Initial alarm creation"
_log = logging.getLogger(__name__)

_COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
COMPARISONS = frozenset(_COMPARISONS)
"""What a value may be compared by."""


class AlarmState(StrEnum):
    """`StateValue`."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


_ACTIONS = {
    AlarmState.OK: "OKActions",
    AlarmState.ALARM: "AlarmActions",
    AlarmState.INSUFFICIENT_DATA: "InsufficientDataActions",
}


@dataclass(frozen=True, slots=True)
class Window:
    """The periods that an alarm looks at.

    Attributes:
        start_s: epoch second in which the first one begins.
        period_s: length of each.
        count: how many.
    """

    start_s: int
    period_s: int
    count: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an alarm makes of the values of its window.

    Attributes:
        state: the state; None keeps the present one.
        reason: `StateReason`.
        value: the last value, where there is one.
    """

    state: AlarmState | None
    reason: str
    value: float | None


Read = Callable[[Mapping[str, Any], Window], Sequence[float | None]]
"""`(PutMetricAlarm's parameters, window)` to the value of each period, None where there is none."""

Act = Callable[[str, str], None]
"""`(ARN of an action, name of the alarm)`: has done what an alarm asks for."""


def judge(request: Mapping[str, Any], window: Window, values: Sequence[float | None]) -> Verdict:
    """Decides on a state.

    Args:
        request: the alarm, as PutMetricAlarm has it.
        window: where the values come from.
        values: of its periods, oldest first; None where one has none.
    """
    compare, words = _COMPARISONS[request["ComparisonOperator"]]
    threshold, treatment = float(request["Threshold"]), request.get("TreatMissingData", "missing")
    needed = int(request.get("DatapointsToAlarm") or window.count)
    known = [value for value in values if value is not None]
    breaching = sum(compare(value, threshold) for value in known)
    missing = window.count - len(known)
    last = known[-1] if known else None
    if not known and treatment == "missing":
        plural = "datapoints were" if missing != 1 else "datapoint was"
        return Verdict(
            AlarmState.INSUFFICIENT_DATA, f"Insufficient Data: {missing} {plural} unknown.", None
        )
    if treatment == "breaching":
        breaching += missing
    if breaching >= needed:
        state: AlarmState | None = AlarmState.ALARM
    elif treatment == "ignore" and missing:
        state = None
    else:
        state = AlarmState.OK
    shown = ", ".join(_shown(window, number, value) for number, value in enumerate(values))
    was = "was" if state is AlarmState.ALARM else "was not"
    count = breaching if state is AlarmState.ALARM else window.count - breaching
    reason = (
        f"Threshold Crossed: {count} out of the last {window.count} datapoints [{shown}] {was} "
        f"{words} the threshold ({threshold})."
    )
    return Verdict(state, reason, last)


class AlarmLifecycle:
    """All alarms of one engine.

    Args:
        records: where they are kept.
        queue: calls `reconcile`.
        clock: tells when a period is over.
        read: gives metrics' values.
        act: does what an alarm asks for.
    """

    def __init__(
        self, records: Records, queue: WorkQueue, clock: Clock, *, read: Read, act: Act
    ) -> None:
        self._records = records
        self._queue = queue
        self._clock = clock
        self._read = read
        self._act = act
        queue.register(KIND, self.reconcile)

    def put(self, request: Mapping[str, Any], *, arn: str, tags: Mapping[str, str]) -> None:
        """Makes an alarm, or gives one that there is another definition; its state stays."""
        name = request["AlarmName"]
        now = self._clock.now()
        state = {"reason": _UNCHECKED, "changed_at": now, "updated_at": now, "configured_at": now}
        try:
            self._records.insert(
                KIND,
                name,
                arn=arn,
                request=request,
                status=AlarmState.INSUFFICIENT_DATA,
                state=state,
                tags=tags,
            )
        except RecordExistsError:
            with self._records.edit(KIND, name) as draft:
                draft.request = dict(request)
                draft.state["configured_at"] = now
                draft.note("ConfigurationUpdate")
        self._queue.wake(KIND, name)

    def set_state(self, name: str, state: AlarmState, reason: str) -> None:
        """Says what state an alarm is in, until it is looked at again.

        Raises:
            RecordNotFoundError: no such alarm.
        """
        self._change(self._records.get(KIND, name), Verdict(state, reason, None))

    def enable_actions(self, name: str, *, enabled: bool) -> None:
        """Says whether an alarm's actions are done; an alarm that there is not is passed over."""
        try:
            with self._records.edit(KIND, name) as draft:
                draft.request["ActionsEnabled"] = enabled
        except RecordNotFoundError:
            return

    def recover(self) -> None:
        """Looks at every alarm."""
        for record in self._records.all(KIND):
            self._queue.wake(KIND, record.name)

    def reconcile(self, name: str) -> float | None:
        """Looks at one alarm; returns when to look again."""
        record = self._records.find(KIND, name)
        if record is None:
            return None
        period_s = int(record.request["Period"])
        now = self._clock.now()
        end = math.floor(now / period_s) * period_s
        count = int(record.request["EvaluationPeriods"])
        window = Window(end - count * period_s, period_s, count)
        verdict = judge(record.request, window, self._read(record.request, window))
        if verdict.state is not None and (
            verdict.state != record.status or verdict.value != record.state.get("value")
        ):
            self._change(record, verdict)
        return now + min(LONGEST_LOOK_S, end + period_s - now + 0.1 * min(1, period_s))

    def _change(self, record: Record, verdict: Verdict) -> None:
        """Keeps a verdict; what is to be done is done while the alarm rings, as for scaling."""
        before = record.status
        with self._records.edit(KIND, record.name) as draft:
            _keep(draft, verdict, self._clock.now())
        if verdict.state != before:
            _log.info("alarm `%s`: %s -> %s", record.name, before, verdict.state)
        if verdict.state is None or not record.request.get("ActionsEnabled", True):
            return
        if verdict.state != before or verdict.state is AlarmState.ALARM:
            for arn in record.request.get(_ACTIONS[verdict.state], []):
                self._act(arn, record.name)


def _keep(draft: Draft, verdict: Verdict, now: float) -> None:
    draft.state["value"] = verdict.value
    draft.state["reason"] = verdict.reason
    draft.state["updated_at"] = now
    if verdict.state is not None and verdict.state != draft.status:
        draft.note("StateUpdate", before=draft.status, after=verdict.state, reason=verdict.reason)
        draft.status = verdict.state
        draft.state["changed_at"] = now


def _shown(window: Window, number: int, value: float | None) -> str:
    at = datetime.fromtimestamp(window.start_s + number * window.period_s, UTC)
    text = "unknown" if value is None else str(float(value))
    return f"{text} ({at:%d/%m/%y %H:%M:%S})"
