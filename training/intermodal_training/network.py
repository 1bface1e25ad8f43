"""Which network interface leads to the job's other hosts.

resourceconfig.json names one, which is right on AWS; where it is not there (a laptop, an instance
that is cut off, instances on loopback addresses), the routing table says which one is.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from intermodal_contract.training_files import ResourceConfig

LOOPBACK = "lo"
_ROUTES = Path("/proc/net/route")
_LOOPBACK_PREFIX = "127."


def with_interface(
    resources: ResourceConfig,
    *,
    resolve: Callable[[str], str] | None = None,
    routes: Path = _ROUTES,
) -> ResourceConfig:
    """The same, with an interface that exists and leads to the other hosts.

    Args:
        resources: as the service wrote it; the hosts' names resolve.
        resolve: name to IPv4 address, raises OSError; by default, the system does.
        routes: the kernel's routing table; where there is none (not Linux) nothing changes.
    """
    try:
        table = routes.read_text()
    except OSError:
        return resources
    chosen = _choose(resources, _addresses(resources.hosts, resolve), _networks(table))
    return replace(resources, network_interface_name=chosen)


def _choose(
    resources: ResourceConfig,
    addresses: Mapping[str, str],
    networks: Sequence[tuple[str, int, int]],
) -> str:
    named = resources.network_interface_name
    if addresses and all(one.startswith(_LOOPBACK_PREFIX) for one in addresses.values()):
        return LOOPBACK
    if any(interface == named for interface, _, _ in networks):
        return named
    own = addresses.get(resources.current_host)
    if own is not None and not own.startswith(_LOOPBACK_PREFIX):
        number = _number(own)
        for interface, destination, mask in sorted(networks, key=lambda n: n[2], reverse=True):
            if number & mask == destination:
                return interface
    return LOOPBACK


def _addresses(hosts: Sequence[str], resolve: Callable[[str], str] | None) -> Mapping[str, str]:
    """Address of each host; none for a job of one host, whose name nobody needs."""
    if len(hosts) < 2:
        return {}
    if resolve is None:
        import socket

        resolve = socket.gethostbyname
    found = {}
    for host in hosts:
        with contextlib.suppress(OSError, UnicodeError):
            found[host] = resolve(host)
    return found


def _networks(table: str) -> list[tuple[str, int, int]]:
    """Interface, destination and mask of each route (man 5 proc: numbers in the host's order)."""
    found = []
    for line in table.splitlines()[1:]:
        interface, destination, *rest = line.split()
        found.append((interface, _from_hex(destination), _from_hex(rest[5])))
    return found


def _from_hex(text: str) -> int:
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")


def _number(address: str) -> int:
    first, second, third, fourth = map(int, address.split("."))
    return first << 24 | second << 16 | third << 8 | fourth
