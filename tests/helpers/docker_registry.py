"""A real registry of images on loopback: Debian's docker-registry, on a port of its own."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = "docker-registry"
USER, PASSWORD = "somebody", "secret"
_HTPASSWD = f"{USER}:$2b$04$K6NUYYjVOch52ndDNSaMXeRuxR9t9ACO9Mp2U8PXrahlf6xdV8U2C\n"
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@contextmanager
def docker_registry(folder: Path, *, wants_login: bool = False) -> Iterator[str]:
    """A registry that runs, as HOST:PORT; skips the test where the program is not installed.

    Args:
        folder: what it keeps.
        wants_login: of `USER` with `PASSWORD`.
    """
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"no {PROGRAM}: pushing is UNTESTED (apt-get install {PROGRAM})")
    with subprocess.Popen(
        [PROGRAM, "serve", _configuration(folder, wants_login)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            yield _address(process.stderr)
        finally:
            process.kill()


def _configuration(folder: Path, wants_login: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if wants_login:
        passwords = folder / "htpasswd"
        passwords.write_text(_HTPASSWD)
        document["auth"] = {"htpasswd": {"realm": "test", "path": str(passwords)}}
    path = folder / "registry.yml"
    path.write_text(json.dumps(document))  # YAML takes JSON
    return path


def _address(log: Any) -> str:
    """What the registry's log says it listens on; the rest of the log is read away."""
    lines = []
    for line in log:
        lines.append(line)
        found = _LISTENING.search(line)
        if found is not None:
            threading.Thread(target=log.read, daemon=True).start()
            return found[1]
    raise AssertionError(f"{PROGRAM} ended at once: {''.join(lines)}")
