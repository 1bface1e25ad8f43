"""Which driver a setting names."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from intermodal_engine.drivers.base import Driver
from intermodal_engine.drivers.containers.machine import DaemonError
from intermodal_engine.drivers.environment import Environments
from intermodal_engine.drivers.fake import FakeDriver
from intermodal_engine.drivers.isolation import Isolation
from intermodal_engine.drivers.process import ProcessDriver
from intermodal_engine.drivers.unavailable import DriverUnavailableError

_DOCKER_MARK = "docker"
"""Says, in the driver's folder, that there may be containers to look for."""

NAMES = ("auto", "process", "docker", "fake")


def make_driver(
    name: str,
    folder: Path,
    *,
    now: Callable[[], float],
    isolation: Isolation | None = None,
    engine_port: int | None = None,
    environments: Environments | None = None,
) -> Driver:
    """Makes the driver of that name.

    Args:
        name: one of `NAMES`; `auto` takes processes on Linux, and docker elsewhere.
        folder: a folder for the driver's own records; the same for every start of an engine.
        now: the engine's clock; only the fake driver lives by it.
        isolation: for the process driver; None finds out what the kernel allows.
        engine_port: the engine's port on 127.0.0.1. With it, instances of the process driver get
            networks of their own where the machine allows it, and reach the engine at
            `gateway_host`, which the engine must then let in.
        environments: what stands in for images with the process driver; None: what it makes in its
            own folder.

    Raises:
        DriverUnavailableError: there is no such driver, or not here.
    """
    if name == "auto":
        name = "process" if sys.platform == "linux" else "docker"
    if name == "process":
        resolve = environments.resolve if environments else None
        return ProcessDriver(folder, isolation, engine_port, resolve)
    if name == "fake":
        return FakeDriver(now, turns_by_itself=True)
    if name == "docker":
        return _docker_driver(folder)
    known = ", ".join(f"`{known}`" for known in NAMES)
    raise DriverUnavailableError(f"there is no driver `{name}`\nhint: take one of {known}")


def prune_containers(folder: Path) -> None:
    """Removes, while no engine runs, what ended instances left with docker.

    Args:
        folder: the driver's own folder.

    Raises:
        DriverUnavailableError: docker was used here, and cannot be now.
    """
    if not (folder / _DOCKER_MARK).exists():
        return
    with _docker_at_work():
        from intermodal_engine.drivers.containers import orphans

        orphans.prune(folder)


def _docker_driver(folder: Path) -> Driver:
    with _docker_at_work():
        from intermodal_engine.drivers import docker
        from intermodal_engine.drivers.containers.driver import DockerDriver

        folder.mkdir(parents=True, exist_ok=True)
        (folder / _DOCKER_MARK).touch()
        with contextlib.ExitStack() as stack:
            daemon = stack.enter_context(contextlib.closing(docker.connect()))
            driver = DockerDriver(folder, daemon)
            stack.pop_all()
        return driver


@contextlib.contextmanager
def _docker_at_work() -> Iterator[None]:
    """Docker's SDK takes 100 ms to import, which only those pay who use it."""
    try:
        yield
    except ImportError as error:
        raise DriverUnavailableError(
            f"docker's SDK for Python cannot be imported: {error}\nhint: `pip install docker`"
        ) from error
    except DaemonError as error:
        raise DriverUnavailableError(
            f"docker cannot be used: {error}\n"
            "hint: see whether `docker info` answers, or start the engine with `--driver process`"
        ) from error
