"""pytest's plugin for drills: break a job or an endpoint in a test, and assert what clients saw.

It is there wherever `intermodal` is installed. The drills are those of the command
`intermodal drill`, which this runs.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from intermodal.drill_reports import (
    NO_CALLS,
    Clients,
    DrillReport,
    error_of,
    report_of,
)
from intermodal.local import ENGINE_PACKAGE, LocalSession, default_home
from intermodal_contract.drills import Phase

__all__ = ["NO_CALLS", "Clients", "DrillReport", "Drills", "Phase"]

_PROPERTY = "intermodal drill"


class Drills:
    """Plays drills on the engine of a home.

    Args:
        home: the engine's.
        told: gets each report.
        pages: the folder that gets a page of each; None for none.
        name: what the pages are called, before a number.
    """

    def __init__(
        self,
        home: Path,
        told: Callable[[DrillReport], None] = lambda _: None,
        pages: Path | None = None,
        name: str = "drill",
    ) -> None:
        self._home = home
        self._told = told
        self._pages = pages
        self._name = name
        self._played = 0

    def spot(self, job: str, *, after_s: float = 0.0, wait: bool = True) -> DrillReport:
        """Takes the instances of a training job on managed spot away.

        Args:
            job: its name.
            after_s: how long to wait before.
            wait: whether to wait until it trains again, or has ended.

        Raises:
            DrillError: it cannot be interrupted.
        """
        more = () if wait else ("--no-wait",)
        return self._play("spot", job, f"--after={after_s}", *more)

    def instance(
        self, endpoint: str, *, instance: str | None = None, clients: Clients | None = None
    ) -> DrillReport:
        """Kills an instance of an endpoint: any, or the one that is named.

        Raises:
            DrillError: there is none, or it was not replaced in time.
        """
        return self._with(clients, "instance", endpoint, *_option("instance", instance))

    def zone(
        self,
        zone: str,
        *,
        seconds: float = 60.0,
        endpoint: str | None = None,
        clients: Clients | None = None,
    ) -> DrillReport:
        """Kills all instances in a zone, and has none started there for so long.

        Args:
            zone: for example `us-east-1a`.
            seconds: for how long.
            endpoint: whom clients call; None: all that have instances there.
            clients: who look on.

        Raises:
            DrillError: there is no such zone, nothing runs there, or not all came back in time.
        """
        return self._with(clients, "zone", zone, _for(seconds), *_option("endpoint", endpoint))

    def latency(
        self,
        endpoint: str,
        *,
        delay_s: float = 0.5,
        fraction: float = 1.0,
        seconds: float = 10.0,
        variant: str | None = None,
        clients: Clients | None = None,
    ) -> DrillReport:
        """Has requests reach the instances of an endpoint later.

        Args:
            endpoint: its name.
            delay_s: how much later.
            fraction: of how many requests, from 0 to 1.
            seconds: for how long.
            variant: only those for this variant.
            clients: who look on.

        Raises:
            DrillError: there is no such endpoint or variant.
        """
        return self._with(
            clients,
            *("latency", endpoint, f"--delay={_ms(delay_s)}", f"--fraction={fraction}"),
            *(_for(seconds), *_option("variant", variant)),
        )

    def errors(
        self,
        endpoint: str,
        *,
        status: int = 500,
        fraction: float = 0.2,
        seconds: float = 10.0,
        variant: str | None = None,
        clients: Clients | None = None,
    ) -> DrillReport:
        """Has errors answer in the place of an endpoint's model.

        Args:
            endpoint: its name.
            status: the model's HTTP status, from 400 to 599.
            fraction: of how many requests, from 0 to 1.
            seconds: for how long.
            variant: only those for this variant.
            clients: who look on.

        Raises:
            DrillError: there is no such endpoint or variant.
        """
        return self._with(
            clients,
            *("errors", endpoint, f"--status={status}", f"--fraction={fraction}"),
            *(_for(seconds), *_option("variant", variant)),
        )

    def throttle(
        self,
        endpoint: str | None = None,
        *,
        service: str | None = None,
        fraction: float = 0.5,
        seconds: float = 10.0,
        clients: Clients | None = None,
    ) -> DrillReport:
        """Tells callers that they ask too often.

        Args:
            endpoint: whom clients call; None: they list endpoints.
            service: only of this service, as boto3 names it.
            fraction: of how many requests, from 0 to 1.
            seconds: for how long.
            clients: who look on.

        Raises:
            DrillError: there is no such endpoint or service.
        """
        return self._with(
            clients,
            *("throttle", *((endpoint,) if endpoint else ()), f"--fraction={fraction}"),
            *(_for(seconds), *_option("service", service)),
        )

    def disk_full(self, *, seconds: float = 10.0, clients: Clients | None = None) -> DrillReport:
        """Has the engine's writes to its home fail; the clients put objects.

        Raises:
            DrillError: something that was acknowledged is lost.
        """
        return self._play("disk-full", _for(seconds), *_pace(clients or Clients()))

    def engine(self, endpoint: str | None = None, *, clients: Clients | None = None) -> DrillReport:
        """Kills the engine and starts it as it was started.

        Args:
            endpoint: whom clients call; None: they list endpoints.
            clients: who look on.

        Raises:
            DrillError: it does not come back.
        """
        return self._with(clients, "engine", *((endpoint,) if endpoint else ()))

    def deploy(
        self, endpoint: str, bad_model: str, *, clients: Clients | None = None
    ) -> DrillReport:
        """Updates an endpoint to a model that fails; it goes back by itself.

        Args:
            endpoint: its name.
            bad_model: name of a model that fails.
            clients: who look on.

        Raises:
            DrillError: there is no such endpoint or model, or the model turned out to be good.
        """
        return self._with(clients, "deploy", endpoint, bad_model)

    def _with(self, clients: Clients | None, *arguments: str) -> DrillReport:
        wanted = clients or Clients()
        with TemporaryDirectory() as folder:
            body = Path(folder, "body")
            body.write_bytes(wanted.body)
            return self._play(
                *arguments,
                *(f"--body={body}", f"--content-type={wanted.content_type}", *_pace(wanted)),
                *_option("component", wanted.component),
                *_option("target-model", wanted.target_model),
            )

    def _play(self, *arguments: str) -> DrillReport:
        more = [] if self._pages is None else [f"--report={self._page(self._pages)}"]
        command = [sys.executable, "-m", f"{ENGINE_PACKAGE}.cli", "drill", *arguments, *more]
        done = subprocess.run(
            [*command, "--json", f"--home={self._home}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise error_of(done.stderr)
        report = report_of(json.loads(done.stdout))
        self._told(report)
        return report

    def _page(self, folder: Path) -> Path:
        self._played += 1
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self._name}-{self._played}.html"


@pytest.fixture(scope="session")
def engine_home() -> Path:
    """The home of the engine that drills are played on: `$INTERMODAL_HOME`, else `~/.intermodal`.

    Override it for an engine of the tests' own.
    """
    return default_home()


@pytest.fixture(scope="session")
def local_session(engine_home: Path) -> LocalSession:
    """A session with that engine, which is started if none runs."""
    return LocalSession(engine_home)


@pytest.fixture
def drill(request: pytest.FixtureRequest, engine_home: Path) -> Drills:
    """Plays drills; what they gave is told at the end of the run."""
    request.getfixturevalue("local_session")  # the engine runs
    pages: str | None = request.config.getoption("drill_pages")
    node = request.node

    def told(report: DrillReport) -> None:
        node.user_properties.append((_PROPERTY, f"{node.nodeid}: {report}"))

    return Drills(engine_home, told, Path(pages) if pages else None, _file_name(node.name))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--drill-pages`."""
    parser.getgroup("intermodal").addoption(
        "--drill-pages", dest="drill_pages", metavar="DIR", help="write a page of each drill there"
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tells what the drills gave."""
    lines = list(_told(terminalreporter.stats.values()))
    if lines:
        terminalreporter.section("drills")
        for line in lines:
            terminalreporter.line(line)


def _told(reports: Any) -> Iterator[str]:
    for report in (one for group in reports for one in group):
        if getattr(report, "when", None) == "call":
            yield from (text for name, text in report.user_properties if name == _PROPERTY)


def _pace(clients: Clients) -> tuple[str, ...]:
    return (
        f"--clients={clients.count}",
        f"--pause={_ms(clients.pause_s)}",
        f"--before={_ms(clients.before_s)}",
        f"--after={_ms(clients.after_s)}",
    )


def _option(name: str, value: str | None) -> tuple[str, ...]:
    return () if value is None else (f"--{name}={value}",)


def _for(seconds: float) -> str:
    return f"--for={_ms(seconds)}"


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _file_name(text: str) -> str:
    return "".join(one if one.isalnum() or one in "-_" else "-" for one in text)
