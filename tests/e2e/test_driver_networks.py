"""Networks of their own for instances: what reaches what, and that nothing of them stays."""

import errno
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from intermodal_engine.drivers.network import firewall
from intermodal_engine.drivers.network.choice import prune_networks
from intermodal_engine.drivers.network.firewall import Firewall
from intermodal_engine.drivers.network.links import Links, NetworkNamespace, links
from intermodal_engine.drivers.network.netlink import NETFILTER, Netlink
from intermodal_engine.drivers.network.private import GATEWAY, PrivateNetworks
from intermodal_engine.drivers.records import InstanceFolder
from intermodal_engine.drivers.supervision.surroundings import Kernel
from tests.helpers.driver_stages import (
    ENGINE_PORT,
    PRIVATE,
    Behaviour,
    ProcessStage,
    kill_supervisor,
    process_stage,
    text_of,
    wait_for,
    with_environment,
)

pytestmark = pytest.mark.needs_root

ADDRESSES_V6 = Path("/proc/net/if_inet6")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
OPEN_PORT = 28_998
OUTSIDE, OUTSIDE_GATEWAY = "203.0.113.254", "203.0.113.253"
PROBE = """
import os, socket
for target in os.environ["TARGETS"].split():
    host, port = target.split(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            print(target, connection.recv(100).decode())
    except OSError as error:
        print(target, type(error).__name__)
"""
DETOUR = (
    PROBE
    + f"""
import fcntl, struct
def sockaddr(address):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    name = struct.pack("16s24x", b"eth0")
    own, mask = (fcntl.ioctl(asking, request, name)[20:24] for request in (0x8915, 0x891B))
    host = bytes(a & b for a, b in zip(own, mask))[:3] + bytes([(own[3] & mask[3]) + 1])
    everywhere, gateway = sockaddr(bytes(4)), sockaddr(host)
    # SIOCADDRT with RTF_UP | RTF_GATEWAY
    route = struct.pack("@L16s16s16sHhLPhPLLH", 0, everywhere, gateway, everywhere, 3, *[0] * 8)
    fcntl.ioctl(asking, 0x890B, route)
os.environ["TARGETS"] = f"{{socket.inet_ntoa(host)}}:{OPEN_PORT} " + os.environ["TARGETS"]
"""
)
"""Makes a route to everywhere over the host, then has the host itself among its targets."""
SERVER = """
import http.server, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(os.environ["NAME"].encode())
socketserver.TCPServer.allow_reuse_address = True
server = socketserver.TCPServer(("0.0.0.0", 8080), Handler)  # An HTTPServer would ask DNS.
print("ready", flush=True); server.serve_forever()
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[ProcessStage]:
    is_alone = firewall.TABLE not in tables()
    forwarding = FORWARDING.read_text()
    stage = process_stage(tmp_path, PRIVATE)
    if stage is None:
        pytest.skip("this machine allows no private networks")
    yield stage
    wait_for(lambda: not own_links(stage))
    stage.close()
    if is_alone and not links(firewall.LINK_PREFIX):  # No other engine here has networks.
        assert firewall.TABLE not in tables()
        assert FORWARDING.read_text() == forwarding


def own_links(stage: ProcessStage) -> dict[int, str]:
    networks = stage.process.networks
    assert isinstance(networks, PrivateNetworks)
    return links(networks.link_prefix)


def chains() -> set[str]:
    with Netlink(NETFILTER) as netlink:
        return {one.name for one in firewall.chains(netlink) if one.table == firewall.TABLE}


def own_chains(stage: ProcessStage) -> set[str]:
    networks = stage.process.networks
    assert isinstance(networks, PrivateNetworks)
    engine_id = networks.link_prefix.removeprefix(firewall.LINK_PREFIX)
    return {name for name in chains() if name.endswith(f"-{engine_id}")}


def tables() -> set[str]:
    with Netlink(NETFILTER) as netlink:
        return {chain.table for chain in firewall.chains(netlink)}


@contextmanager
def greeter(host: str, port: int, namespace_fd: int | None = None) -> Iterator[list[str]]:
    """A server that tells callers their own address; yields the addresses that called."""
    servers: list[socket.socket] = []
    callers: list[str] = []

    def listen() -> None:
        if namespace_fd is not None:
            Kernel().enter(namespace_fd)
        servers.append(socket.create_server((host, port)))

    def serve() -> None:
        while True:
            try:
                connection, address = servers[0].accept()
            except OSError:
                return
            with connection:
                callers.append(address[0])
                connection.send(f"hello {address[0]}".encode())

    opening = threading.Thread(target=listen)
    opening.start()
    opening.join()
    serving = threading.Thread(target=serve)
    serving.start()
    yield callers
    servers[0].shutdown(socket.SHUT_RDWR)
    serving.join()
    servers[0].close()


@contextmanager
def machine_outside() -> Iterator[int]:
    """Another machine beside this one, as a namespace on a cable of its own."""
    namespace = NetworkNamespace()
    cables = Links()
    cables.add_cable("outside0", "eth0", namespace.fd, 1500)
    cables.add_address("outside0", f"{OUTSIDE_GATEWAY}/30")
    # No route leads back to instances: only a translated address is answered.
    fd = os.dup(namespace.fd)
    namespace.set_up("eth0", f"{OUTSIDE}/30", OUTSIDE_GATEWAY, [])
    namespace.close()
    yield fd
    os.close(fd)
    for index in links("outside0"):
        cables.remove(index)
    cables.close()


def probe(stage: ProcessStage, number: int, *targets: str, outbound: bool = True) -> list[str]:
    """What an instance gets from each target."""
    spec = with_environment(stage.python(number, PROBE), {"TARGETS": " ".join(targets)})
    assert stage.run(replace(spec, outbound=outbound)).exit_code == 0
    return [line.partition(" ")[2] for line in text_of(spec.log).splitlines()]


@pytest.mark.parametrize("outbound", [True, False])
def test_programs_that_insist_on_all_addresses_and_one_port_do_not_collide(
    stage: ProcessStage, outbound: bool
) -> None:
    instances = []
    for number in (1, 2):
        spec = with_environment(stage.python(number, SERVER), {"NAME": f"instance {number}"})
        spec = replace(spec, ports=(8080,), outbound=outbound)
        instances.append(stage.driver.start(stage.driver.plan(spec), stage.ends))
        stage.wait_until_ready(spec)
    for number, instance in enumerate(instances, 1):
        host, port = instance.addresses[8080]
        assert port == 8080
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
            assert answer.read() == f"instance {number}".encode()
        stage.driver.stop(instance)
        stage.ends.wait_for(instance.instance_id)


def test_an_instance_reaches_the_engine_and_nothing_else_on_the_hosts_loopback(
    stage: ProcessStage,
) -> None:
    gateway = stage.driver.gateway_host("any")
    with greeter("127.0.0.1", ENGINE_PORT) as engine, greeter("127.0.0.1", 28_999) as secret:
        seen = probe(stage, 1, f"{gateway}:{ENGINE_PORT}", f"{gateway}:28999", "127.0.0.1:28999")
    assert seen[0] == f"hello {engine[0]}"
    assert not engine[0].startswith("127.")
    assert secret == []
    assert "hello" not in " ".join(seen[1:])


def test_an_instance_without_a_way_out_reaches_neither_the_engine_nor_the_host(
    stage: ProcessStage,
) -> None:
    """Not even where its program, which is root, makes a route of its own."""
    targets = f"{stage.driver.gateway_host('any')}:{ENGINE_PORT} {OUTSIDE}:80"
    spec = with_environment(stage.python(1, DETOUR + PROBE), {"TARGETS": targets})
    with (
        machine_outside() as outside,
        greeter(OUTSIDE, 80, outside) as callers,
        greeter("127.0.0.1", ENGINE_PORT) as engine,
        greeter("0.0.0.0", OPEN_PORT) as host,
    ):
        assert stage.run(replace(spec, outbound=False)).exit_code == 0
    seen = [line.partition(" ")[2] for line in text_of(spec.log).splitlines()]
    assert seen == ["OSError"] * 2 + ["TimeoutError"] * 3  # no route; then the firewall
    assert (callers, engine, host) == ([], [], [])


def test_the_way_out_leads_to_other_machines_under_the_hosts_address(
    stage: ProcessStage,
) -> None:
    with machine_outside() as outside, greeter(OUTSIDE, 80, outside) as callers:
        assert probe(stage, 1, f"{OUTSIDE}:80") == [f"hello {OUTSIDE_GATEWAY}"]
    assert callers == [OUTSIDE_GATEWAY]


@pytest.mark.parametrize("outbound", [True, False])
def test_hosts_of_one_job_reach_each_other(stage: ProcessStage, outbound: bool) -> None:
    hosts = ("algo-1", "algo-2")
    server = with_environment(stage.python(1, SERVER), {"NAME": "first"})
    calling = "import urllib.request; print(urllib.request.urlopen('http://algo-1:8080').read())"
    first = replace(server, hosts=hosts, network="job", outbound=outbound)
    second = replace(
        stage.python(2, calling), hosts=hosts, network="job", host="algo-2", outbound=outbound
    )
    instance = stage.driver.start(stage.driver.plan(first), stage.ends)
    stage.wait_until_ready(first)
    assert stage.run(second).exit_code == 0
    assert text_of(second.log) == "b'first'\n"
    if not outbound and ADDRESSES_V6.exists():
        with_addresses = {line.split()[-1] for line in ADDRESSES_V6.read_text().splitlines()}
        assert not with_addresses & set(own_links(stage).values())
    stage.driver.stop(instance)
    stage.ends.wait_for(first.instance_id)


def test_nothing_from_outside_reaches_an_instance(stage: ProcessStage) -> None:
    spec = replace(with_environment(stage.python(1, SERVER), {"NAME": "inside"}), ports=(8080,))
    instance = stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    address = instance.addresses[8080]
    outcome: list[str] = []

    def call(fd: int) -> None:
        Kernel().enter(fd)
        try:
            socket.create_connection(address, 0.5).close()
            outcome.append("connected")
        except OSError as error:
            outcome.append(type(error).__name__)

    namespace = NetworkNamespace()
    cables = Links()
    cables.add_cable("outside0", "eth0", namespace.fd, 1500)
    cables.add_address("outside0", f"{OUTSIDE_GATEWAY}/30")
    fd = os.dup(namespace.fd)
    namespace.set_up("eth0", f"{OUTSIDE}/30", OUTSIDE_GATEWAY, ["0.0.0.0/0"])
    namespace.close()
    caller = threading.Thread(target=call, args=(fd,))
    caller.start()
    caller.join()
    os.close(fd)
    for index in links("outside0"):
        cables.remove(index)
    cables.close()
    assert outcome == ["TimeoutError"]
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)


def test_an_engine_that_comes_back_removes_what_a_killed_one_left(
    stage: ProcessStage,
) -> None:
    spec = stage.spec(1, Behaviour(runs_for_s=None))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    stage.process.close()
    assert own_links(stage)
    assert firewall.TABLE in tables()
    kill_supervisor(spec.folder)
    stage.restart()
    assert stage.driver.adopt(spec, stage.ends) is not None
    stage.ends.wait_for(spec.instance_id)


def test_what_a_killed_engine_left_goes_without_another_engine(
    stage: ProcessStage, tmp_path: Path
) -> None:
    killed, living = stage.spec(1, Behaviour(runs_for_s=None)), stage.spec(2, Behaviour())
    stage.driver.start(stage.driver.plan(killed), stage.ends)
    stage.wait_until_ready(killed)
    stage.process.close()
    folder = stage.driver_folder
    prune_networks(folder)
    assert own_links(stage)
    assert own_chains(stage)
    kill_supervisor(killed.folder)
    wait_for(lambda: not InstanceFolder(killed.folder).is_alive())
    prune_networks(folder)
    assert not own_links(stage)
    assert not own_chains(stage)
    prune_networks(tmp_path / "nobody's")
    stage.restart()
    assert stage.run(living).exit_code == 0


def test_the_chains_of_an_engine_whose_home_is_gone_go_with_anothers(
    stage: ProcessStage,
) -> None:
    Firewall("0000ff", IPv4Network("198.18.0.0/15"), GATEWAY, ENGINE_PORT).open()
    assert "engine-0000ff" in chains()
    assert stage.run(stage.spec(1, Behaviour())).exit_code == 0
    wait_for(lambda: "engine-0000ff" not in chains())


def test_a_running_instance_keeps_its_network_over_a_restart(stage: ProcessStage) -> None:
    spec = replace(with_environment(stage.python(1, SERVER), {"NAME": "still here"}), ports=(8080,))
    stage.driver.start(stage.driver.plan(spec), stage.ends)
    stage.wait_until_ready(spec)
    stage.restart()
    instance = stage.driver.adopt(spec, stage.ends)
    assert instance is not None
    other = stage.spec(2, Behaviour())
    stage.run(other)
    host, port = instance.addresses[8080]
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
        assert answer.read() == b"still here"
    stage.driver.stop(instance)
    stage.ends.wait_for(spec.instance_id)


def test_an_instance_that_has_gone_is_unreachable_at_once(stage: ProcessStage) -> None:
    """A connection to it must not leave by the default route and time out."""
    staying = stage.spec(1, Behaviour(runs_for_s=None))
    instance = stage.driver.start(stage.driver.plan(staying), stage.ends)
    stage.wait_until_ready(staying)
    with pytest.raises(OSError, match=os.strerror(errno.EHOSTUNREACH)):
        socket.create_connection(("198.18.0.77", 8080), 5)
    stage.driver.stop(instance)
    stage.ends.wait_for(staying.instance_id)
