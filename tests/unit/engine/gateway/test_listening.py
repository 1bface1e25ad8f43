"""Where the engine listens."""

import socket
import sys

import pytest

from intermodal_engine.gateway.server import PortBusyError, listen


def test_a_port_that_is_taken_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortBusyError, match=f"port {port} on 127.0.0.1 is in use"):
            listen(port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux listens on addresses to come")
def test_an_address_that_no_interface_has_yet_can_be_listened_on() -> None:
    with listen(0, "203.0.113.7", may_be_absent=True) as listener:
        assert listener.getsockname()[0] == "203.0.113.7"
