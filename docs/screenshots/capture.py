"""Takes the pictures of the live view that the guide shows: a real job, a real terminal, real HTML.

    .venv/bin/python -m docs.screenshots.capture

Writes terminal-running.svg and terminal-ended.svg and, where Chromium is installed, notebook.png.
"""

import shutil
import subprocess
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from sklearn.datasets import load_digits

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.examples import EXAMPLES
from tests.helpers.screen import Cell, Screen
from tests.helpers.terminal import WIDTH, python_in_a_terminal

HERE = Path(__file__).parent
# Whoever takes them, the pictures are the same.
ROOT, SHOWN_ROOT = str(HERE.parents[1]), "~/intermodal"
TRAINS = """
from intermodal import LocalSession, get_execution_role
from intermodal.pytorch import PyTorch

session = LocalSession()
estimator = PyTorch(
    "train.py",
    source_dir={source!r},
    role=get_execution_role(session),
    framework_version="2.13.0",
    instance_count=2,
    instance_type="ml.m5.large",
    hyperparameters={{"epochs": 16, "batch-size": 32}},
    metric_definitions=[
        {{"Name": "train:loss", "Regex": "loss=([0-9.]+)"}},
        {{"Name": "train:seconds", "Regex": "seconds=([0-9.]+)"}},
        {{"Name": "epoch", "Regex": "epoch=([0-9]+)"}},
    ],
    base_job_name="digits",
    sagemaker_session=session,
)
estimator.fit({{"train": {data!r}}})
"""
SHOWN_ROWS = 24
CELL_WIDTH, ROW_HEIGHT, MARGIN = 8.2, 18, 14
COLOURS = {
    "31": "#ff7b72",
    "32": "#7ee787",
    "33": "#e3b341",
    "34": "#79c0ff",
    "35": "#d2a8ff",
    "36": "#76e3ea",
    "2": "#8b949e",
}


def main() -> None:
    """Runs the job twice, in a terminal and in a notebook."""
    with running_engine() as engine, tempfile.TemporaryDirectory() as folder:
        pixels, digits = load_digits(return_X_y=True)
        data = Path(folder, "data")
        data.mkdir()
        np.savetxt(data / "train.csv", np.column_stack([digits, pixels]), "%d", delimiter=",")
        program = TRAINS.format(source=str(EXAMPLES / "digits"), data=str(data))
        take_terminal(program, Path(folder, "fit.py"), engine)
        take_notebook(program, Path(folder), engine)


def take_terminal(program: str, file: Path, engine: RunningEngine) -> None:
    """The terminal while the job runs, and once it has ended."""
    file.write_text(program)
    with python_in_a_terminal([str(file)], engine.environment) as terminal:
        terminal.wait_for("epoch=10 ")
        (HERE / "terminal-running.svg").write_text(svg(terminal.output))
        terminal.wait()
        (HERE / "terminal-ended.svg").write_text(svg(terminal.output))


def take_notebook(program: str, folder: Path, engine: RunningEngine) -> None:
    """The display below a cell once the job has ended, as a browser shows it."""
    new: Any = nbformat.v4
    notebook = new.new_notebook(cells=[new.new_code_cell(program)])
    NotebookClient(notebook, timeout=300).execute(env=engine.environment)
    output = next(one for one in notebook.cells[0].outputs if "text/html" in one.get("data", {}))
    html = output["data"]["text/html"].replace(ROOT, SHOWN_ROOT)
    page = folder / "page.html"
    body = '<body style="margin:12px;font-family:sans-serif;background:#fff">'
    page.write_text(f'<meta charset="utf-8">{body}{html}</body>')
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium:
        subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--window-size=860,665", f"--screenshot={HERE / 'notebook.png'}", page.as_uri()),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )


def svg(output: str) -> str:
    """The last rows of a terminal's screen."""
    screen = Screen(WIDTH)
    screen.feed(output.replace(ROOT, SHOWN_ROOT))
    filled = [row for row in screen.cells if row][-SHOWN_ROWS:]
    width, height = WIDTH * CELL_WIDTH + 2 * MARGIN, len(filled) * ROW_HEIGHT + 2 * MARGIN
    rows = "\n".join(_row(row, index) for index, row in enumerate(filled))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="13.6">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n{rows}\n</svg>\n'
    )


def _row(row: list[Cell], index: int) -> str:
    y = MARGIN + ROW_HEIGHT * (index + 0.75)
    spans, begun = [], 0
    for column in range(1, len(row) + 1):
        if column == len(row) or row[column].style != row[begun].style:
            text = "".join(cell.text for cell in row[begun:column])
            spans.append(_span(text, row[begun].style, begun))
            begun = column
    return f'<text y="{y:.0f}" xml:space="preserve">{"".join(spans)}</text>'


def _span(text: str, style: frozenset[str], column: int) -> str:
    colour = next((COLOURS[code] for code in COLOURS if code in style), "#e6edf3")
    weight = ' font-weight="bold"' if "1" in style else ""
    x, length = MARGIN + column * CELL_WIDTH, len(text) * CELL_WIDTH
    return (
        f'<tspan x="{x:.1f}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" '
        f'fill="{colour}"{weight}>{escape(text)}</tspan>'
    )


if __name__ == "__main__":
    main()
