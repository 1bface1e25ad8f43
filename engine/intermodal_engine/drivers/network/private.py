"""Instances with a network namespace each: a bridge a network, a cable an instance, a way out.

An isolated network has no way out: its instances reach each other, and only the host calls them.

Programs bind what they like, on all addresses; nothing of it is visible from outside the machine.
The kernel takes an instance's end away with its last process; bridges are ours to remove.
"""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from intermodal_engine.drivers.base import InstanceSpec
from intermodal_engine.drivers.network.firewall import (
    ISOLATED,
    LINK_PREFIX,
    Firewall,
    is_foreign_firewall_in_the_way,
)
from intermodal_engine.drivers.network.links import (
    Links,
    NetworkNamespace,
    has_only_ipv6_way_out,
    links,
    way_out_mtu,
)
from intermodal_engine.drivers.network.place import Place
from intermodal_engine.drivers.network.registry import Network, NetworkRegistry

GATEWAY = IPv4Address("198.19.255.254")
"""Under which an instance reaches the engine; the same in every network, and no host's."""
_POOL = IPv4Network("198.18.0.0/15")
"""Set aside for tests of networks between two hosts (RFC 2544): no real host is there."""
_EVERYWHERE = "0.0.0.0/0"
_INTERFACE = "eth0"
_FIRST_HOST = 2
_REHEARSAL_BLOCK = 0xFFF
RESOLV_CONF = Path("/etc/resolv.conf")
_RESOLVERS = (RESOLV_CONF, Path("/run/systemd/resolve/resolv.conf"))


class PrivateNetworks:
    """Makes and removes them.

    Removing an interface takes the kernel tens of milliseconds; a thread of its own does that.

    Args:
        folder: where it is written down which network has which addresses.
        engine_port: port of the engine on 127.0.0.1.

    Attributes:
        link_prefix: the names of this engine's interfaces begin so.
    """

    are_private = True
    gateway = str(GATEWAY)

    def __init__(self, folder: Path, engine_port: int) -> None:
        engine_id = hashlib.sha256(str(folder).encode()).hexdigest()[:6]
        self.link_prefix = LINK_PREFIX + engine_id
        self._registry = NetworkRegistry(folder, _POOL, _FIRST_HOST)
        self._firewall = Firewall(engine_id, _POOL, GATEWAY, engine_port)
        self._links = Links()
        self._lock = threading.Lock()
        self._pruner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prune-networks")

    def join(self, spec: InstanceSpec) -> Place:
        """Makes the instance's network namespace. Its folder must hold its lock.

        Raises:
            NetworkError: no address is left, or the host is taken.
            OSError: the kernel refuses.
        """
        with self._lock:
            occupied = self._links.networks()
            network = self._registry.join(
                spec.network,
                spec.hosts,
                spec.host,
                spec.folder,
                is_free=lambda subnet: _is_free(subnet, occupied),
                choose_port=lambda _: 0,
            )
            address = network.hosts[spec.host]
            has_peers = len(spec.hosts) > 1
            namespace_fd = self._connect(
                network, address, with_bridge=has_peers, outbound=spec.outbound
            )
            self._firewall.open()
        addresses = {port: (address, port) for port in spec.ports}
        return Place(network.hosts, addresses, {}, namespace_fd)

    def prune(self) -> None:
        """Begins to remove what no living instance uses."""
        self._pruner.submit(self.prune_now)

    def prune_now(self) -> None:
        """Removes what no living instance uses; harmless beside an engine of the same folder.

        Looks at interfaces first: one that comes later belongs to a network that lives.

        Raises:
            OSError: the kernel refuses.
        """
        found = links(self.link_prefix)
        blocks = self._registry.blocks()
        remover = Links()
        for index, name in found.items():
            if _block_of(name) not in blocks:
                remover.remove(index)
        remover.close()
        if not blocks:
            self._firewall.close()

    def rehearse(self) -> None:
        """Makes a network, then begins to remove it and what an earlier run left.

        Raises:
            OSError: the kernel refuses.
        """
        subnet = IPv4Network((GATEWAY, 24), strict=False)
        address = str(subnet[_FIRST_HOST])
        network = Network(_REHEARSAL_BLOCK, subnet, {"rehearsal": address}, 0)
        try:
            with self._lock:
                os.close(self._connect(network, address, with_bridge=True, outbound=True))
                self._firewall.open()
        finally:
            self.prune()

    def close(self) -> None:
        """Waits for what is being removed; networks in use stay."""
        self._pruner.shutdown()
        self._links.close()

    def _connect(self, network: Network, address: str, *, with_bridge: bool, outbound: bool) -> int:
        """Makes a namespace with a cable to it; the only host of a network needs no bridge."""
        number = IPv4Address(address).packed[3]
        of_cable, of_bridge = ("c", "b") if outbound else (ISOLATED, ISOLATED)
        cable = f"{self.link_prefix}{of_cable}{network.block:03x}{number:02x}"
        bridge = f"{self.link_prefix}{of_bridge}{network.block:03x}" if with_bridge else None
        gateway = str(network.subnet[1])
        length = network.subnet.prefixlen
        for index in links(cable):
            self._links.remove(index)
        namespace = NetworkNamespace()
        try:
            if bridge is not None:
                self._links.add_bridge(bridge, f"{gateway}/{length}")
            self._links.add_cable(cable, _INTERFACE, namespace.fd, way_out_mtu(), bridge=bridge)
            if bridge is None:
                self._links.add_address(cable, f"{gateway}/{length}")
            if outbound:
                # Lets packets for GATEWAY be led to the engine on loopback; the firewall drops
                # whatever an instance itself sends to loopback addresses.
                _set(bridge or cable, "ipv4", "route_localnet")
            else:
                # The firewall knows IPv4 only: the host has no other address on this link.
                for link in filter(None, (bridge, cable)):
                    _set(link, "ipv6", "disable_ipv6")
            routes = [_EVERYWHERE] if outbound else []
            namespace.set_up(_INTERFACE, f"{address}/{length}", gateway, routes)
        except OSError:
            namespace.close()
            raise
        return namespace.take()


def _is_free(subnet: IPv4Network, occupied: list[IPv4Network]) -> bool:
    return GATEWAY not in subnet and not any(subnet.overlaps(other) for other in occupied)


def _set(link: str, protocol: str, switch: str) -> None:
    """Switches something on for a link of the host; a kernel without the protocol needs nothing."""
    folder = Path(f"/proc/sys/net/{protocol}/conf/{link}")
    if folder.exists():
        (folder / switch).write_text("1")


def _block_of(link: str) -> int:
    """The number in the name of a bridge or a cable of ours."""
    return int(link[len(LINK_PREFIX) + 7 :][:3], 16)


def why_not_private() -> str | None:
    """Why this machine cannot give instances networks of their own; None if it can."""
    if resolver() is None:
        return "its only name servers are on loopback"
    if has_only_ipv6_way_out():
        return "its only way out is by IPv6"
    try:
        if is_foreign_firewall_in_the_way():
            return "another firewall filters its traffic"
    except OSError as error:
        return f"nf_tables cannot be asked: {error}"
    return None


def resolver() -> Path | None:
    """A resolv.conf whose name servers are reached from elsewhere than the host's own loopback."""
    for path in _RESOLVERS:
        if path.exists():
            words = [line.split() for line in path.read_text().splitlines()]
            servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
            if servers and not any(s.startswith("127.") or s == "::1" for s in servers):
                return path
    return None
