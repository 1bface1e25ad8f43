"""What an engine left with the daemon that belongs to nothing any more."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.drivers.containers.machine import DaemonError
from intermodal_engine.drivers.containers.networks import Networks
from intermodal_engine.drivers.containers.options import (
    ENGINE_LABEL,
    FOLDER_LABEL,
    START_LABEL,
    engine_id,
)
from intermodal_engine.drivers.containers.records import ContainerFolder
from intermodal_engine.drivers.docker import Daemon, connect

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Orphans:
    """Things of an engine's, found before it starts anything.

    Attributes:
        containers: those whose end is recorded, or whose instance's folder knows nothing of them.
        volumes: all; those that a container still has stay.
        networks: all; those that a container still has stay.
    """

    containers: list[str]
    volumes: list[str]
    networks: list[str]

    def remove(self, daemon: Daemon, networks: Networks) -> None:
        """Removes what there is; what cannot be removed stays for the next time."""
        try:
            for container in self.containers:
                daemon.remove(container, force=True)
            for volume in self.volumes:
                daemon.remove_volume(volume)
            for network in self.networks:
                networks.remove_unused(network)
        except DaemonError as error:
            _log.warning("what earlier engines left with docker stays for now: %s", error)


def find_orphans(daemon: Daemon, engine: str) -> Orphans:
    """Looks for what an engine left.

    Raises:
        DaemonError: the daemon does not answer.
    """
    label = f"{ENGINE_LABEL}={engine}"
    containers = [one for one, labels in daemon.containers(label) if _is_orphan(labels)]
    return Orphans(containers, daemon.volumes(label), daemon.networks(label))


def prune(folder: Path) -> None:
    """Removes, while no engine runs, what is left of ended instances.

    Args:
        folder: the driver's.

    Raises:
        DriverUnavailableError: docker does not answer.
        DaemonError: it ceased to answer.
    """
    with contextlib.closing(connect()) as daemon:
        engine = engine_id(folder)
        find_orphans(daemon, engine).remove(daemon, Networks(daemon, engine))


def _is_orphan(labels: Mapping[str, str]) -> bool:
    folder = ContainerFolder(Path(labels.get(FOLDER_LABEL, "/")))
    record = folder.read_start()
    is_known = record is not None and record["start"] == labels.get(START_LABEL)
    return not is_known or folder.exit_status() is not None
