"""How an endpoint goes from one fleet to the next: the steps of a deployment. Without effects.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_DEPLOYMENT_S = 28_800
"""Where `MaximumExecutionTimeoutInSeconds` is not given: the longest that may be."""

_CANARY_PERCENT = (0, 50)
_LINEAR_PERCENT = (10, 50)
_BATCH_PERCENT = (5, 50)
_ROLLBACK_PERCENT = (5, 100)

Counts = Mapping[str, int]
"""Instances by variant."""


class InvalidDeploymentError(ValueError):
    """A deployment cannot be done like this; the message is the service's refusal."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state on the way.

    Attributes:
        share: of the traffic, for the new fleet; the old one has the rest.
        new: how many instances the new fleet must have before that.
        old: how many the old fleet keeps after that.
    """

    share: float
    new: dict[str, int]
    old: dict[str, int]


def steps(
    config: Mapping[str, Any], old: Counts, new: Counts, *, is_of_copies: bool = False
) -> list[Step]:
    """The steps of a deployment, in order; the last one gives the new fleet all traffic.

    Args:
        config: `DeploymentConfig`; empty stands for all at once, or one copy after the other.
        old: the present fleet.
        new: the next fleet.
        is_of_copies: of an inference component, for two fleets of which there may be no room.

    Raises:
        InvalidDeploymentError: a size is out of the range that the service allows.
    """
    rolling = config.get("RollingUpdatePolicy")
    if rolling is not None:
        batch = _fraction("MaximumBatchSize", rolling["MaximumBatchSize"], new, _BATCH_PERCENT)
        shares_back(config, 1.0, old)
        return [Step(share, part(new, share), _rest(old, share)) for share in _shares(batch, batch)]
    if is_of_copies and any(old.values()) and any(new.values()):
        one = 1.0 / max(sum(new.values()), 1)
        return [Step(share, part(new, share), _rest(old, share)) for share in _shares(one, one)]
    routing = config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    whole_new, whole_old = dict(new), dict(old)
    return [Step(share, whole_new, whole_old) for share in _traffic(routing, new)]


def shares_back(config: Mapping[str, Any], share: float, old: Counts) -> list[float]:
    """The new fleet's shares of the traffic on the way back, in order; the last one is 0.

    Args:
        config: `DeploymentConfig`; without a `RollbackMaximumBatchSize` the old fleet comes back
            all at once.
        share: the new fleet's present one.
        old: the old fleet.

    Raises:
        InvalidDeploymentError: the size is out of its range.
    """
    size = config.get("RollingUpdatePolicy", {}).get("RollbackMaximumBatchSize")
    if size is None or not old:
        return [0.0]
    batch = _fraction("RollbackMaximumBatchSize", size, old, _ROLLBACK_PERCENT)
    count = max(1, math.ceil(round(share / batch, 9)))
    return [max(0.0, round(share - number * batch, 9)) for number in range(1, count + 1)]


def part(counts: Counts, share: float) -> dict[str, int]:
    """How many instances a share of the traffic needs."""
    return _rounded(counts, share, math.ceil)


def wait_s(config: Mapping[str, Any]) -> float:
    """How long each step is watched before the next one."""
    policy = config.get("RollingUpdatePolicy") or config.get("BlueGreenUpdatePolicy", {}).get(
        "TrafficRoutingConfiguration", {}
    )
    return float(policy.get("WaitIntervalInSeconds", 0))


def termination_wait_s(config: Mapping[str, Any]) -> float:
    """How long the old fleet is kept after the last step."""
    return float(config.get("BlueGreenUpdatePolicy", {}).get("TerminationWaitInSeconds", 0))


def timeout_s(config: Mapping[str, Any]) -> float:
    """How long the whole deployment may take."""
    policy = config.get("RollingUpdatePolicy") or config.get("BlueGreenUpdatePolicy", {})
    return float(policy.get("MaximumExecutionTimeoutInSeconds", LONGEST_DEPLOYMENT_S))


def alarms(config: Mapping[str, Any]) -> list[str]:
    """Names of the alarms that roll it back."""
    entries = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return [entry["AlarmName"] for entry in entries if "AlarmName" in entry]


def check(config: Mapping[str, Any]) -> None:
    """Makes sure that the parts of a `DeploymentConfig` fit together.

    Raises:
        InvalidDeploymentError: they do not.
    """
    if "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        raise InvalidDeploymentError(
            "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy may be specified"
        )
    routing = config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    sizes = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    kind = routing.get("Type")
    for of_kind, member in sizes.items():
        if (member in routing) != (kind == of_kind):
            verb = "requires" if kind == of_kind else "does not allow"
            raise InvalidDeploymentError(
                f"TrafficRoutingConfiguration of type {kind} {verb} {member}"
            )


def _traffic(routing: Mapping[str, Any], new: Counts) -> list[float]:
    kind = routing.get("Type", "ALL_AT_ONCE")
    if kind == "CANARY":
        first = _fraction("CanarySize", routing["CanarySize"], new, _CANARY_PERCENT)
        return [first, 1.0]
    if kind == "LINEAR":
        size = _fraction("LinearStepSize", routing["LinearStepSize"], new, _LINEAR_PERCENT)
        return _shares(size, size)
    return [1.0]


def _shares(first: float, step: float) -> list[float]:
    count = 1 + math.ceil(round((1.0 - first) / step, 9))
    return [min(1.0, round(first + number * step, 9)) for number in range(count)]


def _fraction(
    member: str, size: Mapping[str, Any], fleet: Counts, allowed: tuple[int, int]
) -> float:
    """A size as a part of the fleet."""
    total, value = sum(fleet.values()), int(size["Value"])
    percent = float(value) if size["Type"] == "CAPACITY_PERCENT" else 100 * value / max(1, total)
    lowest, highest = allowed
    if not lowest <= percent <= highest:
        least = f"{lowest}-" if lowest else "at most "
        raise InvalidDeploymentError(
            f"{member} must be {least}{highest}% of the total instance count of {total}: it is "
            f"{percent:g}%"
        )
    return percent / 100


def _rounded(counts: Counts, share: float, rounded: Any) -> dict[str, int]:
    return {name: int(rounded(round(count * share, 6))) for name, count in counts.items()}


def _rest(counts: Counts, share: float) -> dict[str, int]:
    """What stays of the old fleet: never less than what its share of the traffic needs."""
    gone = _rounded(counts, share, math.floor)
    return {name: count - gone[name] for name, count in counts.items()}
