"""Addresses that networks get, and how long they keep them."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from intermodal_engine.drivers.network.place import hosts_file
from intermodal_engine.drivers.network.registry import (
    HostTakenError,
    Network,
    NetworkFullError,
    NetworkRegistry,
)
from intermodal_engine.drivers.records import InstanceFolder

POOL = IPv4Network("127.64.0.0/22")


class Living:
    """Instances whose supervisors live, as far as their locks say."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks: dict[Path, int] = {}

    def start(self, name: str) -> Path:
        folder = self._root / name
        folder.mkdir()
        lock = InstanceFolder(folder).lock_alive()
        assert lock is not None
        self._locks[folder] = lock
        return folder

    def end(self, folder: Path) -> None:
        os.close(self._locks.pop(folder))

    def end_all(self) -> None:
        for folder in list(self._locks):
            self.end(folder)


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Living]:
    living = Living(tmp_path)
    yield living
    living.end_all()


@pytest.fixture
def registry(tmp_path: Path) -> NetworkRegistry:
    return NetworkRegistry(tmp_path / "networks", POOL, first_host=1)


def join(registry: NetworkRegistry, name: str, hosts: tuple[str, ...], user: Path) -> Network:
    """The last of the hosts joins."""
    return registry.join(
        name, hosts, hosts[-1], user, is_free=lambda _: True, choose_port=lambda _: 20_001
    )


def test_hosts_of_one_network_agree_on_addresses_and_port(
    registry: NetworkRegistry, tmp_path: Path, living: Living
) -> None:
    hosts = ("algo-1", "algo-2")
    first = join(registry, "job", hosts, living.start("a"))
    after_restart = NetworkRegistry(tmp_path / "networks", POOL, first_host=1)
    second = after_restart.join(
        "job", hosts, "algo-1", living.start("b"), is_free=lambda _: True, choose_port=lambda _: 1
    )
    assert first == second
    assert len({*first.hosts.values()}) == 2
    assert second.port == 20_001


def test_two_live_networks_never_share_a_block(registry: NetworkRegistry, living: Living) -> None:
    seen = [join(registry, f"job-{n}", ("algo-1",), living.start(f"{n}")) for n in range(4)]
    assert {network.block for network in seen} == {0, 1, 2, 3}
    assert all(network.subnet.subnet_of(POOL) for network in seen)
    with pytest.raises(NetworkFullError):
        join(registry, "one-more", ("algo-1",), living.start("one-more"))


def test_what_no_living_instance_uses_is_handed_out_again(
    registry: NetworkRegistry, living: Living
) -> None:
    folder = living.start("a")
    first = join(registry, "job", ("algo-1",), folder)
    assert registry.blocks() == {first.block}
    living.end(folder)
    assert registry.blocks() == set()
    assert join(registry, "other", ("algo-1",), living.start("b")).block == first.block


def test_a_network_keeps_its_addresses_while_one_instance_lives(
    registry: NetworkRegistry, living: Living
) -> None:
    first_folder = living.start("a")
    first = join(registry, "endpoint", ("host-1",), first_folder)
    join(registry, "endpoint", ("host-1", "host-2"), living.start("b"))
    living.end(first_folder)
    third = join(registry, "endpoint", ("host-3",), living.start("c"))
    assert third.hosts["host-1"] == first.hosts["host-1"]
    assert len({*third.hosts.values()}) == 3


def test_a_subnet_that_the_machine_uses_is_left_alone(
    registry: NetworkRegistry, living: Living
) -> None:
    free = IPv4Network("127.64.2.0/24")
    network = registry.join(
        "job",
        ("algo-1",),
        "algo-1",
        living.start("a"),
        is_free=lambda subnet: subnet == free,
        choose_port=lambda _: 0,
    )
    assert network.subnet == free


def test_one_host_of_a_network_runs_once(registry: NetworkRegistry, living: Living) -> None:
    first = living.start("a")
    join(registry, "job", ("algo-1",), first)
    with pytest.raises(HostTakenError, match="`algo-1` runs already"):
        join(registry, "job", ("algo-1",), living.start("b"))
    living.end(first)
    assert join(registry, "job", ("algo-1",), living.start("c")).hosts.keys() == {"algo-1"}


def test_the_hosts_file_names_every_host() -> None:
    text = hosts_file({"algo-1": "127.70.0.1", "algo-2": "127.70.0.2"})
    assert text.splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "127.70.0.1 algo-1",
        "127.70.0.2 algo-2",
    ]


def test_a_record_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    registry = NetworkRegistry(tmp_path, POOL, 1)
    (tmp_path / "0123456789abcdef.json").write_text("")
    assert registry.blocks() == set()
    assert list(tmp_path.glob("*.json")) == []
