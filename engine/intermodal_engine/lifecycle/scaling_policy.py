"""How many instances a scaling policy wants, and the alarms that it rings by. Without effects.

https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking.html
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_COOLDOWN_S = 300.0
"""AWS's own for SageMaker."""

OUT_PERIODS, IN_PERIODS = 3, 15
"""Periods in a row that must be above the target, and below nine tenths of it."""

_LOW_SHARE = 0.9
_SHORT_PERIOD_S = 10

_PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum", None),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": (
        "ConcurrentRequestsPerModel",
        "Average",
        _SHORT_PERIOD_S,
    ),
    "SageMakerInferenceComponentInvocationsPerCopy": ("InvocationsPerCopy", "Sum", None),
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": (
        "ConcurrentRequestsPerCopy",
        "Average",
        _SHORT_PERIOD_S,
    ),
}
PREDEFINED = frozenset(_PREDEFINED)
"""The metrics that a policy may name by one word."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`MinCapacity` and `MaxCapacity` of a scalable target."""

    least: int
    most: int

    def clamp(self, capacity: int) -> int:
        """The nearest capacity that is allowed."""
        return max(self.least, min(self.most, capacity))


def tracked(current: int, value: float, target: float, bounds: Bounds) -> int:
    """What target tracking wants: in proportion, and inwards by no more than half at a time.

    Args:
        current: instances now.
        value: of the metric, an instance.
        target: what it should be.
        bounds: of the target.
    """
    wanted = math.ceil(round(current * value / target, 9)) if target > 0 else current
    return bounds.clamp(max(wanted, current // 2))


def stepped(current: int, delta: float, config: Mapping[str, Any], bounds: Bounds) -> int:
    """What step scaling wants.

    Args:
        current: instances now.
        delta: the metric's value, less the alarm's threshold.
        config: `StepScalingPolicyConfiguration`.
        bounds: of the target.
    """
    for step in config.get("StepAdjustments", []):
        lower = step.get("MetricIntervalLowerBound", -math.inf)
        upper = step.get("MetricIntervalUpperBound", math.inf)
        # An interval below the threshold holds its upper bound, one above it its lower.
        if (lower <= delta < upper) or (delta < 0 and lower < delta <= upper):
            return bounds.clamp(_adjusted(current, step["ScalingAdjustment"], config))
    return current


def cooldown_s(config: Mapping[str, Any], *, is_out: bool) -> float:
    """How long after a change the next one in that direction waits."""
    if "StepAdjustments" in config:
        return float(config.get("Cooldown", DEFAULT_COOLDOWN_S))
    name = "ScaleOutCooldown" if is_out else "ScaleInCooldown"
    return float(config.get(name, DEFAULT_COOLDOWN_S))


def tracking_alarms(
    config: Mapping[str, Any], dimensions: Mapping[str, str], usual_period_s: int
) -> dict[str, dict[str, Any]]:
    """The parameters of PutMetricAlarm for `AlarmHigh` and `AlarmLow`, without names.

    Args:
        config: `TargetTrackingScalingPolicyConfiguration`.
        dimensions: of the metrics of what is scaled.
        usual_period_s: of metrics that have no period of their own.
    """
    metric, target = _metric(config, dimensions, usual_period_s)
    high = {
        **metric,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": target,
        "EvaluationPeriods": OUT_PERIODS,
    }
    if config.get("DisableScaleIn", False):
        return {"AlarmHigh": high}
    low = {
        **metric,
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": target * _LOW_SHARE,
        "EvaluationPeriods": IN_PERIODS,
    }
    return {"AlarmHigh": high, "AlarmLow": low}


def _metric(
    config: Mapping[str, Any], dimensions: Mapping[str, str], usual_period_s: int
) -> tuple[dict[str, Any], float]:
    """The metric, and the target for one of its periods: sums are meant by the minute."""
    target = float(config["TargetValue"])
    own = config.get("CustomizedMetricSpecification")
    if own is not None:
        names = ("MetricName", "Namespace", "Dimensions", "Statistic", "Unit")
        metric = {name: own[name] for name in names if name in own}
        is_sum = own.get("Statistic") == "Sum"
        share = usual_period_s / 60 if is_sum else 1.0
        return {**metric, "Period": usual_period_s}, target * share
    word = config["PredefinedMetricSpecification"]["PredefinedMetricType"]
    name, statistic, period_s = _PREDEFINED[word]
    metric = {
        "Namespace": "AWS/SageMaker",
        "MetricName": name,
        "Statistic": statistic,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Period": min(period_s or usual_period_s, usual_period_s),
    }
    share = metric["Period"] / 60 if statistic == "Sum" else 1.0
    return metric, target * share


def _adjusted(current: int, adjustment: int, config: Mapping[str, Any]) -> int:
    kind = config.get("AdjustmentType", "ChangeInCapacity")
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return current + adjustment
    change = current * adjustment / 100
    whole = math.floor(change) if abs(change) >= 1 else int(math.copysign(1, change))
    least = int(config.get("MinAdjustmentMagnitude", 0))
    if abs(whole) < least:
        whole = int(math.copysign(least, adjustment))
    return current + whole
