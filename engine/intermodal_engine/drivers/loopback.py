"""Addresses and ports for instances that share the host's network.

Each host of a network gets an address of its own in 127.64.0.0/10, so that names resolve to
different places and two jobs never meet. What is handed out is on disk, one file a network, and is
taken back once no instance that uses it lives; so it holds across restarts of the engine.
"""

import fcntl
import hashlib
import json
import os
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from intermodal_engine.drivers.records import InstanceFolder

_BLOCKS = 64 * 256
_HOSTS_PER_BLOCK = 254
_PORTS = range(20_000, 32_000)
"""Below the range from which the kernel takes ports for outgoing connections."""


class NetworkFullError(Exception):
    """More hosts or networks than there are addresses."""


class _Record(TypedDict):
    name: str
    block: int
    hosts: list[str]
    master_port: int
    users: list[str]


@dataclass(frozen=True, slots=True)
class Network:
    """Where the hosts of a network are.

    Attributes:
        addresses: host name to address.
        master_port: a port that is free on the first host's address, for the group's rendezvous.
    """

    addresses: dict[str, str]
    master_port: int


class LoopbackNetworks:
    """Hands out addresses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def join(self, name: str, hosts: Sequence[str], instance_folder: Path) -> Network:
        """The network's addresses, handed out at the first call and the same ever after.

        The instance counts as a user as long as its supervisor lives.

        Raises:
            NetworkFullError: no address is left.
        """
        with self._locked():
            records = self._live_records()
            record = records.get(name) or self._new_record(name, hosts, records)
            record["hosts"] += [host for host in hosts if host not in record["hosts"]]
            if len(record["hosts"]) > _HOSTS_PER_BLOCK:
                raise NetworkFullError(f"network `{name}` has more than {_HOSTS_PER_BLOCK} hosts")
            if str(instance_folder) not in record["users"]:
                record["users"].append(str(instance_folder))
            self._file(name).write_text(json.dumps(record))
        addresses = {
            host: _address(record["block"], number)
            for number, host in enumerate(record["hosts"], 1)
        }
        return Network(addresses, record["master_port"])

    def _new_record(self, name: str, hosts: Sequence[str], taken: dict[str, _Record]) -> _Record:
        """A block that nobody has; the search starts elsewhere in each driver's folder."""
        start = int.from_bytes(hashlib.sha256(str(self._folder).encode()).digest()[:4])
        used = {record["block"] for record in taken.values()}
        for offset in range(_BLOCKS):
            block = (start + offset) % _BLOCKS
            if block not in used:
                port = free_port(_address(block, 1))
                return _Record(name=name, block=block, hosts=[*hosts], master_port=port, users=[])
        raise NetworkFullError("every network address is in use")

    def _live_records(self) -> dict[str, _Record]:
        """What is handed out; forgets networks whose instances have all ended."""
        live: dict[str, _Record] = {}
        for file in self._folder.glob("*.json"):
            record: _Record = json.loads(file.read_bytes())
            users = [user for user in record["users"] if InstanceFolder(Path(user)).is_alive()]
            if users:
                live[record["name"]] = {**record, "users": users}
            else:
                file.unlink()
        return live

    def _file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def free_port(address: str) -> int:
    """A port that nothing listens on at this address."""
    for port in random.sample(_PORTS, k=200):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise NetworkFullError(f"no port is free on {address}")


def hosts_file(host: str, addresses: dict[str, str]) -> str:
    """Content of /etc/hosts of the instance `host`."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{address} {name}" for name, address in addresses.items()]
    if host not in addresses:
        lines.append(f"127.0.1.1 {host}")
    return os.linesep.join(lines) + os.linesep


def _address(block: int, number: int) -> str:
    return f"127.{64 + block // 256}.{block % 256}.{number}"
