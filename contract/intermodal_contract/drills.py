"""What a drill reports, as `intermodal drill --json` writes it and the SDK reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Phase:
    """The calls of one part of a drill.

    Attributes:
        calls: how many there were.
        failures: how many of them failed, after their clients' retries.
        retries: how often clients tried again.
        p50_ms: what half of them took at most; None where there were none.
        p99_ms: what 99 of 100 took at most.
        errors: how often each error came, by AWS's code.
    """

    calls: int
    failures: int
    retries: int
    p50_ms: float | None
    p99_ms: float | None
    errors: Mapping[str, int] = field(default_factory=dict)
