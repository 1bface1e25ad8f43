"""Where `code/requirements.txt` of a model is installed: a layer of this container's own.

The layer is a virtual environment without packages of its own that sees those of the running
interpreter, so that pip adds what is missing there and never touches the environment below, which
other instances may share.
"""

import fcntl
import importlib.metadata
import logging
import re
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

from intermodal_serving.errors import ModelLoadError

logger = logging.getLogger("serve")

_PLAIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==\s*([A-Za-z0-9.!+_-]+))?")
_LAST_LINES = 20


def install_requirements(code_folder: Path, layer: Path) -> None:
    """Install what `requirements.txt` names and this environment lacks, and make it importable.

    Args:
        code_folder: where `requirements.txt` is, if there is one.
        layer: the folder to install into; made by whichever worker comes first, used by all.

    Raises:
        ModelLoadError: pip failed; the message ends with its last lines.
    """
    requirements = code_folder / "requirements.txt"
    if not requirements.is_file() or are_satisfied(requirements.read_text(errors="replace")):
        return
    with layer.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layer.is_dir():
            _install(requirements, layer)
    before = list(sys.path)
    site.addsitedir(str(_packages(layer)))
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


def _install(requirements: Path, layer: Path) -> None:
    unfinished = layer.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(unfinished)
    below = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (_packages(unfinished) / "below.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in below)
    )
    _run_pip(unfinished / "bin" / "python", requirements)
    unfinished.rename(layer)


def _packages(layer: Path) -> Path:
    return next(layer.glob("lib/python*/site-packages"))


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
