"""Arguments of the command line that nobody means; no engine runs for them."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from intermodal_engine.cli.main import main, parser
from tests.fuzz.engine.values import HOSTILE

Draw = Callable[[SearchStrategy[Any]], Any]

_COMMANDS = ("down", "restart", "status", "logs", "drill", "images", "prune", "env")
_PARSED_ONLY = ("up", "exec")
_OPTIONS = (
    "--json",
    "--home",
    "--port",
    "--driver",
    "--region",
    "--max-instances",
    "--stop-grace",
    "--file-system",
    "--registry",
    "--older-than",
    "--dry-run",
    "--follow",
    "--after",
    "--unset",
    "--version",
    "--help",
    "--scaling-period",
    "--",
    "spot",
    "job-1",
)
_VALUES = (*HOSTILE, "0", "99999", "1e400", "nan", "inf", "9" * 5000, "7d", "٣", "²", "fs=/", "=")


@st.composite
def arguments(draw: Draw) -> list[str]:
    """A command with options and values, in any order."""
    command = draw(st.sampled_from((*_COMMANDS, *_PARSED_ONLY)))
    parts = st.sampled_from(_OPTIONS) | st.sampled_from(_VALUES) | st.text(max_size=10)
    return [command, *draw(st.lists(parts, max_size=6))]


def run_hostile(what: list[str], home: Path) -> int:
    """The exit code; raises where the command line has a fault of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _run(what, home)
    if "Traceback" in err.getvalue():
        raise AssertionError(err.getvalue()[:2000])
    return code


def _run(what: list[str], home: Path) -> int:
    try:
        if what[0] in _PARSED_ONLY:
            parser().parse_args(what)
            return 0
        # The last one counts: nothing is done to another home.
        return main([what[0], *(one for one in what[1:] if one != "--home"), "--home", str(home)])
    except SystemExit as error:
        return int(error.code or 0)
