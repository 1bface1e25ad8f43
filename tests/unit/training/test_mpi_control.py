"""How the hosts of an MPI job find, trust and lose each other, over real sockets."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client

import pytest

from intermodal_training.errors import DistributionError, HostsError
from intermodal_training.launchers.mpi_control import ControlServer, Member, secret, start_on
from intermodal_training.launchers.ranks import RankReport
from intermodal_training.report import Ending
from intermodal_training.supervise import Outcome

LEADER = "127.0.0.1"
ENVIRONMENT = {
    "TRAINING_JOB_ARN": "arn:job",
    "AWS_SECRET_ACCESS_KEY": "x",
    "SM_MASTER_ADDR": LEADER,
}
FAILURE = RankReport(1, "algo-2", ("python", "train.py"), 5.0, Outcome(37))


@pytest.fixture
def control() -> Iterator[ControlServer]:
    with ControlServer(LEADER, 0, ["algo-2"], ENVIRONMENT) as server:
        yield server


def follow(control: ControlServer, seen: list[object], ended: int = 37) -> threading.Thread:
    """Another host: runs what it is asked to, fails with a rank, hears the end."""

    def member() -> None:
        with Member.join(LEADER, control.port, "algo-2", ENVIRONMENT, 5) as me:
            seen.append(me.wait_for_command())
            me.watch(lambda: seen.append("killed"))
            seen.append(me.end(ended, FAILURE))

    thread = threading.Thread(target=member)
    thread.start()
    return thread


def test_a_command_goes_down_and_its_end_comes_up(control: ControlServer) -> None:
    seen: list[object] = []
    thread = follow(control, seen)
    control.wait_for_members(5)
    assert start_on(control.port, "algo-2", ["orted", "-mca"], ENVIRONMENT) == 37
    assert control.failures() == [FAILURE]
    ending = Ending(37, "ValueError: boom", is_told=False)
    control.tell_end(ending)
    thread.join(5)
    assert seen == [["orted", "-mca"], ending]


def test_whoever_does_not_know_the_secret_is_no_member(control: ControlServer) -> None:
    other = {**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "y"}
    with (
        pytest.raises(HostsError, match="does not prove to be of this job"),
        Member.join(LEADER, control.port, "algo-2", other, 5),
    ):
        pass
    with pytest.raises(HostsError, match="`algo-2` did not come"):
        control.wait_for_members(0.05)
    assert start_on(control.port, "algo-2", ["orted"], other) == 1


def test_an_answer_cannot_be_sent_back_as_ones_own(control: ControlServer) -> None:
    with Client((LEADER, control.port)) as mirror:
        mirror.send_bytes(mirror.recv_bytes())
        mirror.send_bytes(mirror.recv_bytes())
        with pytest.raises(EOFError):
            mirror.recv_bytes()


def test_a_client_that_says_nothing_keeps_nobody_waiting(control: ControlServer) -> None:
    with socket.create_connection((LEADER, control.port)):
        thread = follow(control, [])
        control.wait_for_members(5)
        start_on(control.port, "algo-2", ["orted"], ENVIRONMENT)
        control.tell_end(Ending(0))
        thread.join(5)
    assert not thread.is_alive()


def test_a_job_that_never_began_ends_with_its_reason_on_the_other_hosts_too(
    control: ControlServer,
) -> None:
    with Member.join(LEADER, control.port, "algo-2", ENVIRONMENT, 5) as member:
        control.wait_for_members(5)
        control.tell_end(Ending(1, "mpirun: no such option"))
        with pytest.raises(DistributionError, match="mpirun: no such option"):
            member.wait_for_command()


def test_a_first_host_that_dies_is_told_and_its_daemon_ended() -> None:
    seen: list[object] = []
    killed = threading.Event()
    with ControlServer(LEADER, 0, ["algo-2"], ENVIRONMENT) as control:
        joined = threading.Event()

        def member() -> None:
            with Member.join(LEADER, control.port, "algo-2", ENVIRONMENT, 5) as me:
                me.watch(killed.set)
                joined.set()
                killed.wait(5)
                with pytest.raises(HostsError, match="ended without a word") as caught:
                    me.end(1, None)
                seen.append(caught.value)

        thread = threading.Thread(target=member)
        thread.start()
        control.wait_for_members(5)
        assert joined.wait(5)
    thread.join(5)
    assert killed.is_set()
    assert len(seen) == 1


def test_a_first_host_that_never_listens_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind((LEADER, 0))
        port = taken.getsockname()[1]
        with (
            pytest.raises(HostsError, match=f"does not answer on port {port}"),
            Member.join(LEADER, port, "algo-2", ENVIRONMENT, 0.2),
        ):
            pass


def test_a_port_that_is_taken_is_named(control: ControlServer) -> None:
    second = ControlServer(LEADER, control.port, [], ENVIRONMENT)
    with pytest.raises(DistributionError, match=str(control.port)), second:
        pass


def test_the_agent_ends_as_the_command_on_the_other_host(control: ControlServer) -> None:
    thread = follow(control, [], ended=3)
    control.wait_for_members(5)
    module = "intermodal_training.launchers.mpi_agent"
    command = [sys.executable, "-m", module, str(control.port), "algo-2", "orted"]
    assert subprocess.run(command, env=ENVIRONMENT, timeout=20, check=False).returncode == 3
    control.tell_end(Ending(0))
    thread.join(5)


def test_every_part_of_the_secret_counts() -> None:
    changes = [{}, {"INTERMODAL_MPI_SECRET": "z"}, {"TRAINING_JOB_ARN": "arn:other"}]
    assert len({secret({**ENVIRONMENT, **change}) for change in changes}) == 3
