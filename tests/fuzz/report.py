"""One attack on a server from beginning to end, and the report of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

from tests.fuzz.clients import Findings, attack_all
from tests.fuzz.observation import Observation, observe_at_rest
from tests.fuzz.requests import Attacks
from tests.helpers.serving_process import Serving

MODEL = """
    class Model:
        def predict(self, data):
            is_numeric = getattr(getattr(data, "dtype", None), "kind", "") in tuple("biuf")
            return data if is_numeric else [0.0]

    def model_fn(model_dir):
        return Model()
"""
"""A model that fails for no value: whatever fails is ours."""

WARM_UP_INPUTS = 1500
MEMORY_GROWTH_MIB = 24.0
"""Buffers and caches have their sizes after the first inputs; from then on nothing should grow."""

_COMPLAINTS = ("Traceback", "an error of the server itself", "worker ", "Exception", "Error")


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an attack; `faults` holds all that must not be."""

    seed: int
    took_s: float
    findings: Findings
    before: Observation
    after: Observation
    faults: list[str]


def attack_server(server: Serving, seed: int, inputs: int, clients: int = 16) -> Report:
    """Attack a server that serves `MODEL`."""
    pid = server.process.pid
    warm_up = uvloop.run(attack_all(server.port, Attacks(seed + 1), min(WARM_UP_INPUTS, inputs)))
    before = observe_at_rest(pid)
    began = time.monotonic()
    findings = uvloop.run(attack_all(server.port, Attacks(seed), inputs, clients))
    took_s = time.monotonic() - began
    after = observe_at_rest(pid)
    faults = [*warm_up.faults, *findings.faults]
    if after.workers != before.workers:
        faults.append(f"workers died: {before.workers} became {after.workers}")
    if after.memory_mib > before.memory_mib + MEMORY_GROWTH_MIB:
        faults.append(f"memory grew by {after.memory_mib - before.memory_mib:.1f} MiB")
    if after.descriptors > before.descriptors:
        faults.append(f"{after.descriptors - before.descriptors} descriptors were not closed")
    faults += _answers_wrongly(server)
    faults += [line for line in server.log.splitlines() if _is_complaint(line)]
    return Report(seed, took_s, findings, before, after, faults)


def lines_of(report: Report) -> Iterator[str]:
    """The report in words."""
    findings = report.findings
    yield f"seed {report.seed}"
    yield (
        f"{findings.inputs} inputs in {report.took_s:.1f} s "
        f"({findings.inputs / report.took_s:.0f}/s)"
    )
    for status, count in sorted(findings.statuses.items()):
        yield f"  {status}: {count} answers"
    yield f"  {findings.refused} inputs got an error answer, {findings.no_answer} none (their"
    yield f"  client left, or there was no request in them), {findings.resets} a reset"
    before, after = report.before, report.after
    yield f"memory of all: {before.memory_mib:.1f} MiB before, {after.memory_mib:.1f} after"
    yield f"descriptors: {before.descriptors} before, {after.descriptors} after"
    yield f"workers: {len(before.workers)} before, the same {len(after.workers)} after"
    yield f"faults: {len(report.faults)}"
    yield from report.faults[:40]


def _is_complaint(line: str) -> bool:
    return any(word in line for word in _COMPLAINTS)


def _answers_wrongly(server: Serving) -> Iterator[str]:
    try:
        if (status := server.ask("GET", "/ping").status) != 200:
            yield f"/ping answers {status} afterwards"
        if (answer := server.invoke(b"[[1, 2]]")).json != [[1, 2]]:
            yield f"a valid request afterwards gets {answer.body!r}"
    except OSError as error:
        yield f"the server does not answer afterwards: {error}"
