"""How the hosts of an MPI job talk to each other before and after `mpirun` does.

`train` on every other host opens one connection to `train` on the first host and keeps it. Down
this connection comes the command that starts `mpirun`'s daemon, and at the end the job's exit code;
up go the daemon's exit code and the first failure of the host's ranks. The agent that `mpirun`
calls asks over the same port.

Each side proves that it knows the job's secret (HMAC-SHA256 over a random challenge) before it says
or believes anything. The secret is made from the job's ARN and name, from `INTERMODAL_MPI_SECRET`
if the request's `Environment` has it, and from the job's session credentials where they are in the
environment, as in intermodal's engine. On AWS credentials come another way: without
`INTERMODAL_MPI_SECRET` the secret is then no secret to whoever can describe the job. What follows
the proof is neither encrypted nor signed, just as Open MPI's own traffic is not: the network
between a job's hosts must be the job's alone, as it is on AWS and in intermodal's engine.
"""

import contextlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Self

from intermodal_contract import env
from intermodal_training.errors import DistributionError, HostsError
from intermodal_training.launchers.ranks import RankReport
from intermodal_training.report import Ending, say

_SECRET_PARTS = (
    env.TRAINING_JOB_ARN,
    env.TRAINING_JOB_NAME,
    env.MPI_SECRET,
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
_CHALLENGE_BYTES = 32
_MESSAGE_BYTES = 1 << 20
_PROOF_S = 10.0
_RETRY_S = 0.1
_TELL_EVERY_S = 5.0
_REPORTS_S = 15.0
_END_S = 60.0
_LOOPBACK = "127.0.0.1"


class ControlServer:
    """The first host's side.

    Args:
        host: name of the first host; where it has a loopback address, only that is bound.
        port: where to listen; 0 for any.
        members: the other hosts.
        environment: holds the secret.
    """

    def __init__(
        self, host: str, port: int, members: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._secret = secret(environment)
        self._members = frozenset(members)
        self._connections: dict[str, Connection] = {}
        self._ended: dict[str, tuple[int, RankReport | None]] = {}
        self._changed = threading.Condition()
        self._address = _bind_address(host)
        self._port = port
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listener is not None  # noqa: S101 - within the context only
        number = self._listener.address[1]
        assert isinstance(number, int)  # noqa: S101 - of an internet socket
        return number

    def __enter__(self) -> Self:
        try:
            self._listener = Listener((self._address, self._port), backlog=64)
        except OSError as error:
            raise DistributionError(
                f"port {self._port} of the first host cannot be had: {error.strerror}",
                hint=f"`{env.MASTER_PORT}` names another",
            ) from error
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        listener = self._listener
        assert listener is not None  # noqa: S101 - entered
        # A blocked accept() does not hear of a close: wake it first.
        with contextlib.suppress(OSError), socket.create_connection((self._address, self.port)):
            listener.close()
        with self._changed:
            for connection in self._connections.values():
                _hang_up(connection)

    def wait_for_members(self, wait_s: float) -> None:
        """Returns once every other host is here.

        Raises:
            HostsError: some did not come in time.
        """
        started = time.monotonic()
        with self._changed:
            while missing := self._members - self._connections.keys():
                names = ", ".join(f"`{host}`" for host in sorted(missing))
                waited_s = time.monotonic() - started
                if waited_s >= wait_s:
                    raise HostsError(
                        f"{names} did not come to the MPI job within {wait_s:.0f} s",
                        hint="what do their logs say?",
                    )
                if not self._changed.wait(min(_TELL_EVERY_S, wait_s - waited_s)):
                    say(f"waiting for {names} to come to the MPI job")

    def failures(self) -> list[RankReport]:
        """The first failure of every other host whose ranks failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._members <= self._ended.keys(), timeout=_REPORTS_S)
            return [failure for _, failure in self._ended.values() if failure is not None]

    def tell_end(self, ending: Ending) -> None:
        """Tells every other host how the job ended."""
        message = {"end": ending.exit_code, "failure": ending.failure, "told": ending.is_told}
        with self._changed:
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    _send(connection, message)

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError, KeyError):
            if not _prove(connection, self._secret, first=True):
                connection.close()
                return
            hello = _receive(connection)
            if "start" in hello:
                self._start(connection, str(hello["host"]), list(hello["start"]))
            else:
                self._attend(connection, str(hello["member"]))

    def _attend(self, connection: Connection, host: str) -> None:
        """Listens to another host until it leaves."""
        with self._changed:
            if host not in self._members or host in self._connections:
                connection.close()
                return
            self._connections[host] = connection
            self._changed.notify_all()
        code, failure = 1, None
        with contextlib.suppress(OSError, EOFError):
            message = _receive(connection)
            code = int(message["ended"])
            if message["failure"] is not None:
                failure = RankReport.from_json(message["failure"])
        with self._changed:
            self._ended[host] = code, failure
            self._changed.notify_all()

    def _start(self, agent: Connection, host: str, words: list[str]) -> None:
        """Has a command run on another host, and answers with its exit code."""
        with self._changed:
            _send(self._connections[host], {"start": words})
            self._changed.wait_for(lambda: host in self._ended)
            code, _ = self._ended[host]
        _send(agent, {"ended": code})


class Member:
    """Another host's side.

    Args:
        connection: to the first host, proven.
        leader: name of the first host.
    """

    def __init__(self, connection: Connection, leader: str) -> None:
        self._connection = connection
        self._leader = leader
        self._end: dict[str, Any] | None = None
        self._is_over = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def join(
        cls, leader: str, port: int, host: str, environment: Mapping[str, str], wait_s: float
    ) -> Iterator["Member"]:
        """Goes to the first host, which may not listen yet.

        Raises:
            HostsError: it does not in time, or does not know the job's secret.
        """
        connection = _connect(leader, port, wait_s)
        with connection:
            if not _prove(connection, secret(environment), first=False):
                raise HostsError(
                    f"`{leader}`, the first host, does not prove to be of this job",
                    hint=f"has every host the same `{env.MPI_SECRET}` and credentials?",
                )
            _send(connection, {"member": host})
            yield cls(connection, leader)

    def wait_for_command(self) -> list[str]:
        """What the first host wants to be run here.

        Raises:
            HostsError: it is gone.
        """
        try:
            message = _receive(self._connection)
        except (OSError, EOFError) as error:
            raise self._gone() from error
        if "start" not in message:
            raise DistributionError(
                message.get("failure") or f"`{self._leader}`, the first host, ended before it began"
            )
        return [str(word) for word in message["start"]]

    def watch(self, end_program: Callable[[], None]) -> None:
        """From now on the program here ends when the first host is gone."""
        threading.Thread(target=self._listen, args=(end_program,), daemon=True).start()

    def end(self, exit_code: int, failure: RankReport | None) -> Ending:
        """Says how the program here ended; returns how the whole job did.

        Raises:
            HostsError: the first host is gone.
        """
        entry = None if failure is None else failure.to_json()
        with contextlib.suppress(OSError):
            _send(self._connection, {"ended": exit_code, "failure": entry})
        self._is_over.wait(_END_S)
        if self._end is None:
            if failure is not None:
                return failure.ending
            raise self._gone()
        return Ending(int(self._end["end"]), self._end["failure"], is_told=self._end["told"])

    def _listen(self, end_program: Callable[[], None]) -> None:
        try:
            self._end = _receive(self._connection)
        except (OSError, EOFError):
            end_program()
        self._is_over.set()

    def _gone(self) -> HostsError:
        return HostsError(
            f"`{self._leader}`, the first host, ended without a word",
            hint="its own log says more",
        )


def start_on(port: int, host: str, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Has a command run on another host; for the agent, on the first host.

    Returns:
        The command's exit code.
    """
    leader = environment.get("SM_MASTER_ADDR", _LOOPBACK)
    with Client((_bind_address(leader) or _LOOPBACK, port)) as connection:
        if not _prove(connection, secret(environment), first=False):
            return 1
        _send(connection, {"start": list(words), "host": host})
        return int(_receive(connection)["ended"])


def secret(environment: Mapping[str, str]) -> bytes:
    """The job's secret."""
    import hashlib

    parts = [environment.get(name, "") for name in _SECRET_PARTS]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _bind_address(host: str) -> str:
    """The host's own address if that is on loopback; else all addresses (empty)."""
    with contextlib.suppress(OSError, UnicodeError):
        address = socket.gethostbyname(host)
        if address.startswith("127."):
            return address
    return ""


def _connect(host: str, port: int, wait_s: float) -> Connection:
    give_up_at = time.monotonic() + wait_s
    tell_at = time.monotonic() + _TELL_EVERY_S
    while True:
        try:
            return Client((socket.gethostbyname(host), port))
        except OSError as error:
            now = time.monotonic()
            if now >= give_up_at:
                raise HostsError(
                    f"`{host}`, the first host, does not answer on port {port}: {error.strerror}",
                    hint="what does its log say?",
                ) from error
            if now >= tell_at:
                say(f"waiting for `{host}`, the first host, to listen on port {port}")
                tell_at = now + _TELL_EVERY_S
            time.sleep(_RETRY_S)  # a port that nobody listens on yet cannot be waited on


def _hang_up(connection: Connection) -> None:
    """Ends a connection that another thread may be waiting on, which a close would not."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as one:
        one.shutdown(socket.SHUT_RDWR)
    connection.close()


def _prove(connection: Connection, key: bytes, *, first: bool) -> bool:
    """Shows each side that the other knows the secret; whoever listens is `first`."""
    mine = os.urandom(_CHALLENGE_BYTES)
    connection.send_bytes(mine)
    theirs = _receive_bytes(connection, _CHALLENGE_BYTES)
    # Each side says which it is, so that no answer can be sent back as one's own.
    connection.send_bytes(_answer(key, theirs, mine, first=first))
    answer = _receive_bytes(connection, _CHALLENGE_BYTES)
    return hmac.compare_digest(answer, _answer(key, mine, theirs, first=not first))


def _answer(key: bytes, challenge: bytes, own: bytes, *, first: bool) -> bytes:
    side = b"first" if first else b"other"
    return hmac.digest(key, side + challenge + own, "sha256")


def _receive_bytes(connection: Connection, size: int) -> bytes:
    if not connection.poll(_PROOF_S):
        raise EOFError
    return connection.recv_bytes(size)


def _send(connection: Connection, message: Mapping[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode())


def _receive(connection: Connection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv_bytes(_MESSAGE_BYTES))
    return message
