"""The daemon's networks: made for the first instance of a group, removed after its last."""

import threading
from collections import defaultdict

from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.drivers.containers.machine import DaemonError
from intermodal_engine.drivers.containers.options import network_config, network_name
from intermodal_engine.drivers.docker import Daemon

_LOCKS = 32
"""So that making one network seldom waits for the removal of another, which takes longer."""


class Networks:
    """The networks of one engine's instances.

    Args:
        daemon: makes them.
        engine: the label of what belongs to this engine.
    """

    def __init__(self, daemon: Daemon, engine: str) -> None:
        self._daemon = daemon
        self._engine = engine
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def join(self, spec: InstanceSpec, start: str) -> None:
        """Makes the network of a spec for a start, unless it is there.

        Raises:
            DaemonError: it cannot be made; the message says what would help.
        """
        name = network_name(self._engine, spec.network)
        with self._lock_of(name):
            self._users[name].add(start)
            try:
                self._daemon.ensure_network(
                    name, network_config(spec, self._engine, self._daemon.machine)
                )
            except DaemonError as error:
                self._users[name].discard(start)
                raise DaemonError(_explain(str(error))) from error

    def keep(self, network: str, start: str) -> None:
        """Knows that a start of an earlier engine uses a network."""
        name = network_name(self._engine, network)
        with self._lock_of(name):
            self._users[name].add(start)

    def leave(self, network: str, start: str) -> None:
        """Removes a network with its last user."""
        name = network_name(self._engine, network)
        with self._lock_of(name):
            self._users[name].discard(start)
        self.remove_unused(name)

    def remove_unused(self, name: str) -> None:
        """Removes a network that no start uses, by the daemon's name."""
        with self._lock_of(name):
            if not self._users.get(name):
                self._users.pop(name, None)
                self._daemon.remove_network(name)

    def _lock_of(self, name: str) -> threading.Lock:
        return self._locks[hash(name) % _LOCKS]


def _explain(cause: str) -> str:
    if "address pool" not in cause and "subnet" not in cause:
        return cause
    return (
        "docker has no addresses left for another network, of which each job and each serving "
        f"instance needs one ({cause})\n"
        "hint: `docker network prune` removes those that nobody uses; `default-address-pools` in "
        "docker's daemon.json gives it more"
    )
