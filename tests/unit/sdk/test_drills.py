"""How the plugin runs the command, and what it makes of what that says."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from intermodal.drills import NO_CALLS, Clients, DrillReport, Drills
from intermodal.errors import DrillError

PHASE = {"calls": 9, "failures": 1, "retries": 2, "p50_ms": 1.5, "p99_ms": 9.5, "errors": {"X": 1}}
DOCUMENT = {
    "drill": "zone",
    "target": "us-east-1a",
    "did": ["killed"],
    "clients": {"before": PHASE, "during": PHASE, "after": PHASE},
    "recovery": {"clients_s": 0.5, "whole_s": 4.0},
    "cost": {"usd": 0.01, "basis": "2 x ml.m5.large"},
}


class Command:
    """Stands where Python stands; writes down its arguments and says what it was told to."""

    def __init__(self, folder: Path) -> None:
        self._arguments = folder / "arguments"
        self._said = folder / "said"
        self.program = folder / "python"
        self.program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >{self._arguments}\n. {self._said}\n'
        )
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.says(DOCUMENT)

    def says(self, document: dict[str, Any]) -> None:
        self._said.write_text(f"cat <<'END'\n{json.dumps(document)}\nEND\n")

    def fails(self, message: str) -> None:
        self._said.write_text(f"cat >&2 <<'END'\n{message}\nEND\nexit 1\n")

    @property
    def arguments(self) -> list[str]:
        return self._arguments.read_text().splitlines()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    command = Command(tmp_path)
    monkeypatch.setattr(sys, "executable", str(command.program))
    return command


def test_every_drill_is_asked_for_as_the_command_line_has_it(
    command: Command, tmp_path: Path
) -> None:
    from intermodal_engine.cli.main import parser

    drills = Drills(tmp_path)
    quick = Clients(b"x", "text/plain", component="c", target_model="m.tar.gz", count=2)
    drills.spot("job", after_s=1.5, wait=False)
    assert parser().parse_args(command.arguments[2:]).no_wait
    drills.instance("e", instance="i-1", clients=quick)
    asked = parser().parse_args(command.arguments[2:])
    assert (asked.endpoint, asked.instance, asked.component) == ("e", "i-1", "c")
    assert (asked.clients, asked.content_type, asked.home) == (2, "text/plain", str(tmp_path))
    drills.zone("us-east-1a", seconds=2.5, endpoint="e")
    asked = parser().parse_args(command.arguments[2:])
    assert (asked.zone, asked.seconds, asked.endpoint) == ("us-east-1a", 2.5, "e")
    drills.latency("e", delay_s=0.25, fraction=0.5, variant="B")
    asked = parser().parse_args(command.arguments[2:])
    assert (asked.delay, asked.fraction, asked.variant) == (0.25, 0.5, "B")
    drills.errors("e", status=503)
    assert parser().parse_args(command.arguments[2:]).status == 503
    drills.throttle("e", service="s3")
    assert parser().parse_args(command.arguments[2:]).service == "s3"
    drills.disk_full(seconds=1)
    assert parser().parse_args(command.arguments[2:]).seconds == 1
    drills.engine()
    assert parser().parse_args(command.arguments[2:]).endpoint is None
    drills.deploy("e", "bad")
    assert parser().parse_args(command.arguments[2:]).model == "bad"


def test_a_report_has_figures_and_is_told_once(command: Command, tmp_path: Path) -> None:
    told: list[DrillReport] = []
    report = Drills(tmp_path, told.append).zone("us-east-1a")
    assert told == [report]
    assert report.during.errors == {"X": 1}
    assert (report.whole_s, report.clients_s, report.cost_usd) == (4.0, 0.5, 0.01)
    assert "during 1 of 9 calls failed, p99 9.5 ms" in str(report)
    command.says({**DOCUMENT, "clients": {}, "recovery": {"whole_s": 1.0}, "job": "j"})
    report = Drills(tmp_path).spot("j")
    assert (report.during, report.clients_s, report.document["job"]) == (NO_CALLS, 0.0, "j")


def test_pages_have_names_of_their_own(command: Command, tmp_path: Path) -> None:
    drills = Drills(tmp_path, pages=tmp_path / "pages", name="test_x")
    for number in (1, 2):
        drills.engine()
        assert f"--report={tmp_path / 'pages' / f'test_x-{number}.html'}" in command.arguments


def test_what_the_command_refuses_is_an_error_with_its_hint(
    command: Command, tmp_path: Path
) -> None:
    command.fails("3 clients look on\nerror: there is no endpoint `e`\nhint: list them")
    with pytest.raises(DrillError, match="there is no endpoint `e`") as caught:
        Drills(tmp_path).instance("e")
    assert caught.value.hint == "list them"
