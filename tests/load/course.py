"""One load on an engine from beginning to end."""

import asyncio
import time
from collections.abc import Coroutine

import uvloop

from tests.load.ordinary import THINK_S, Bodies, Client, Findings
from tests.load.report import Plan, Report, failures_of, faults_of, merged, quantile
from tests.load.resources import Sample, sample_at_rest, watch
from tests.load.slow import Holders
from tests.load.stage import Stage

HURRY_S = THINK_S / 10
"""Mean pause before anything is measured: as many calls at once as the engine takes, so that its
pools of threads and connections have their sizes."""

_TICK_S = 0.05


def load(stage: Stage, plan: Plan) -> Report:
    """Runs clients on an engine, first alone, then beside slow ones, then alone again."""
    report, clients = Report(plan), _Clients(stage, plan)
    warm_up, _ = clients.run(plan.warm_up_s, [], Holders(stage, plan.seed + 1), HURRY_S)
    report.before = sample_at_rest(stage.engine)
    first, _ = clients.run(plan.alone_s / 2, [])
    holders = Holders(stage, plan.seed)
    report.beside, report.lag_s = clients.run(plan.seconds, report.samples, holders)
    report.holds = holders.holds
    last, _ = clients.run(plan.alone_s / 2, [])
    report.alone = merged([first, last])
    report.after = sample_at_rest(stage.engine)
    report.faults = [*failures_of(warm_up), *faults_of(report), *_complaints(stage)]
    return report


class _Clients:
    """All ordinary clients, who remember from one phase to the next what they have stored."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._plan = plan
        bodies = Bodies(plan.seed)
        self._all = [Client(one, stage, bodies, plan.seed) for one in range(plan.clients)]

    def run(
        self,
        seconds: float,
        samples: list[Sample],
        holders: Holders | None = None,
        think_s: float = THINK_S,
    ) -> tuple[Findings, float]:
        """Works for so long. Returns what they saw, and how late this process's event loop was."""
        for client in self._all:
            client.findings = Findings()
        lag_s = uvloop.run(self._run(seconds, samples, holders, think_s))
        return merged([client.findings for client in self._all]), lag_s

    async def _run(
        self, seconds: float, samples: list[Sample], holders: Holders | None, think_s: float
    ) -> float:
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client in self._all:
                group.create_task(client.work(ended, think_s))
            for one in self._held(holders, ended):
                group.create_task(one)
            watching = group.create_task(watch(self._stage.engine, samples))
            lag_s = await _lag(seconds)
            watching.cancel()
            ended.set()
        return lag_s

    def _held(
        self, holders: Holders | None, ended: asyncio.Event
    ) -> list[Coroutine[None, None, None]]:
        if holders is None:
            return []
        return [
            holders.hold(number, kinds, ended)
            for kinds in (holders.slow, holders.half_open)
            for number in range(self._plan.slow)
        ]


async def _lag(seconds: float) -> float:
    """Sleeps so long; how late it wakes at most, 99 times of 100."""
    late, ends_at = [], time.monotonic() + seconds
    while (began := time.monotonic()) < ends_at:
        await asyncio.sleep(_TICK_S)
        late.append(time.monotonic() - began - _TICK_S)
    return quantile(late, 0.99)


def _complaints(stage: Stage) -> list[str]:
    log = (stage.engine.home / "engine.log").read_text()
    return [f"its log: {line}" for line in log.splitlines() if " ERROR " in line]
