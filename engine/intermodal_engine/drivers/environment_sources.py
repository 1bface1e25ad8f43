"""Where packages come from: pip's configuration in uv's words, and our own programs.

uv reads neither pip's variables nor pip.conf; a person who has told pip where wheels lie has told
us. uv's own variables win where they say the same thing.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

PARTS = ("contract", "training", "serving")
"""What every environment holds of ours: the programs `train` and `serve`."""

_UV_OF_PIP: Mapping[str, tuple[tuple[str, ...], str]] = {
    "index-url": (("UV_DEFAULT_INDEX", "UV_INDEX_URL"), " "),
    "extra-index-url": (("UV_INDEX", "UV_EXTRA_INDEX_URL"), " "),
    "find-links": (("UV_FIND_LINKS",), ","),
    "cert": (("SSL_CERT_FILE",), " "),
    "trusted-host": (("UV_INSECURE_HOST",), " "),
    "constraint": (("UV_CONSTRAINT",), " "),
    "default-timeout": (("UV_HTTP_TIMEOUT",), " "),
    "timeout": (("UV_HTTP_TIMEOUT",), " "),
}
"""pip's option to the variables of uv that say the same (the first is set), and what joins them."""
_MISLEADING = frozenset(
    {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_TARGET", "UV_PREFIX"}
)
"""Variables that would send packages elsewhere than into the environment that is made."""


def uv_variables(engine: Mapping[str, str], pip: Mapping[str, str]) -> dict[str, str]:
    """The variables for uv: the engine's own, and what pip is told.

    Args:
        engine: the engine's environment.
        pip: pip's options by name, from `pip_options`.
    """
    variables = {name: value for name, value in engine.items() if name not in _MISLEADING}
    told: dict[str, str] = {}
    for option, (names, joint) in _UV_OF_PIP.items():
        if option in pip and not any(name in engine for name in names):
            told[names[0]] = joint.join(pip[option].split())
    if told:
        # pip takes the best of all places, uv the first that has the name at all.
        variables.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    variables |= told
    if "UV_FIND_LINKS" in variables:
        places = map(_absolute, variables["UV_FIND_LINKS"].split(","))
        variables["UV_FIND_LINKS"] = ",".join(places)
    return variables


def uv_options(engine: Mapping[str, str], pip: Mapping[str, str]) -> tuple[str, ...]:
    """Options for `uv pip install` that say what no variable of uv's can say."""
    is_told = pip.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    has_index = any(name in engine for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"))
    return ("--no-index",) if is_told and not has_index else ()


def pip_options(engine: Mapping[str, str]) -> dict[str, str]:
    """Options of pip from its files and variables, as `pip config list` tells them.

    Without pip beside the engine only its variables count.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=dict(engine),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    options: dict[str, str] = {}
    for section in ("global.", "install."):
        for line in done.stdout.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.startswith(section):
                options[name.removeprefix(section)] = str(ast.literal_eval(value))
    for name, value in engine.items():
        option = name.removeprefix("PIP_").lower().replace("_", "-")
        if name.startswith("PIP_") and value:
            options[option] = value
    return options


def own_packages() -> tuple[str, ...]:
    """Arguments for `uv pip install` that bring our programs, of the engine's own version.

    From the source checkout that the engine runs from, where there is one, so that an edit counts
    at once; from the folder of its wheel, where it was installed from a file; else by name.
    """
    engine = metadata.distribution("intermodal-engine")
    by_name = tuple(f"intermodal-{part}=={engine.version}" for part in PARTS)
    origin = json.loads(engine.read_text("direct_url.json") or "{}")
    address = urlsplit(origin.get("url", ""))
    if address.scheme != "file":
        return by_name
    place = Path(unquote(address.path))
    if "archive_info" in origin:
        return ("--find-links", str(place.parent), *by_name)
    sources = [place.parent / part for part in PARTS]
    if not all((source / "pyproject.toml").exists() for source in sources):
        return by_name
    return tuple(word for source in sources for word in ("--editable", str(source)))


def uv_program() -> str | None:
    """The program uv beside the engine, else on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


def _absolute(place: str) -> str:
    """A folder however uv is started; an address as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())
