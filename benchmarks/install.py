"""What `pip install intermodal` brings along, in a fresh virtual environment."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure

_ROOT = Path(__file__).parent.parent
_LISTS_DISTRIBUTIONS = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps({d.name: [str(d.locate_file(file)) for file in d.files or ()] for d in found}))
"""


def measure() -> list[Figure]:
    """Counts distributions and disk space, bytecode included, without pip and setuptools."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder, "bin", "python"))
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, str(_ROOT / "contract"), str(_ROOT)], check=True)
        listing = subprocess.run(
            [python, "-c", _LISTS_DISTRIBUTIONS], check=True, stdout=subprocess.PIPE
        )
        distributions: dict[str, list[str]] = json.loads(listing.stdout)
        for name in ("pip", "setuptools"):
            distributions.pop(name, None)
        files = {Path(file) for owned in distributions.values() for file in owned}
        size_bytes = sum(file.stat().st_blocks * 512 for file in files if file.exists())
    names = ", ".join(sorted(distributions))
    return [
        Figure("base install: distributions", "", 9, [float(len(distributions))], detail=names),
        Figure("base install: size", "MB", 36, [size_bytes / 1e6]),
    ]
