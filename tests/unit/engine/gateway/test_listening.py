"""Where the engine listens."""

import resource
import socket
import subprocess
import sys

import pytest

from intermodal_engine.gateway.server import OPEN_FILES, PortBusyError, listen


def test_a_port_that_is_taken_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortBusyError, match=f"port {port} on 127.0.0.1 is in use"):
            listen(port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux listens on addresses to come")
def test_an_address_that_no_interface_has_yet_can_be_listened_on() -> None:
    with listen(0, "203.0.113.7", may_be_absent=True) as listener:
        assert listener.getsockname()[0] == "203.0.113.7"


@pytest.mark.parametrize("soft", [256, None], ids=["a low limit", "the limit there is"])
def test_an_engine_may_open_as_many_files_as_the_system_lets_it(soft: int | None) -> None:
    now, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    program = (
        f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({soft or now}, {hard}))\n"
        "from intermodal_engine.gateway.server import allow_connections; allow_connections()\n"
        "print(*r.getrlimit(r.RLIMIT_NOFILE))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    assert said.split() == [str(max(wanted, soft or now)), str(hard)]
