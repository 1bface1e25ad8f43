"""Waiting for the other hosts' names."""

import threading

import pytest

from intermodal_contract.errors import IntermodalError
from intermodal_training.errors import HostsError
from intermodal_training.hosts import wait_for_hosts, wait_seconds


def test_a_name_that_appears_late_is_waited_for_and_named_meanwhile(
    capfd: pytest.CaptureFixture[str],
) -> None:
    arrived = threading.Event()
    threading.Timer(0.25, arrived.set).start()

    def resolve(host: str) -> None:
        if host == "algo-2" and not arrived.is_set():
            raise OSError("Name or service not known")

    wait_for_hosts(["algo-1", "algo-2"], 10, resolve=resolve, tell_every_s=0.1)
    assert arrived.is_set()
    told = capfd.readouterr().err.splitlines()
    assert told[0] == "train: waiting for the address of `algo-2`, 0 s so far"
    assert len(told) >= 2


def test_a_resolver_that_blocks_does_not_stop_the_clock() -> None:
    over = threading.Event()
    with pytest.raises(HostsError, match="`algo-1`, `algo-2`"):
        wait_for_hosts(["algo-2", "algo-1"], 0.1, resolve=lambda _: over.wait(20))
    over.set()


def test_one_host_waits_for_nobody() -> None:
    def resolve(host: str) -> None:
        raise AssertionError(host)

    wait_for_hosts(["algo-1"], 10, resolve=resolve)
    wait_for_hosts(["algo-1", "algo-2"], 0, resolve=resolve)


def test_the_environment_says_how_long() -> None:
    assert wait_seconds({}) == 300
    assert wait_seconds({"INTERMODAL_HOST_WAIT_S": "1.5"}) == 1.5
    assert wait_seconds({"SM_STUDIO_LOCAL_MODE": "true", "INTERMODAL_HOST_WAIT_S": "9"}) == 0
    with pytest.raises(IntermodalError, match="`soon`, which is no number"):
        wait_seconds({"INTERMODAL_HOST_WAIT_S": "soon"})
