"""Addresses that instances on the host's network get."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_engine.drivers.loopback import LoopbackNetworks, hosts_file
from intermodal_engine.drivers.records import InstanceFolder


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


def test_hosts_of_one_network_agree_on_addresses(tmp_path: Path, living: Living) -> None:
    networks = LoopbackNetworks(tmp_path / "networks")
    hosts = ("algo-1", "algo-2")
    first = networks.join("job", hosts, living.start("a"))
    second = LoopbackNetworks(tmp_path / "networks").join("job", hosts, living.start("b"))
    assert first == second
    assert len({*first.addresses.values()}) == 2
    assert all(address.startswith("127.") for address in first.addresses.values())


def test_two_networks_never_share_an_address(tmp_path: Path, living: Living) -> None:
    networks = LoopbackNetworks(tmp_path / "networks")
    seen = [networks.join(f"job-{n}", ("algo-1",), living.start(f"{n}")) for n in range(20)]
    assert len({network.addresses["algo-1"] for network in seen}) == 20


def test_what_no_living_instance_uses_is_handed_out_again(tmp_path: Path, living: Living) -> None:
    networks = LoopbackNetworks(tmp_path / "networks")
    folder = living.start("a")
    first = networks.join("job", ("algo-1",), folder)
    living.end(folder)
    second = networks.join("other", ("algo-1",), living.start("b"))
    assert first.addresses == second.addresses
    assert len(list((tmp_path / "networks").glob("*.json"))) == 1


def test_a_network_keeps_its_addresses_while_one_instance_lives(
    tmp_path: Path, living: Living
) -> None:
    networks = LoopbackNetworks(tmp_path / "networks")
    first_folder = living.start("a")
    first = networks.join("endpoint", ("host-1",), first_folder)
    networks.join("endpoint", ("host-1", "host-2"), living.start("b"))
    living.end(first_folder)
    third = networks.join("endpoint", ("host-3",), living.start("c"))
    assert third.addresses["host-1"] == first.addresses["host-1"]
    assert len({*third.addresses.values()}) == 3


def test_the_hosts_file_names_every_host() -> None:
    text = hosts_file("algo-1", {"algo-1": "127.70.0.1", "algo-2": "127.70.0.2"})
    assert text.splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost ip6-localhost ip6-loopback",
        "127.70.0.1 algo-1",
        "127.70.0.2 algo-2",
    ]
