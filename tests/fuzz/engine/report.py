"""One attack on every surface, and the report of it."""

import asyncio
import ctypes
import gc
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.configuration
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

from tests.fuzz.engine.archives import archives, unpack_hostile
from tests.fuzz.engine.command_line import arguments, run_hostile
from tests.fuzz.engine.escapes import confined_to
from tests.fuzz.engine.hyperparameters import decode_hostile, hyperparameters
from tests.fuzz.engine.invocations import ENDPOINT, live_endpoint
from tests.fuzz.engine.requests import Attack, attacks, invocations, operations
from tests.fuzz.engine.signatures import signatures, verify_hostile
from tests.fuzz.engine.target import Target
from tests.fuzz.engine.values import texts
from tests.helpers.object_store import fast_folder

INPUTS_A_ENGINE = 2000
"""After so many an engine makes way for a new one, whose records are few and fast again."""

MEMORY_GROWTH_MIB = 64.0
_M_ARENA_MAX = -8
ROUND_INPUTS = 15_000
"""Each round has a seed of its own; of one that is long hypothesis would remember all inputs."""

_SHARES = {
    "s3": 0.2,
    "invocations": 0.05,
    "archives": 0.1,
    "signatures": 0.15,
    "hyperparameters": 0.05,
    "command line": 0.05,
}


@dataclass(slots=True)
class Report:
    """What came of an attack; `faults` holds all that must not be."""

    seed: int
    took_s: float = 0.0
    inputs: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    operations: int = 0
    slowest_s: float = 0.0
    memory_mib: tuple[float, float] = (0.0, 0.0)


def attack_everything(start: int, inputs: int) -> Report:
    """Attack every operation, S3, archives and the command line with so many inputs together."""
    report = Report(start)
    began = time.monotonic()
    # Of the many heaps of many threads what is free in one is of no use to another.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    rounds = max(2, inputs // ROUND_INPUTS)
    with fast_folder() as folder, confined_to(folder) as escapes, asyncio.Runner() as runner:
        tempfile.tempdir = str(folder)
        hypothesis.configuration.set_hypothesis_home_dir(folder / "hypothesis")
        try:
            engines = _Engines(folder, runner.get_loop(), report)
            before = 0.0
            for number in range(rounds):
                _attack_once(start + number, inputs // rounds + 1, folder, engines, report)
                print(f"{report.inputs.total()} inputs, {len(report.faults)} faults", flush=True)
                # Whatever is made once is made in the first round.
                before = before or _memory_mib()
                report.memory_mib = (before, _memory_mib())
        finally:
            tempfile.tempdir = None
        report.faults |= dict.fromkeys((f"escaped: {one}" for one in escapes), "one of these")
    before, after = report.memory_mib
    if after > before + MEMORY_GROWTH_MIB:
        report.faults[f"memory grew by {after - before:.0f} MiB"] = "all of these"
    report.took_s = time.monotonic() - began
    return report


def _attack_once(
    start: int, inputs: int, folder: Path, engines: "_Engines", report: Report
) -> None:
    named = list(operations())
    report.operations = len(named)
    shares = {kind: int(inputs * share) for kind, share in _SHARES.items()}
    each = (inputs - sum(shares.values())) // len(named) + 1
    for service, name in named:
        _feed(start, each, attacks(service, name), engines.attack)
    _feed(start, shares["s3"], attacks("s3", ""), engines.attack)
    engines.close()
    _attack_endpoint(start, shares["invocations"], report)
    _feed(start, shares["archives"], archives(), _unpacker(folder, report))
    judges = _judged(report, "signatures", "signature", verify_hostile)
    _feed(start, shares["signatures"], signatures(), judges)
    judges = _judged(report, "hyperparameters", "hyperparameters", decode_hostile)
    _feed(start, shares["hyperparameters"], hyperparameters, judges)
    _feed(start, shares["command line"], arguments(), _commander(folder, report))


def _attack_endpoint(start: int, inputs: int, report: Report) -> None:
    """Mostly by its name."""
    names = st.integers(0, 9).flatmap(lambda number: st.just(ENDPOINT) if number else texts)
    with live_endpoint() as endpoint:

        def attack(what: Attack) -> None:
            report.inputs["invocations"] += 1
            endpoint.attack(what)

        _feed(start, inputs, invocations(names), attack)
        endpoint.check()
    report.faults |= endpoint.faults
    for status, count in endpoint.statuses.items():
        report.statuses[f"invocation {status}"] += count


def lines_of(report: Report) -> Iterator[str]:
    """The report in words."""
    total = report.inputs.total()
    rate = total / max(report.took_s, 0.001)
    yield f"seed {report.seed}"
    yield f"{total} inputs in {report.took_s:.1f} s ({rate:.0f}/s), {report.operations} operations"
    yield from (f"  {kind}: {count} inputs" for kind, count in sorted(report.inputs.items()))
    yield from (f"  {what}: {count} times" for what, count in sorted(report.statuses.items()))
    yield f"slowest answer: {report.slowest_s * 1000:.0f} ms"
    before, after = report.memory_mib
    yield f"memory: {before:.0f} MiB after the first round, {after:.0f} MiB at the end"
    yield f"faults: {len(report.faults)}"
    yield from (f"{why}\n  of {what}" for why, what in list(report.faults.items())[:60])


class _Engines:
    """One engine after the other, each in a home of its own."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop, report: Report) -> None:
        self._folder = folder
        self._loop = loop
        self._report = report
        self._count = 0
        self._target: Target | None = None

    def attack(self, what: Attack) -> None:
        if self._target is None:
            self._count += 1
            self._target = Target(self._folder / f"home-{self._count}", self._loop)
        self._target.attack(what)
        self._report.inputs[what.signing_name] += 1
        if self._target.inputs >= INPUTS_A_ENGINE:
            self.close()

    def close(self) -> None:
        """Ends the engine and takes what it found."""
        target, self._target = self._target, None
        if target is None:
            return
        target.close()
        self._report.faults = target.faults | self._report.faults
        for status, count in target.statuses.items():
            self._report.statuses[f"answer {status}"] += count
        self._report.slowest_s = max(self._report.slowest_s, target.slowest_s)
        shutil.rmtree(self._folder / f"home-{self._count}", ignore_errors=True)


def _unpacker(folder: Path, report: Report) -> Callable[[bytes], None]:
    destination = folder / "unpacked" / "inside"

    def attack(data: bytes) -> None:
        report.inputs["archives"] += 1
        destination.parent.mkdir()
        try:
            report.statuses[f"archive {unpack_hostile(data, destination)}"] += 1
        except Exception as error:  # noqa: BLE001 - any is a fault
            report.faults.setdefault(f"unpacking raises {error!r}", f"{data[:1500]!r}")
        outside = [one for one in destination.parent.iterdir() if one != destination]
        report.faults |= {f"an archive wrote {one}": f"{data[:1500]!r}" for one in outside}
        shutil.rmtree(destination.parent, ignore_errors=True)

    return attack


def _judged(
    report: Report, kind: str, word: str, judge: Callable[[Any], str]
) -> Callable[[Any], None]:
    def attack(what: Any) -> None:
        report.inputs[kind] += 1
        try:
            report.statuses[f"{word} {judge(what)}"] += 1
        except Exception as error:  # noqa: BLE001 - any is a fault
            report.faults.setdefault(f"{word}: raises {error!r:.500}", f"{what!r:.1500}")

    return attack


def _commander(folder: Path, report: Report) -> Callable[[list[str]], None]:
    def attack(what: list[str]) -> None:
        report.inputs["command line"] += 1
        try:
            code = run_hostile(what, folder / "no-home")
        except Exception as error:  # noqa: BLE001 - any is a fault
            report.faults.setdefault(f"the command line raises {error!r}", f"{what!r:.1500}")
            return
        report.statuses[f"exit code {code}"] += 1
        if code not in (0, 1, 2, 3):
            report.faults.setdefault(f"exit code {code}", f"{what!r:.1500}")

    return attack


def _feed(
    start: int, count: int, strategy: SearchStrategy[Any], attack: Callable[[Any], None]
) -> None:
    """Give an attack so many examples of a strategy."""

    @seed(start)
    @settings(
        max_examples=max(count, 1),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(what: Any) -> None:
        attack(what)

    try:
        run()
    except Unsatisfiable:
        sys.stderr.write(f"no examples of {strategy!r:.200}\n")


def _memory_mib() -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)
