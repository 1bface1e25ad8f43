"""Which running trials are not worth finishing, by what they and others have reported so far.

The n-th value of the objective that a training job reports stands for its n-th epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

FEWEST_OTHERS = 3
"""With fewer finished trials there is no telling what is bad."""

REDUCTION = 3
"""Of so many trials that reach a rung of Hyperband, one goes on."""

Curve = Sequence[float]
"""What a trial has reported, in order."""


@dataclass(frozen=True, slots=True)
class Resources:
    """How far Hyperband lets trials go, in values that they report.

    Attributes:
        least: each trial may report so many.
        most: none reports more.
    """

    least: int
    most: int

    def rungs(self) -> list[int]:
        """Where trials are compared."""
        found, at = [], self.least
        while at < self.most:
            found.append(at)
            at *= REDUCTION
        return found


def below_median(curve: Curve, others: Sequence[Curve], *, is_maximized: bool) -> bool:
    """Whether a trial is worse than half of the others were at its epoch, by AWS's rule.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html

    Args:
        curve: the trial's.
        others: those of trials that have ended.
        is_maximized: whether a greater value is better.
    """
    epoch = len(curve)
    averages = [fmean(one[:epoch]) for one in others if len(one) >= epoch > 0]
    if len(averages) < FEWEST_OTHERS:
        return False
    bound = median(averages)
    return curve[-1] < bound if is_maximized else curve[-1] > bound


def losers(
    curves: Mapping[str, Curve], running: Sequence[str], resources: Resources, *, is_maximized: bool
) -> list[str]:
    """The running trials that Hyperband ends, by asynchronous successive halving.

    Args:
        curves: of all trials, by name.
        running: names.
        resources: how far trials may go.
        is_maximized: whether a greater value is better.
    """
    return [
        name
        for name in running
        if len(curves[name]) >= resources.most
        or _loses(name, curves, resources, is_maximized=is_maximized)
    ]


def _loses(
    name: str, curves: Mapping[str, Curve], resources: Resources, *, is_maximized: bool
) -> bool:
    own = curves[name]
    reached = [rung for rung in resources.rungs() if rung <= len(own)]
    for rung in reached:
        there = sorted(
            (one[rung - 1] for one in curves.values() if len(one) >= rung), reverse=is_maximized
        )
        if len(there) < REDUCTION:
            continue
        worst = there[len(there) // REDUCTION - 1]
        value = own[rung - 1]
        if value < worst if is_maximized else value > worst:
            return True
    return False
