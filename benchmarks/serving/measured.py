"""What each contender did, or why that is not known, and how it stands in the table."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.figures import Figure, NotMeasuredError
from benchmarks.serving.servers import Contender


@dataclass(slots=True)
class Measured:
    """One contender in one window.

    Attributes:
        contender: what is measured.
        samples: every run's value, by what it is a value of.
        failure: why it was not measured; empty if it was.
    """

    contender: Contender
    samples: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""

    @property
    def name(self) -> str:
        """The contender's."""
        return self.contender.name

    def add(self, key: str, value: float) -> None:
        """Keeps the value of one run."""
        self.samples.setdefault(key, []).append(value)

    @contextmanager
    def or_failure(self) -> Iterator[None]:
        """Remembers why it cannot be measured; what was found before does not count then."""
        try:
            yield
        except NotMeasuredError as error:
            self.failure = str(error)
            self.samples.clear()

    def median(self, key: str) -> str:
        """The middle of the runs in a few digits, or why there are none."""
        values = self.samples.get(key)
        if not values:
            return f"not measured ({self.failure})" if self.failure else "not measured"
        middle = statistics.median(values)
        return f"{middle:.0f}" if middle >= 10 else f"{middle:.2f}"


def prepared(contenders: list[Contender]) -> list[Measured]:
    """All of them, those that cannot be had here with the reason."""
    found = [Measured(contender) for contender in contenders]
    for one in found:
        with one.or_failure():
            one.contender.prepare()
    return found


def figure(
    what: str,
    unit: str,
    must: float | None,
    measured: list[Measured],
    key: str,
    *,
    note: str = "",
    at_least: bool = False,
) -> Figure:
    """One value of the first of those measured, which is ours, beside that of the others.

    Args:
        what: as in `Figure`, and so are `unit`, `must` and `at_least`.
        unit: of the values.
        must: the bound.
        measured: ours, then the peers.
        key: which value.
        note: said before the peers.
        at_least: whether the bound is a lower one.
    """
    ours, *others = measured
    beside = ", ".join(f"{peer.name} {peer.median(key)}" for peer in others)
    return Figure(
        what=what,
        unit=unit,
        must=must,
        samples=ours.samples.get(key, []),
        at_least=at_least,
        note=ours.failure or "; ".join(part for part in (note, beside) if part),
        detail="; ".join(f"{peer.name}: {peer.samples.get(key, [])}" for peer in others),
    )
