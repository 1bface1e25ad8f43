"""What `make soak-load` says no to."""

from dataclasses import replace

import pytest

from tests.load.ordinary import Findings
from tests.load.report import (
    MEMORY_GROWTH_MIB,
    MORE_DESCRIPTORS,
    MORE_THREADS,
    Plan,
    Report,
    faults_of,
    lines_of,
    quantile,
)
from tests.load.resources import Sample, fifths

REST = Sample(resident_mib=90.0, own_mib=80.0, descriptors=70, threads=30, requests=0)


def seen(*took_s: float, failures: tuple[str, ...] = ()) -> Findings:
    findings = Findings()
    findings.took_s["InvokeEndpoint"] += took_s
    findings.failures.update(failures)
    return findings


def report_of() -> Report:
    """One with which all is well."""
    report = Report(Plan(7, 200, 50, 600.0, 60.0, 15.0), seen(*[0.01] * 100), seen(*[0.02] * 100))
    report.samples = [replace(REST, own_mib=100.0)] * 100
    report.before = report.after = REST
    return report


def test_a_good_run_has_no_fault_and_tells_its_figures() -> None:
    report = report_of()
    assert faults_of(report) == []
    lines = list(lines_of(report))
    assert lines[0] == "seed 7"
    assert any(line.startswith("InvokeEndpoint") and "20.0 ms" in line for line in lines)
    assert lines[-1] == "faults: 0"


def test_memory_that_grows_is_a_fault_and_memory_that_is_taken_at_the_beginning_is_none() -> None:
    report = report_of()
    later = replace(REST, own_mib=100.0 + MEMORY_GROWTH_MIB)
    report.samples[60:] = [later] * 40
    assert faults_of(report) == []
    report.samples[60:] = [replace(later, own_mib=later.own_mib + 1)] * 40
    assert faults_of(report) == ["memory grew by 33.0 MiB"]
    report.samples = [REST] * 19 + [replace(REST, own_mib=300.0)] * 81
    assert faults_of(report) == []


def test_one_call_that_failed_or_was_answered_wrong_is_a_fault() -> None:
    report = report_of()
    report.beside.failures["get: answered b'x' instead of b'y'"] += 1
    assert faults_of(report) == ["1 times: get: answered b'x' instead of b'y'"]


def test_a_run_without_any_call_is_no_good_one() -> None:
    report = report_of()
    report.beside = Findings()
    assert faults_of(report) == ["no call succeeded"]


@pytest.mark.parametrize(
    ("took_s", "quantile_name"),
    [([0.06] * 100, "p50"), ([0.02] * 98 + [1.0] * 2, "p99")],
    ids=["the usual call", "one of a hundred"],
)
def test_calls_that_wait_for_slow_clients_are_a_fault(
    took_s: list[float], quantile_name: str
) -> None:
    report = report_of()
    report.beside = seen(*took_s)
    (fault,) = faults_of(report)
    assert fault.startswith(f"short calls: {quantile_name} ")


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (replace(REST, descriptors=71 + MORE_DESCRIPTORS), "25 descriptors were not closed"),
        (replace(REST, threads=31 + MORE_THREADS), f"30 threads became {31 + MORE_THREADS}"),
        (replace(REST, requests=1), "1 requests never end"),
    ],
)
def test_what_is_still_held_at_the_end_is_a_fault(after: Sample, fault: str) -> None:
    report = report_of()
    report.after = after
    assert faults_of(report) == [fault]


def test_a_connection_that_was_not_cut_is_a_fault() -> None:
    report = report_of()
    report.holds.faults["silent: the engine kept the connection for 99 s"] += 2
    assert faults_of(report) == ["2 times: silent: the engine kept the connection for 99 s"]


def test_quantiles_and_fifths_are_of_all_values() -> None:
    values = [float(one) for one in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([], 0.5)) == (50.0, 99.0, 0.0)
    assert fifths(values) == [10.5, 30.5, 50.5, 70.5, 90.5]
    assert fifths([1.0, 2.0]) == [0.0, 1.0, 0.0, 2.0, 0.0]
