"""What a drill counts, what it says, and how an engine is started as it was."""

import json
import threading

import pytest

from intermodal_engine.cli.drills.cost import cost_of, most
from intermodal_engine.cli.drills.figures import Span, last_failure_s, phases
from intermodal_engine.cli.drills.load import Load, Sample
from intermodal_engine.cli.drills.page import page
from intermodal_engine.cli.drills.report import Report
from intermodal_engine.cli.drills.reviver import restart_arguments
from intermodal_engine.cli.main import parser
from intermodal_engine.services.throttling import throttled
from intermodal_engine.wire.client import CallError

SPAN = Span(10.0, 20.0)
SAMPLES = [
    *(Sample(number / 10, 0.001 * (number + 1), 0) for number in range(90)),
    Sample(9.9, 0.5, 1, "ServiceUnavailable", "503"),
    Sample(12.0, 0.1, 2),
    Sample(13.0, 0.2, 4, "ServiceUnavailable", "503"),
    Sample(19.9, 0.3, 0),
    Sample(20.0, 0.1, 0),
]


def test_a_call_belongs_to_what_happened_while_it_was_under_way() -> None:
    found = phases(SAMPLES, SPAN)
    assert {name: one.calls for name, one in found.items()} == {
        "before": 90,
        "during": 4,
        "after": 1,
    }
    assert (found["during"].failures, found["during"].retries) == (2, 7)
    assert found["during"].errors == {"ServiceUnavailable": 2}
    assert (found["before"].p50_ms, found["before"].p99_ms) == (45.0, 90.0)
    assert last_failure_s(SAMPLES, SPAN) == pytest.approx(3.2)
    assert last_failure_s(SAMPLES[:90], SPAN) == 0


def test_no_calls_have_no_percentiles() -> None:
    assert phases([], SPAN)["after"].p99_ms is None


def test_what_it_costs_is_told_where_the_price_is_known() -> None:
    two = [{"type": "ml.m5.large", "count": 2}]
    cost = cost_of(two, 3600)
    assert cost["usd"] == pytest.approx(0.23)
    assert "2 x ml.m5.large for 3600.0 s at 0.23 USD an hour" in cost["basis"]
    assert cost_of(two, 3600, 0.3)["usd"] == pytest.approx(0.069)
    assert cost_of([{"type": "ml.new", "count": 1}], 60)["usd"] is None
    assert cost_of([], 60)["usd"] is None
    assert most(two, [{"type": "ml.m5.large", "count": 4}])[0]["count"] == 4


def test_clients_call_until_they_are_stopped_and_failures_are_kept() -> None:
    called = threading.Event()
    numbers = iter(range(1000))

    def call() -> int:
        if next(numbers) >= 20:
            called.set()
        if threading.current_thread().name == "client-0":
            raise CallError("Throttling", "slow down", 3)
        return 1

    load = Load(call, clients=2, pause_s=0.001)
    load.start()
    assert called.wait(10)
    load.stop()
    load.stop()
    samples = load.samples()
    assert {one.error for one in samples} == {None, "Throttling"}
    assert [one.began_s for one in samples] == sorted(one.began_s for one in samples)


def test_a_report_is_told_as_text_as_json_and_as_a_page_of_its_own() -> None:
    report = Report(
        drill="instance",
        target="<digits>",
        did=["killed instance i-1"],
        clients=phases(SAMPLES, SPAN),
        recovery={"clients_s": 3.2, "whole_s": 10.0},
        cost=cost_of([], 1),
        facts={"killed": {"instance": "i-1"}},
        span=SPAN,
        samples=SAMPLES,
    )
    lines = report.lines()
    assert (
        "  during          4         2        7     200.0     500.0   ServiceUnavailable 2" in lines
    )
    assert "the last failed call ended after 3.20 s; whole again after 10.00 s" in "\n".join(lines)
    document = json.loads(json.dumps(report.document()))
    assert document["recovery"] == {"clients_s": 3.2, "whole_s": 10.0}
    text = page("drill <digits>", lines, SAMPLES, SPAN)
    assert text.count("<circle") == len(SAMPLES)
    assert text.count('class="bad"') == 2
    assert "<digits>" not in text
    assert "://" not in text.replace("https://aws.amazon.com", "")
    assert "<svg" in page("empty", [], [], Span(0, 0))


@pytest.mark.parametrize(
    ("was", "again"),
    [
        (["p", "-m", "c", "up", "--port=1"], ["p", "-m", "c", "up", "--port=1", "--detach"]),
        (["p", "up", "--detach"], ["p", "up", "--detach"]),
        (["p", "up", "--ready-descriptor", "7", "--a=b"], ["p", "up", "--a=b", "--detach"]),
        (["p", "up", "--listener-descriptor=7"], ["p", "up", "--detach"]),
    ],
)
def test_an_engine_is_started_with_the_options_that_it_had(
    was: list[str], again: list[str]
) -> None:
    assert restart_arguments(was) == again


def test_each_service_has_its_own_word_for_too_fast() -> None:
    assert (throttled("s3").code, throttled("s3").status) == ("SlowDown", 503)
    assert throttled("iam").code == "Throttling"
    assert throttled("sagemaker").code == "ThrottlingException"


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("1m", 60.0)], ids=str)
def test_times_have_units(text: str, seconds: float) -> None:
    assert parser().parse_args(["drill", "latency", "e", f"--delay={text}"]).delay == seconds
