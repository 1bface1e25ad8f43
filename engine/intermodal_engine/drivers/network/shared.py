"""Instances on the host's own network: each has a loopback address, and free ports are handed out.

It works everywhere. Programs must honour the addresses and ports that they are told; ours do.
"""

import random
import socket
from ipaddress import IPv4Network
from pathlib import Path

from intermodal_contract import env
from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.drivers.network.place import Place
from intermodal_engine.drivers.network.registry import NetworkFullError, NetworkRegistry

_POOL = IPv4Network("127.64.0.0/10")
_PORTS = range(20_000, 32_000)
"""Below the range from which the kernel takes ports for outgoing connections."""
_ATTEMPTS = 200


class SharedNetworks:
    """Hands out loopback addresses and ports.

    Args:
        folder: where it is written down.
    """

    are_private = False
    gateway = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self._registry = NetworkRegistry(folder, _POOL, first_host=1)

    def join(self, spec: InstanceSpec) -> Place:
        """Gives an instance its place. Its folder must hold its lock.

        Raises:
            NetworkError: no address or port is left, or the host is taken.
        """
        network = self._registry.join(
            spec.network,
            spec.hosts,
            spec.host,
            spec.folder,
            is_free=lambda _: True,
            choose_port=free_port,
        )
        address = network.hosts[spec.host]
        addresses = {port: (address, free_port(address)) for port in spec.ports}
        variables = {env.MASTER_PORT: str(network.port)}
        if addresses:
            host, port = next(iter(addresses.values()))
            variables |= {env.BIND_TO_HOST: host, env.BIND_TO_PORT: str(port)}
        return Place(network.hosts, addresses, variables)

    def prune(self) -> None:
        """There is nothing to remove: records of dead networks go when the next one comes."""

    def close(self) -> None:
        """There is nothing to close."""


def free_port(address: str) -> int:
    """A port that nothing listens on at this address.

    Raises:
        NetworkFullError: none was found.
    """
    for port in random.sample(_PORTS, k=_ATTEMPTS):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise NetworkFullError(f"no port is free on {address}")
