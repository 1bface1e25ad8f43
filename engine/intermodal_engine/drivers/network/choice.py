"""Which kind of network instances get here."""

import logging
import os
from pathlib import Path
from typing import Protocol

from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.drivers.isolation import Isolation
from intermodal_engine.drivers.network.place import Place
from intermodal_engine.drivers.network.private import PrivateNetworks, why_not_private
from intermodal_engine.drivers.network.shared import SharedNetworks

_PRIVATE = "private"

_log = logging.getLogger(__name__)


class Networks(Protocol):
    """Gives instances their places.

    Attributes:
        are_private: programs may bind what they like.
        gateway: address under which an instance reaches the engine.
    """

    are_private: bool
    gateway: str

    def join(self, spec: InstanceSpec) -> Place:
        """Gives an instance its place."""

    def prune(self) -> None:
        """Removes what no living instance uses."""

    def close(self) -> None:
        """Closes sockets; networks stay."""


def choose_networks(folder: Path, isolation: Isolation, engine_port: int | None) -> Networks:
    """Private networks where root and the kernel allow them whole, else the host's own.

    Args:
        folder: the driver's.
        isolation: what instances get besides.
        engine_port: port of the engine on 127.0.0.1; None: instances share the host's network.
    """
    shared = SharedNetworks(folder / "shared")
    if isolation is not Isolation.NAMESPACES or engine_port is None:
        return shared
    cause = why_not_private()
    if cause is None:
        try:
            return _rehearsed(PrivateNetworks(folder / _PRIVATE, engine_port))
        except OSError as error:
            cause = str(error)
    _log.info("instances share the host's network: %s", cause)
    return shared


def prune_networks(folder: Path) -> None:
    """Removes, without an engine, what instances left that ended while none ran.

    Args:
        folder: the driver's.

    Raises:
        OSError: the kernel refuses.
    """
    own = folder / _PRIVATE
    if os.geteuid() != 0 or not own.is_dir():
        return
    private = PrivateNetworks(own, engine_port=0)
    try:
        private.prune_now()
    finally:
        private.close()


def _rehearsed(private: PrivateNetworks) -> PrivateNetworks:
    try:
        private.rehearse()
    except OSError:
        private.close()
        raise
    return private
