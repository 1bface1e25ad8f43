"""What a drill tells: as lines for a person, as JSON, and as a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from intermodal_contract.drills import Phase
from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.drills.figures import Span
from intermodal_engine.cli.drills.load import Sample
from intermodal_engine.cli.drills.page import page


@dataclass(frozen=True, slots=True)
class Report:
    """One drill.

    Attributes:
        drill: its name, as on the command line.
        target: what it was about.
        did: what it did, a sentence each.
        clients: what clients saw, by phase; empty where there were none.
        recovery: seconds from the beginning: `clients_s` to the end of the last failed call,
            `whole_s` until everything was whole again.
        cost: what it would have cost on AWS: `usd`, or None, and `basis`.
        facts: what else is known, by name.
        span: when it went on.
        samples: every call.
    """

    drill: str
    target: str
    did: Sequence[str]
    clients: dict[str, Phase]
    recovery: dict[str, float]
    cost: dict[str, Any]
    facts: dict[str, Any]
    span: Span
    samples: Sequence[Sample] = field(default=(), repr=False)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **self.facts,
            "drill": self.drill,
            "target": self.target,
            "did": list(self.did),
            "clients": {name: asdict(one) for name, one in self.clients.items()},
            "recovery": {name: round(one, 3) for name, one in self.recovery.items()},
            "cost": self.cost,
        }

    def lines(self) -> list[str]:
        """For a person."""
        shown = [f"drill {self.drill} `{self.target}`", *(f"  {one}" for one in self.did)]
        if self.clients:
            shown += ["", *_table(self.clients)]
        recovery = [f"whole again after {self.recovery['whole_s']:.2f} s"]
        if "clients_s" in self.recovery:
            last = self.recovery["clients_s"]
            clients = f"the last failed call ended after {last:.2f} s" if last else "no call failed"
            recovery.insert(0, clients)
        usd = self.cost["usd"]
        price = "not known" if usd is None else f"{usd:.6f} USD"
        return [*shown, "", f"  {'; '.join(recovery)}", f"  on AWS: {price}; {self.cost['basis']}"]


def show(report: Report, *, as_json: bool, file: Path | None) -> None:
    """Prints a report, and writes its page where one is wanted.

    Raises:
        IntermodalError: the page cannot be written.
    """
    print(json.dumps(report.document(), indent=2) if as_json else "\n".join(report.lines()))
    if file is not None:
        title = f"drill {report.drill} {report.target}"
        text = page(title, report.lines()[1:], report.samples, report.span)
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise IntermodalError(f"`{file}` cannot be written: {error.strerror}") from error


def _table(clients: dict[str, Phase]) -> list[str]:
    header = (
        f"  {'clients':<9}{'calls':>8}{'failures':>10}{'retries':>9}{'p50 ms':>10}{'p99 ms':>10}"
    )
    rows = [
        f"  {name:<9}{one.calls:>8}{one.failures:>10}{one.retries:>9}"
        f"{_ms(one.p50_ms):>10}{_ms(one.p99_ms):>10}{_errors(one)}"
        for name, one in clients.items()
    ]
    return [header, *rows]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _errors(one: Phase) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in one.errors.items())
    return f"   {shown}" if shown else ""
