"""Which network interface a job is told of."""

from pathlib import Path

import pytest

from intermodal_contract.training_files import ResourceConfig
from intermodal_training.network import with_interface

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
# As a machine with its bytes in this order shows 0.0.0.0/0, 192.0.2.0/24 and 10.1.0.0/16.
DEFAULT = "{}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
DOCUMENTATION = "{}\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
TEN = "{}\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
TWO = ResourceConfig(hosts=("algo-1", "algo-2"), network_interface_name="eth0")


@pytest.mark.parametrize(
    ("routes", "addresses", "expected"),
    [
        ([DEFAULT.format("eth0")], ["10.1.0.2", "10.1.0.3"], "eth0"),
        ([DEFAULT.format("ens5"), TEN.format("ens6")], ["10.1.0.2", "10.1.0.3"], "ens6"),
        ([DEFAULT.format("ens5"), TEN.format("ens6")], ["10.9.0.2", "10.9.0.3"], "ens5"),
        ([DEFAULT.format("eth0")], ["127.64.0.2", "127.64.0.3"], "lo"),
        # A container may know itself by a loopback address, as Debian does, the others not.
        ([DEFAULT.format("eth0")], ["127.0.1.1", "10.1.0.3"], "eth0"),
        ([], ["127.64.0.2", "127.64.0.3"], "lo"),
    ],
)
def test_the_interface_exists_and_leads_to_the_other_hosts(
    tmp_path: Path, routes: list[str], addresses: list[str], expected: str
) -> None:
    table = tmp_path / "route"
    table.write_text(HEAD + "".join(routes))
    known = dict(zip(TWO.hosts, addresses, strict=True))
    chosen = with_interface(TWO, resolve=known.__getitem__, routes=table)
    assert chosen.network_interface_name == expected


@pytest.mark.parametrize(
    ("route", "expected"), [(DOCUMENTATION.format("eth0"), "eth0"), (TEN.format("x"), "lo")]
)
def test_a_job_of_one_host_asks_nobody_for_an_address(
    tmp_path: Path, route: str, expected: str
) -> None:
    table = tmp_path / "route"
    table.write_text(HEAD + route)

    def resolve(name: str) -> str:
        raise AssertionError(name)

    chosen = with_interface(ResourceConfig(), resolve=resolve, routes=table)
    assert chosen.network_interface_name == expected


def test_where_there_is_no_routing_table_nothing_changes(tmp_path: Path) -> None:
    assert with_interface(TWO, routes=tmp_path / "none") is TWO
