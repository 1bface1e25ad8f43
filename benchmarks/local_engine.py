"""An engine of the benchmark's own: a fresh home, a free port, no AWS_* left over."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intermodal import LocalSession

CLI = str(Path(sys.executable).with_name("intermodal"))


@contextlib.contextmanager
def own_home() -> Iterator[Path]:
    """A fresh home that every program started from here uses; removed at the end."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(
        prefix="intermodal-bench-", ignore_cleanup_errors=True
    ) as home:
        os.environ["INTERMODAL_HOME"] = home
        try:
            yield Path(home)
        finally:
            del os.environ["INTERMODAL_HOME"]


@contextlib.contextmanager
def running_engine(*arguments: str) -> Iterator["LocalSession"]:
    """An engine that runs, and a session that has already talked to it.

    Args:
        arguments: for `intermodal up`.
    """
    from intermodal import LocalSession

    with own_home():
        subprocess.run(
            [CLI, "up", "--detach", "--port", "0", *arguments], check=True, stdout=sys.stderr
        )
        try:
            session = LocalSession()
            session.default_bucket()
            yield session
        finally:
            subprocess.run([CLI, "down"], check=True, stdout=sys.stderr)


def engine_pid() -> int:
    """The process that answers."""
    output = subprocess.run([CLI, "status", "--json"], check=True, stdout=subprocess.PIPE).stdout
    return int(json.loads(output)["pid"])


def cpu_s(pid: int) -> float:
    """What a process has used of its cores by now, all threads and the kernel for them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int, *, peak: bool = False) -> float:
    """Memory of a process, now or at its highest since `forget_peak`."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has no memory of its own any more")


def forget_peak(pid: int) -> None:
    """Sets a process's highest memory to what it uses now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
