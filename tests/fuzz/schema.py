"""Schemathesis on the description of the HTTP surface."""

import subprocess
import sys
import tempfile
from pathlib import Path

DESCRIPTION = Path(__file__).parents[2] / "docs/reference/serving-openapi.json"

# A schema can say that a body is text, not that the text is CSV or JSON lines.
_NOT_CHECKED = "negative_data_rejection,positive_data_acceptance"


def run_schemathesis(port: int, seed: int, examples: int) -> "subprocess.CompletedProcess[str]":
    """Ask a server on the loopback interface all that its description allows, and what it does not.

    Args:
        port: of the server.
        seed: the same seed asks the same.
        examples: most requests for each operation.
    """
    program = Path(sys.executable).with_name("st")
    with tempfile.TemporaryDirectory() as folder:  # it leaves its database where it runs
        return subprocess.run(
            [
                *(str(program), "run", str(DESCRIPTION), "--url", f"http://127.0.0.1:{port}"),
                *("--seed", str(seed), "--max-examples", str(examples), "--no-color"),
                *("--generation-database", "none", "--exclude-checks", _NOT_CHECKED),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
