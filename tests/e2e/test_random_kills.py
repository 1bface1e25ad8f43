"""The engine is killed with -9 at random points of a mixed workload: all acknowledged is there.

`KILLS` and `SEED` of the environment say how often, and by which choices; `make soak-recovery` has
200. The seed is printed.
"""

import os
import random
import socket
import time
from pathlib import Path

import pytest

from intermodal_engine.drivers.network.firewall import TABLE, chains
from intermodal_engine.drivers.network.netlink import NETFILTER, Netlink
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.router import until
from tests.helpers.workload import Workload

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
PATIENCE_S = 60.0


def test_nothing_that_was_acknowledged_is_lost_and_nothing_is_left_over() -> None:
    choices, before = random.Random(SEED), networks()
    with running_engine() as engine:
        workload = Workload(engine, SEED)
        workload.begin()
        try:
            for _ in range(KILLS):
                time.sleep(choices.uniform(0.02, 1.0))
                engine.kill()
                engine.start()
        finally:
            workload.end()
        counts = workload.check()
        print(f"SEED={SEED} KILLS={KILLS}: acknowledged and there: {counts}")
        print(f"of networks: {len(networks() - before)} parts while instances run, none afterwards")
        assert all(counts.values()), counts
        end_endpoints(engine)
        engine.stop()
        assert processes_of(engine.home) == []
        assert mounts_of(engine.home) == []
        until(lambda: networks() <= before, PATIENCE_S)
        assert not is_listening(engine.port)


def end_endpoints(engine: RunningEngine) -> None:
    """Deletes them, and waits until none is left."""
    sagemaker = engine.client("sagemaker")
    for one in sagemaker.list_endpoints()["Endpoints"]:
        sagemaker.delete_endpoint(EndpointName=one["EndpointName"])
    until(lambda: not sagemaker.list_endpoints()["Endpoints"], PATIENCE_S)


def processes_of(home: Path) -> list[str]:
    """Command lines that name the home; those that are ending get a moment."""
    deadline = time.monotonic() + 10
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(home) in line:
                found.append(line)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def networks() -> set[str]:
    """What networks of instances are made of, in this namespace: interfaces, chains, namespaces.

    A namespace without a process lasts only where it is mounted.
    """
    found = {one.name for one in Path("/sys/class/net").iterdir() if one.name.startswith("im")}
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found |= {line for line in mounts if line.startswith("nsfs ")}
    if os.geteuid() == 0:
        with Netlink(NETFILTER) as netlink:
            found |= {one.name for one in chains(netlink) if one.table == TABLE}
    return found


def is_listening(port: int) -> bool:
    """Whether anybody does, on loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def mounts_of(home: Path) -> list[str]:
    """Mounts in this namespace that lie below the home."""
    return [
        line for line in Path("/proc/self/mounts").read_text().splitlines() if str(home) in line
    ]
