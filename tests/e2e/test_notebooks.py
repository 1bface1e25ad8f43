"""The notebooks in examples/, executed as a user's Jupyter executes them."""

from pathlib import Path

import nbformat
import pytest

from tests.helpers.engine import RunningEngine
from tests.helpers.examples import EXAMPLES
from tests.helpers.notebooks import executed, printed, read, shown

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_quickstart_trains_in_one_display_deploys_and_predicts(engine: RunningEngine) -> None:
    notebook = executed("quickstart.ipynb", engine)

    html = shown(notebook, "text/html")
    assert html.count("<b>Completed</b>") == 1
    assert "epoch 10/10" in html
    assert "train:loss" in html
    assert "<svg" in html
    assert "1437 images" in html
    assert "1 x ml.m5.xlarge: 0.23 USD an hour" in html
    assert "InService" in html
    assert "href" not in html
    assert float(printed(notebook).partition("accuracy=")[2].split()[0]) >= 0.95


def test_two_instances_train_together_and_each_has_its_log(engine: RunningEngine) -> None:
    html = shown(executed("distributed.ipynb", engine), "text/html")
    for rank in (0, 1):
        assert f">algo-{rank + 1}</b>" in html
        assert f"rank {rank} of 2 on algo-" in html
    assert ">Completed<" in html


def test_the_reference_program_is_a_notebook_too(
    mxnet_can_be_had: None, engine: RunningEngine
) -> None:
    notebook = executed("mxnet.ipynb", engine)
    assert "asked for mxnet 1.4.1, runs on mxnet" in shown(notebook, "text/html")
    assert float(printed(notebook).partition("accuracy=")[2].split()[0]) >= 0.95


def test_an_own_container_is_planned_and_trained_where_it_was_built(engine: RunningEngine) -> None:
    notebook = executed("own_container.ipynb", engine)
    assert "my-training:1" in shown(notebook, "text/html")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda file: file.name)
def test_a_notebook_is_kept_without_outputs(file: Path) -> None:
    notebook = read(file)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert set(cell.metadata) == set()
