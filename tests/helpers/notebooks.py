"""Notebooks of examples/, executed as a user's Jupyter executes them."""

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.helpers.engine import RunningEngine
from tests.helpers.examples import EXAMPLES


def read(file: Path) -> Any:
    """A notebook as it is kept."""
    return nbformat.reads(file.read_text(), as_version=4)  # type: ignore[no-untyped-call]


def executed(name: str, engine: RunningEngine) -> Any:
    """The notebook with its outputs; a cell that fails is an error."""
    notebook = read(EXAMPLES / name)
    client = NotebookClient(notebook, resources={"metadata": {"path": str(EXAMPLES)}}, timeout=300)
    client.execute(env=engine.environment)
    return notebook


def shown(notebook: Any, mime: str) -> str:
    """All that cells display of that kind."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.data[mime] for output in outputs if mime in output.get("data", {}))


def printed(notebook: Any) -> str:
    """All that cells print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")
