"""What a drill is given, and what comes of it: figures of what clients saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intermodal.errors import DrillError
from intermodal_contract.drills import Phase


@dataclass(frozen=True, slots=True)
class Clients:
    """Who looks on, and what they send.

    Attributes:
        body: of each request.
        content_type: its type.
        component: the inference component that they ask.
        target_model: the model of many that they ask.
        count: how many there are.
        pause_s: of each, from call to call.
        before_s: how long they call before anything is done.
        after_s: how long they go on when all is whole again.
    """

    body: bytes = b"{}"
    content_type: str = "application/json"
    component: str | None = None
    target_model: str | None = None
    count: int = 4
    pause_s: float = 0.1
    before_s: float = 3.0
    after_s: float = 3.0


NO_CALLS = Phase(0, 0, 0, None, None)
"""Of a drill without clients."""


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What came of a drill.

    Attributes:
        drill: its name.
        target: what it was about.
        did: what was done, a sentence each.
        before: the calls before that.
        during: those until all was whole again.
        after: those after that.
        whole_s: seconds until all was whole again.
        clients_s: seconds until the last failed call had ended; 0 where none failed.
        cost_usd: what the instances would have cost on AWS meanwhile; None where it is not known.
        document: all of it, as `intermodal drill --json` prints it.
    """

    drill: str
    target: str
    did: Sequence[str]
    before: Phase
    during: Phase
    after: Phase
    whole_s: float
    clients_s: float
    cost_usd: float | None
    document: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        seen = ", ".join(
            f"{name} {one.failures} of {one.calls} calls failed, p99 {one.p99_ms} ms"
            for name, one in (("before", self.before), ("during", self.during))
            if one.calls
        )
        what = f"drill {self.drill} {self.target}: whole again after {self.whole_s:.2f} s"
        return f"{what}; {seen}" if seen else what


def report_of(document: Mapping[str, Any]) -> DrillReport:
    """Makes a report of what `intermodal drill --json` prints."""
    clients = {name: Phase(**one) for name, one in document["clients"].items()}
    recovery = document["recovery"]
    return DrillReport(
        drill=document["drill"],
        target=document["target"],
        did=tuple(document["did"]),
        before=clients.get("before", NO_CALLS),
        during=clients.get("during", NO_CALLS),
        after=clients.get("after", NO_CALLS),
        whole_s=recovery["whole_s"],
        clients_s=recovery.get("clients_s", 0.0),
        cost_usd=document["cost"]["usd"],
        document=document,
    )


def error_of(said: str) -> DrillError:
    """What the command says on stderr: notes, then `error: …`, and perhaps `hint: …`."""
    _, found, text = said.partition("error: ")
    message, _, hint = (text if found else said).strip().partition("\nhint: ")
    return DrillError(message, hint=hint or None)
