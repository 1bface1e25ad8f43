"""Who can be let in from other machines, and that nobody is by mistake."""

from pathlib import Path

import pytest

from intermodal_engine.cli.main import parser
from intermodal_engine.gateway.origin import Origins
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest


def test_without_the_option_the_engine_is_on_loopback_only(tmp_path: Path) -> None:
    assert parser().parse_args(["up"]).listen is None
    assert Settings(home=tmp_path).listen is None


@pytest.mark.parametrize("address", ["192.168.1.7", "10.0.0.1"])
def test_an_address_of_one_network_is_taken(address: str) -> None:
    assert parser().parse_args(["up", f"--listen={address}"]).listen == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "", "::", "localhost", "127.0.0.1", "224.0.0.1", "1.2.3", "1.2.3.4:80"]
)
def test_an_address_that_means_all_or_none_is_refused(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["up", f"--listen={address}"])
    assert "name the one that others reach" in capsys.readouterr().err


def test_only_the_address_that_was_named_is_a_host_of_the_engine() -> None:
    origins = Origins()
    origins.allow("192.168.1.7")
    origins.check(HttpRequest("GET", "/", "", {"host": "192.168.1.7:8765"}))
    for host in ("192.168.1.8:8765", "192.168.1.7.evil.example", "evil.example"):
        with pytest.raises(ServiceError, match="does not answer to the host"):
            origins.check(HttpRequest("GET", "/", "", {"host": host}))
