"""Programs of the system that a measurement needs, found or unpacked from Debian's packages.

What is missing is not installed into the system: the packages are unpacked below `.bench-peers/`,
so that no daemon is started and nothing is left elsewhere.
"""

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.figures import NotMeasuredError

CACHE = Path(__file__).parent.parent.parent / ".bench-peers"

_UNPACKED = CACHE / "debian"
_PACKAGES = {"wrk": ("wrk", "libluajit-5.1-2"), "nginx": ("nginx",)}
_SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin"


def program(name: str) -> str:
    """The path of a program.

    Raises:
        NotMeasuredError: it is missing, and cannot be had from Debian either.
    """
    found = _find(name)
    if found is None:
        _unpack(name)
        found = _find(name)
    if found is None:
        raise NotMeasuredError(f"there is no `{name}`; hint: apt-get install {name}")
    return found


def library_path() -> str:
    """For LD_LIBRARY_PATH: where the libraries of what was unpacked lie."""
    return ":".join(str(folder) for folder in sorted(_UNPACKED.glob("usr/lib/*-linux-gnu*")))


def _find(name: str) -> str | None:
    folders = [os.environ.get("PATH", ""), _SYSTEM_FOLDERS]
    folders += [str(_UNPACKED / "usr" / folder) for folder in ("bin", "sbin")]
    return shutil.which(name, path=":".join(folders))


def _unpack(name: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return
    _UNPACKED.mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "download", "-qq", *_PACKAGES[name]]
    if not _succeeds(download):
        _succeeds(["apt-get", "update", "-qq"])
        _succeeds(download)
    for package in _UNPACKED.glob("*.deb"):
        _succeeds(["dpkg-deb", "--extract", str(package), "."])
        package.unlink()


def _succeeds(command: list[str]) -> bool:
    quiet = subprocess.run(
        command, cwd=_UNPACKED, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return quiet.returncode == 0
