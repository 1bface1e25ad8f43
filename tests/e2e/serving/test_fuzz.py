"""A short run of what `make fuzz` does for longer, and the description that it uses."""

import asyncio
import json
from pathlib import Path

from intermodal_serving.app import App
from intermodal_serving.board import Board
from intermodal_serving.runner import Runner
from intermodal_serving.settings import Settings
from tests.fuzz.report import MODEL, attack_server, lines_of
from tests.fuzz.schema import DESCRIPTION, run_schemathesis
from tests.helpers.serving_process import serving, write_code

SEED = 20
INPUTS = 3000


def test_thousands_of_bad_inputs_do_no_harm(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, MODEL), SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        report = attack_server(server, SEED, INPUTS)
        assert report.faults == [], "\n".join(lines_of(report))
        assert report.findings.inputs >= INPUTS
        assert set(report.findings.statuses) >= {200, 204, 400, 404, 405, 413, 415, 431}
        assert server.terminate() == 0


def test_the_server_answers_as_its_description_says(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, MODEL)) as server:
        result = run_schemathesis(server.port, SEED, examples=25)
        assert result.returncode == 0, result.stdout
        assert "Tested: 14" in result.stdout


def test_the_description_has_every_path_and_method_of_the_application() -> None:
    paths = json.loads(DESCRIPTION.read_text())["paths"]
    described = {path: {name.upper() for name in methods} for path, methods in paths.items()}
    board = Board(1, 1)
    row = board.row(0)
    loop = asyncio.new_event_loop()
    app = App(Settings(), Runner(loop, row), board, row)
    loop.close()
    assert described == {path: methods | {"OPTIONS"} for path, methods in app.routes.items()}
