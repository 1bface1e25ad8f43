"""Where `code/requirements.txt` of a model is installed: a layer of this container's own.

The layer is a virtual environment without packages of its own that sees those of the running
interpreter, so that pip adds what is missing there and never touches the environment below, which
other instances may share.
"""

import atexit
import importlib.metadata
import logging
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from intermodal_serving.errors import ModelLoadError

logger = logging.getLogger("serve")

_PLAIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==\s*([A-Za-z0-9.!+_-]+))?")
_LAST_LINES = 20


def install_requirements(code_folder: Path, base_dir: Path) -> None:
    """Install what `requirements.txt` names and this environment lacks, and make it importable.

    Args:
        code_folder: where `requirements.txt` is, if there is one.
        base_dir: this container's own folder, which gets the layer if it can be written.

    Raises:
        ModelLoadError: pip failed; the message ends with its last lines.
    """
    requirements = code_folder / "requirements.txt"
    if not requirements.is_file() or are_satisfied(requirements.read_text(errors="replace")):
        return
    place = base_dir if os.access(base_dir, os.W_OK) else None
    layer = Path(tempfile.mkdtemp(prefix="serve-layer-", dir=place))
    atexit.register(shutil.rmtree, layer, ignore_errors=True)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(layer)
    packages = next(layer.glob("lib/python*/site-packages"))
    below = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "below.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in below)
    )
    _run_pip(layer / "bin" / "python", requirements)
    before = list(sys.path)
    site.addsitedir(str(packages))
    added = [path for path in sys.path if path not in before]
    sys.path[:] = added + before


def are_satisfied(text: str) -> bool:
    """Whether every line is a plain name or `name==version` that is installed here.

    Anything that needs pip's own judgement (ranges, markers, URLs, options) counts as missing: pip
    then finds out, without a network where all is there.
    """
    return all(_is_installed(line.split(" #")[0].strip()) for line in text.splitlines())


def _is_installed(requirement: str) -> bool:
    if not requirement or requirement.startswith("#"):
        return True
    plain = _PLAIN.fullmatch(requirement)
    if plain is None:
        return False
    try:
        installed = importlib.metadata.version(plain[1])
    except importlib.metadata.PackageNotFoundError:
        return False
    return plain[2] is None or installed == plain[2]


def _run_pip(python: Path, requirements: Path) -> None:
    logger.info("installing %s", requirements)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--no-input", "--requirement", str(requirements)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    sys.stderr.write(done.stdout)
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
        raise ModelLoadError(
            f"the requirements of the model could not be installed; pip said:\n{last}",
            hint="correct code/requirements.txt, or build an image that holds them",
        )
