"""What clients saw, in figures: before, during and after."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from intermodal_contract.drills import Phase
from intermodal_engine.cli.drills.load import Sample


@dataclass(frozen=True, slots=True)
class Span:
    """When what a drill does went on, in seconds since the first call.

    Attributes:
        began_s: it was done.
        ended_s: it was over, and everything whole again.
    """

    began_s: float
    ended_s: float


def phases(samples: Sequence[Sample], span: Span) -> dict[str, Phase]:
    """Before, during and after; a call that was under way at the beginning is one of `during`."""
    before = [one for one in samples if one.ended_s < span.began_s]
    during = [one for one in samples if one.ended_s >= span.began_s and one.began_s < span.ended_s]
    after = [one for one in samples if one.began_s >= span.ended_s]
    return {"before": phase(before), "during": phase(during), "after": phase(after)}


def phase(samples: Sequence[Sample]) -> Phase:
    """The figures of some calls."""
    errors = Counter(one.error for one in samples if one.error is not None)
    times = sorted(one.seconds for one in samples)
    return Phase(
        calls=len(samples),
        failures=errors.total(),
        retries=sum(one.retries for one in samples),
        p50_ms=_percentile_ms(times, 50),
        p99_ms=_percentile_ms(times, 99),
        errors=dict(errors.most_common()),
    )


def last_failure_s(samples: Sequence[Sample], span: Span) -> float:
    """From the beginning to the end of the last call that failed; 0 where none did."""
    failed = [one.ended_s for one in samples if one.error and one.ended_s >= span.began_s]
    return max(failed, default=span.began_s) - span.began_s


def _percentile_ms(times: Sequence[float], percent: int) -> float | None:
    """The nearest rank."""
    if not times:
        return None
    return round(times[math.ceil(len(times) * percent / 100) - 1] * 1000, 2)
