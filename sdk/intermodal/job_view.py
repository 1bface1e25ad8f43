"""Where a person watches a training job: a notebook, a terminal, or lines in a file or pipe."""

import os
import sys
from typing import Any, Protocol

from intermodal.job_picture import Moment
from intermodal.live import LiveView


class JobView(Protocol):
    """What a training job is shown on."""

    @property
    def has_curves(self) -> bool:
        """Whether metrics are shown, so that it is worth asking for them."""
        ...

    def say(self, text: str) -> None:
        """Tell something at once."""
        ...

    def show(self, moment: Moment) -> None:
        """Show how the job stands, and every new line of its log."""
        ...

    def let_go(self) -> None:
        """Leave what is shown as it is: something else writes next."""
        ...


class PlainView:
    """Lines, one after the other: for pipes, files and continuous integration."""

    has_curves = False

    def __init__(self) -> None:
        self._lines = LiveView()

    def say(self, text: str) -> None:
        """Print the line."""
        self._lines.say(text)

    def show(self, moment: Moment) -> None:
        """Print the status changes and log lines that are new."""
        has_hosts = moment.picture.instances > 1
        self._lines.happened(moment.transitions, moment.lines, has_hosts=has_hosts)

    def let_go(self) -> None:
        """Nothing is drawn anew here."""


def job_view() -> JobView:
    """What suits the place that standard output leads to at this moment."""
    if is_notebook():
        from intermodal.notebook_view import NotebookView

        return NotebookView()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from intermodal.terminal_view import TerminalView

        return TerminalView(sys.stdout)
    return PlainView()


def can_ask() -> bool:
    """Whether somebody can answer a question."""
    return is_notebook() or (sys.stdin.isatty() and sys.stdout.isatty())


def is_notebook() -> bool:
    """Whether this is a notebook's kernel, and standard output leads to its cell."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel") and type(sys.stdout).__module__.startswith("ipykernel")
