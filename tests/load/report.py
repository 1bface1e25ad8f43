"""The report of a load: what must hold, and all figures in words."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.load.ordinary import Findings
from tests.load.resources import Sample, fifths
from tests.load.slow import PAUSE_S, Holds

MEMORY_GROWTH_MIB = 32.0
"""From the second fifth of the time to the last.

What may grow: SQLite's page caches up to their limits, the sums of an endpoint's metrics by second
(some KiB an hour), what the allocator keeps. One KiB a call would be 200 MiB in ten minutes.
"""

SLOWER = 3.0
"""How many times as long short calls may take beside slow clients, besides `NOISE_S`."""

NOISE_S = {0.5: 0.02, 0.99: PAUSE_S / 4}
"""What else a shared machine may add, by quantile.

Whoever waits for a thread or a lock that a slow client holds waits for that one's next bytes, which
come every second: the 99th call would take several.
"""

MORE_DESCRIPTORS = 24
"""Connections to instances are kept for later; a worker thread keeps two of the database."""

MORE_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""asyncio's own pool, which reads files, may come to its size late: it grows where all are busy."""

_LONG = ("to 1 MiB", "to 8 MiB")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        seed: of all choices.
        clients: ordinary ones.
        slow: slow ones; as many half-open connections come with them.
        seconds: with the slow ones.
        alone_s: without them, half of it before and half after.
        warm_up_s: before anything is measured.
    """

    seed: int
    clients: int
    slow: int
    seconds: float
    alone_s: float
    warm_up_s: float


@dataclass(slots=True)
class Report:
    """What came of a load; `faults` holds all that must not be."""

    plan: Plan
    alone: Findings = field(default_factory=Findings)
    beside: Findings = field(default_factory=Findings)
    holds: Holds = field(default_factory=Holds)
    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    lag_s: float = 0.0
    """How late the clients' own event loop was, 99 times of 100: that is part of all latencies."""

    faults: list[str] = field(default_factory=list)


def lines_of(report: Report) -> Iterator[str]:
    """The report in words."""
    plan, beside, holds = report.plan, report.beside, report.holds
    calls = len(_all(beside))
    yield f"seed {plan.seed}"
    yield (
        f"{plan.clients} clients for {plan.seconds:.0f} s beside {plan.slow} slow clients and "
        f"{plan.slow} half-open connections: {calls} calls ({calls / plan.seconds:.0f}/s), "
        f"{beside.sent_bytes / 1e9:.2f} GB up, {beside.received_bytes / 1e9:.2f} GB down"
    )
    yield f"failed: {beside.failures.total()}, throttled: {beside.throttled}"
    yield f"{'':28}{'calls':>8}{'p50':>10}{'p99':>10}   alone: {'calls':>8}{'p50':>10}{'p99':>10}"
    for kind in sorted(beside.took_s):
        yield _line(kind, beside.took_s[kind], report.alone.took_s[kind])
    yield _line("short calls together", _short(beside), _short(report.alone))
    yield _line("all together", _all(beside), _all(report.alone))
    yield f"of all that, the clients' own event loop: up to {_ms(report.lag_s)}, 99 times of 100"
    yield "held connections: begun, cut by the engine, the longest"
    for kind in sorted(holds.begun):
        counts = f"{holds.begun[kind]:>6}{holds.cut[kind]:>6}"
        yield f"  {kind:20}{counts}{holds.longest_s[kind]:>6.0f} s"
    for name, values in (
        ("memory of its own, MiB", [one.own_mib for one in report.samples]),
        ("resident memory, MiB", [one.resident_mib for one in report.samples]),
        ("open descriptors", [float(one.descriptors) for one in report.samples]),
        ("threads", [float(one.threads) for one in report.samples]),
    ):
        row = "".join(f"{value:>8.0f}" for value in fifths(values))
        yield f"{name:26} by fifths:{row}, at most {max(values, default=0):.0f}"
    yield f"at rest before: {report.before}"
    yield f"at rest after:  {report.after}"
    yield f"faults: {len(report.faults)}"
    yield from report.faults[:40]


def merged(parts: Sequence[Findings]) -> Findings:
    """What several have seen, together."""
    whole = Findings()
    for part in parts:
        for kind, took_s in part.took_s.items():
            whole.took_s[kind] += took_s
        whole.failures += part.failures
        whole.throttled += part.throttled
        whole.sent_bytes += part.sent_bytes
        whole.received_bytes += part.received_bytes
    return whole


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so many of all are no greater than; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def faults_of(report: Report) -> list[str]:
    """Whatever in a report must not be."""
    faults = [*failures_of(report.alone), *failures_of(report.beside)]
    faults += [f"{count} times: {what}" for what, count in report.holds.faults.items()]
    for share, noise_s in NOISE_S.items():
        alone, beside = (quantile(_short(one), share) for one in (report.alone, report.beside))
        if beside > SLOWER * alone + noise_s:
            words = f"{_ms(beside)} beside slow clients, {_ms(alone)} alone"
            faults.append(f"short calls: p{100 * share:.0f} {words}")
    memory = fifths([one.own_mib for one in report.samples])
    if memory[-1] > memory[1] + MEMORY_GROWTH_MIB:
        faults.append(f"memory grew by {memory[-1] - memory[1]:.1f} MiB")
    if report.before is not None and report.after is not None:
        more = report.after.descriptors - report.before.descriptors
        if more > MORE_DESCRIPTORS:
            faults.append(f"{more} descriptors were not closed")
        if report.after.threads > report.before.threads + MORE_THREADS:
            faults.append(f"{report.before.threads} threads became {report.after.threads}")
        if report.after.requests:
            faults.append(f"{report.after.requests} requests never end")
    return faults


def failures_of(findings: Findings) -> list[str]:
    """Calls that failed, and that none succeeded."""
    if not findings.took_s:
        return ["no call succeeded"]
    return [f"{count} times: {what}" for what, count in findings.failures.items()]


def _all(findings: Findings) -> list[float]:
    return [one for took_s in findings.took_s.values() for one in took_s]


def _short(findings: Findings) -> list[float]:
    """All but those whose length is mostly their body's."""
    kinds = [kind for kind in findings.took_s if not kind.endswith(_LONG)]
    return [one for kind in kinds for one in findings.took_s[kind]]


def _line(kind: str, beside: Sequence[float], alone: Sequence[float]) -> str:
    figures = [
        f"{len(took_s):>8}{_ms(quantile(took_s, 0.5)):>10}{_ms(quantile(took_s, 0.99)):>10}"
        for took_s in (beside, alone)
    ]
    return f"{kind:28}{figures[0]}          {figures[1]}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
