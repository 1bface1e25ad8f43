"""The command line removes the networks that a killed engine could not."""

from collections.abc import Iterator

import pytest

from intermodal_engine.drivers.network import firewall
from intermodal_engine.drivers.network.links import links
from intermodal_engine.drivers.network.netlink import NETFILTER, Netlink
from intermodal_engine.drivers.network.private import PrivateNetworks
from tests.helpers.driver_stages import wait_for
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, job_request, wait_for_line

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]


@pytest.fixture
def engine() -> Iterator[RunningEngine]:
    with running_engine() as engine:
        yield engine


def leftovers(engine: RunningEngine) -> set[str]:
    """The interfaces and chains of the engine of that home."""
    networks = PrivateNetworks(engine.home / "driver" / "private", 0)
    prefix = networks.link_prefix
    networks.close()
    engine_id = prefix.removeprefix(firewall.LINK_PREFIX)
    with Netlink(NETFILTER) as netlink:
        chains = {one.name for one in firewall.chains(netlink) if one.table == firewall.TABLE}
    return set(links(prefix).values()) | {one for one in chains if one.endswith(f"-{engine_id}")}


@pytest.mark.parametrize("command", ["prune", "down"])
def test_a_killed_engines_networks_go_with_its_last_instance_and_a_command(
    engine: RunningEngine, command: str
) -> None:
    s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    script = "import time; print('waits', flush=True); time.sleep(600)"
    sagemaker.create_training_job(**job_request("waits", script, s3))
    wait_for_line(engine.client("logs"), "waits", "waits")
    engine.kill()
    if not leftovers(engine):
        pytest.skip("this machine allows no private networks")
    engine.cli(command)
    assert leftovers(engine)
    engine.end_instances()
    wait_for(lambda: engine.supervisors("training-job", "waits") == [])
    engine.cli(command)
    assert not leftovers(engine)
