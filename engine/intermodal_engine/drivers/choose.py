"""Which driver a setting names."""

from collections.abc import Callable
from pathlib import Path

from intermodal_engine.drivers.base import Driver
from intermodal_engine.drivers.environment import Environments
from intermodal_engine.drivers.fake import FakeDriver
from intermodal_engine.drivers.isolation import Isolation
from intermodal_engine.drivers.process import ProcessDriver

NAMES = ("auto", "process", "docker", "fake")


class DriverUnavailableError(Exception):
    """The named driver cannot be had here; the message says what to do."""


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
        name: one of `NAMES`; `auto` takes the best that this machine has.
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
    if name in ("auto", "process"):
        resolve = environments.resolve if environments else None
        return ProcessDriver(folder, isolation, engine_port, resolve)
    if name == "fake":
        return FakeDriver(now, turns_by_itself=True)
    if name == "docker":
        raise DriverUnavailableError(
            "this version of the engine has no docker driver\n"
            "hint: start it with `--driver process`"
        )
    known = ", ".join(f"`{known}`" for known in NAMES)
    raise DriverUnavailableError(f"there is no driver `{name}`\nhint: take one of {known}")
