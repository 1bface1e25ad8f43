"""Who has which address: on disk, one file a network, so that it holds across engine restarts.

A network keeps its block of addresses as long as one instance that joined it lives (as its folder's
lock says); then the block goes to whoever comes next.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypedDict

from intermodal_engine.drivers.records import InstanceFolder

_BLOCK_LENGTH = 24


class NetworkError(Exception):
    """An instance cannot be given a place on its network."""


class NetworkFullError(NetworkError):
    """More hosts or networks than there are addresses."""


class HostTakenError(NetworkError):
    """Another instance that lives has this host name on the network."""


class _Record(TypedDict):
    name: str
    block: int
    hosts: list[str]
    port: int
    users: dict[str, str]


@dataclass(frozen=True, slots=True)
class Network:
    """A network's place.

    Attributes:
        block: its number; no two live networks have the same.
        subnet: its addresses.
        hosts: host name to address.
        port: chosen when the network was made, for the group's rendezvous.
    """

    block: int
    subnet: IPv4Network
    hosts: dict[str, str]
    port: int


class NetworkRegistry:
    """Hands out blocks of one pool, and in them addresses.

    Args:
        folder: where the records are.
        pool: the addresses; each network gets a /24 of it.
        first_host: number of the first host in its block.
    """

    def __init__(self, folder: Path, pool: IPv4Network, first_host: int) -> None:
        self._folder = folder
        self._pool = pool
        self._first_host = first_host

    def join(
        self,
        name: str,
        hosts: Sequence[str],
        host: str,
        user: Path,
        *,
        is_free: Callable[[IPv4Network], bool],
        choose_port: Callable[[str], int],
    ) -> Network:
        """The network's place, chosen at the first call and the same ever after.

        Args:
            name: the network's.
            hosts: host names of the group; further ones may come later.
            host: which of them joins.
            user: folder of the instance that joins; it must hold its lock already.
            is_free: whether the machine leaves a subnet to us.
            choose_port: a port for the address of the first host.

        Raises:
            NetworkFullError: no address is left.
            HostTakenError: a living instance is that host already.
        """
        with self._locked():
            records = self._forget_dead()
            record = records.get(name)
            if record is None:
                block = self._free_block({r["block"] for r in records.values()}, is_free)
                port = choose_port(str(self._subnet(block)[self._first_host]))
                record = _Record(name=name, block=block, hosts=[], port=port, users={})
            record["hosts"] += [host for host in hosts if host not in record["hosts"]]
            if any(taken == host and at != str(user) for at, taken in record["users"].items()):
                raise HostTakenError(f"`{host}` runs already on the network `{name}`")
            record["users"][str(user)] = host
            network = self._network(record)
            self._write(self._file(name), record)
        return network

    def blocks(self) -> set[int]:
        """Blocks of the networks that live; forgets the others."""
        with self._locked():
            return {record["block"] for record in self._forget_dead().values()}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, file: Path, record: _Record) -> None:
        """Whole or not at all: a kill may come at any moment."""
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps(record))
        beside.replace(file)

    def _forget_dead(self) -> dict[str, _Record]:
        live: dict[str, _Record] = {}
        for file in self._folder.glob("*.json"):
            try:
                record: _Record = json.loads(file.read_bytes())
            except ValueError:  # cut off by a full disk, of an engine before this one
                file.unlink()
                continue
            users = {
                user: host
                for user, host in record["users"].items()
                if InstanceFolder(Path(user)).is_alive()
            }
            if users:
                live[record["name"]] = {**record, "users": users}
            else:
                file.unlink()
        return live

    def _free_block(self, taken: set[int], is_free: Callable[[IPv4Network], bool]) -> int:
        """The search starts elsewhere for each folder, so that two engines rarely meet."""
        count = 1 << (_BLOCK_LENGTH - self._pool.prefixlen)
        start = int.from_bytes(hashlib.sha256(str(self._folder).encode()).digest()[:4])
        for offset in range(count):
            block = (start + offset) % count
            if block not in taken and is_free(self._subnet(block)):
                return block
        raise NetworkFullError(f"no addresses are left in {self._pool}")

    def _network(self, record: _Record) -> Network:
        subnet = self._subnet(record["block"])
        last = subnet.num_addresses - 2
        if self._first_host + len(record["hosts"]) - 1 > last:
            raise NetworkFullError(f"the network `{record['name']}` has too many hosts")
        hosts = {
            host: str(subnet[number])
            for number, host in enumerate(record["hosts"], self._first_host)
        }
        return Network(record["block"], subnet, hosts, record["port"])

    def _subnet(self, block: int) -> IPv4Network:
        base = int(self._pool.network_address) + (block << (32 - _BLOCK_LENGTH))
        return IPv4Network((IPv4Address(base), _BLOCK_LENGTH))

    def _file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
