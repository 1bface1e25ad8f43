"""The stop button of a notebook while `fit()` watches a job: the kernel asks, the user answers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from intermodal.interruption import QUESTION
from tests.unit.sdk.test_ctrl_c import WATCHES

PATIENCE_S = 60.0


class Notebook:
    """One kernel that runs one cell."""

    def __init__(self, manager: KernelManager) -> None:
        self._manager = manager
        self._client: Any = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE_S)
        self.text = ""

    def run(self, code: str) -> None:
        self._client.execute(code, allow_stdin=True)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            self._take(self._client.get_iopub_msg(timeout=PATIENCE_S))

    def stop_button(self) -> str:
        """Interrupts the kernel; what it asks."""
        self._manager.interrupt_kernel()
        asked: str = self._client.get_stdin_msg(timeout=PATIENCE_S)["content"]["prompt"]
        return asked

    def answer(self, text: str) -> None:
        self._client.input(text)

    def close(self) -> None:
        self._client.stop_channels()

    def _take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        self.text += content.get("text", "") + "\n".join(content.get("traceback", []))
        self.text += str(content.get("data", {}).get("text/html", ""))


@pytest.fixture
def notebook(script: Path) -> Iterator[Notebook]:
    """It shows a job that runs."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(Path(__file__).parents[3]))
    notebook = Notebook(manager)
    try:
        notebook.run(f"import sys\nsys.argv = ['cell', {str(script)!r}]\n{WATCHES}")
        notebook.wait_for("it begins")
        yield notebook
    finally:
        notebook.close()
        manager.shutdown_kernel(now=True)


def test_the_stop_button_asks_and_stop_stops_the_job(notebook: Notebook) -> None:
    assert notebook.stop_button() == QUESTION
    notebook.answer("s")
    notebook.wait_for("interrupted; asked to stop")


def test_silence_detaches_and_says_how_to_find_the_job_again(notebook: Notebook) -> None:
    notebook.stop_button()
    notebook.answer("")
    notebook.wait_for("interrupted; not stopped")
    assert "`job` goes on without being watched" in notebook.text
