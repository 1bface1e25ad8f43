"""An engine that is to listen for other machines does, and asks them for a signature."""

import socket
import urllib.error
import urllib.request

import boto3
import pytest

from tests.helpers.engine import running_engine

pytestmark = pytest.mark.e2e


def own_address() -> str:
    """The address that this machine would send from; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        address = str(probe.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("this machine has loopback only")
    return address


def test_other_machines_are_let_in_by_address_and_signature_only() -> None:
    address = own_address()
    with running_engine("--driver=fake", f"--listen={address}") as engine:
        url = f"http://{address}:{engine.port}"
        assert "other machines reach this engine" in (engine.home / "engine.log").read_text()
        keys = engine.environment
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )
        assert client.list_buckets()["Buckets"] == []
        for headers in ({}, {"Host": "evil.example"}):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)


def test_without_being_told_the_engine_is_on_loopback_only() -> None:
    address = own_address()
    with running_engine("--driver=fake") as engine, pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, engine.port), 5)
