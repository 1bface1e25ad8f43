"""The docker daemon through docker's SDK for Python: its calls, its answers, its errors.

No other module imports the SDK, which takes 100 ms to import and no types. Whatever goes wrong is a
`DaemonError` in the daemon's own words.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import CancellableStream
from docker.utils import kwargs_from_env

from intermodal_engine.drivers.containers.machine import (
    ContainerState,
    DaemonError,
    InUseError,
    LocalImage,
    Machine,
    NotThereError,
)
from intermodal_engine.drivers.unavailable import DriverUnavailableError

CALL_TIMEOUT_S = 60.0
"""A container's start may wait for a busy disk."""
HELLO_TIMEOUT_S = 10.0
_PULL_SILENCE_S = 600.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_DEFAULT_NETWORK = "bridge"
_IPV4 = 4
_DESKTOP_HOST = "host.docker.internal"
_NEVER = "0001-01-01"
_LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")


def connect(hello_timeout_s: float = HELLO_TIMEOUT_S) -> "Daemon":
    """The daemon that docker's own variables name (`DOCKER_HOST` and so on), else the usual one.

    Args:
        hello_timeout_s: how long it may take to answer at first.

    Raises:
        DriverUnavailableError: there is none, or it does not answer, or it is another machine's.
    """
    try:
        arguments = kwargs_from_env()
    except DockerException as error:
        raise DriverUnavailableError(f"docker's variables are no good: {error}") from error
    address = arguments.get("base_url", "unix:///var/run/docker.sock")
    if (urlsplit(address).hostname or "") not in _LOCAL_HOSTS:
        raise DriverUnavailableError(
            f"docker at `{address}` is another machine, whose containers see no folder of this one"
            "\nhint: unset `DOCKER_HOST`, or start the engine there"
        )
    try:
        _knock(address)
        return Daemon(docker.APIClient(**arguments, timeout=hello_timeout_s))
    except (OSError, DockerException, requests.RequestException) as error:
        raise DriverUnavailableError(why_not(address, str(error))) from error


class Daemon:
    """A docker daemon, or podman's service that speaks its API.

    Args:
        api: the SDK's client.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        info = api.info()
        security = " ".join(info.get("SecurityOptions") or ())
        components = api.version().get("Components") or ()
        self.machine = Machine(
            architecture=_ARCHITECTURES.get(info["Architecture"], info["Architecture"]),
            memory_bytes=info["MemTotal"],
            has_gpus=any(Path("/dev").glob("nvidia[0-9]*")),
            is_rootless="rootless" in security,
            is_desktop="Docker Desktop" in info.get("OperatingSystem", ""),
            is_podman=any("podman" in one.get("Name", "").lower() for one in components),
        )
        api.timeout = CALL_TIMEOUT_S

    def close(self) -> None:
        """Lets go of the connections."""
        self._api.close()

    def gateway(self) -> str:
        """Under which name or address containers on all networks with a way out reach this machine.

        It is this machine's on the network that docker has from the beginning; where containers
        cannot reach that, its address on its own way out. Docker Desktop has a name for it.

        Raises:
            DaemonError: there is none.
        """
        if self.machine.is_desktop:
            return _DESKTOP_HOST
        if self.machine.is_rootless or self.machine.is_podman:
            return _outward_address()
        with _translated():
            network = self._api.inspect_network(_DEFAULT_NETWORK)
        for pool in network["IPAM"]["Config"] or ():
            subnet = ipaddress.ip_network(pool["Subnet"])
            if subnet.version == _IPV4:
                # Not said before docker has been restarted once; then it is the first.
                return cast("str", pool.get("Gateway") or str(next(subnet.hosts())))
        raise DaemonError(f"its network `{_DEFAULT_NETWORK}` has no address for this machine")

    # Images

    def find_image(self, name: str) -> LocalImage | None:
        """An image that is here, by name, digest or id."""
        try:
            with _translated():
                found = self._api.inspect_image(name)
        except NotThereError:
            return None
        digests = tuple(found.get("RepoDigests") or ())
        return LocalImage(found["Id"], found.get("Architecture", ""), found.get("Size", 0), digests)

    def pull(self, repository: str, tag: str) -> Iterator[Mapping[str, Any]]:
        """Pulls an image with docker's own credentials; yields what the daemon tells of it.

        Raises:
            DaemonError: it refused.
        """
        patient = docker.APIClient(**kwargs_from_env(), timeout=_PULL_SILENCE_S)
        try:
            with _translated():
                yield from patient.pull(repository, tag=tag, stream=True, decode=True)
        finally:
            patient.close()

    # Containers

    def create(self, config: Mapping[str, Any], name: str) -> str:
        """Makes a container; returns its id."""
        with _translated():
            return cast("str", self._api.create_container_from_config(config, name)["Id"])

    def start(self, container_id: str) -> None:
        """Starts it."""
        with _translated():
            self._api.start(container_id)

    def state(self, container_id: str) -> ContainerState | None:
        """How it is; None if it is gone."""
        try:
            with _translated():
                return _state(self._api.inspect_container(container_id))
        except NotThereError:
            return None

    def wait(self, container_id: str, timeout_s: float) -> bool:
        """Whether it runs no more, after waiting for that at most so long."""
        try:
            with _translated():
                self._api.wait(container_id, timeout=timeout_s, condition="not-running")
        except NotThereError:
            return True
        except DaemonError:
            return False
        return True

    def stop(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, grace, SIGKILL; returns when it has ended. The daemon does it, come what may."""
        with contextlib.suppress(NotThereError), _translated():
            self._api.stop(container_id, timeout=grace_s)

    def remove(self, container_id: str, *, force: bool) -> None:
        """Removes it; harmless if it is gone.

        Raises:
            InUseError: it runs, and force was not asked for.
        """
        with contextlib.suppress(NotThereError), _translated():
            self._api.remove_container(container_id, v=True, force=force)

    def containers(self, label: str) -> list[tuple[str, Mapping[str, str]]]:
        """Id and labels of all containers with a label, whatever their state."""
        with _translated():
            found = self._api.containers(all=True, filters={"label": label})
        return [(one["Id"], one["Labels"]) for one in found]

    def logs(self, container_id: str, since: str, *, follow: bool) -> "LogStream":
        """A container's output with its times, as the daemon's frames.

        Args:
            container_id: the container.
            since: epoch seconds, with nanoseconds behind a point.
            follow: also what is yet to come.
        """
        url = f"{self._api.base_url}/v{self._api.api_version}/containers/{container_id}/logs"
        parameters = {"stdout": 1, "stderr": 1, "timestamps": 1, "since": since}
        with _translated():
            response = self._api.get(
                url,
                params={**parameters, "follow": int(follow)},
                stream=True,
                timeout=(CALL_TIMEOUT_S, None if follow else CALL_TIMEOUT_S),
            )
            if response.status_code != requests.codes.ok:
                text = response.text
                response.close()
                gone = response.status_code == requests.codes.not_found
                raise (NotThereError if gone else DaemonError)(text.strip())
        return LogStream(response)

    # Networks and volumes

    def ensure_network(self, name: str, config: Mapping[str, Any]) -> None:
        """Makes a network unless it is there."""
        try:
            with _translated():
                self._api.inspect_network(name)
        except NotThereError:
            with _translated():
                self._api.create_network(name, check_duplicate=True, **config)

    def remove_network(self, name: str) -> None:
        """Removes a network that nobody uses; others stay."""
        with contextlib.suppress(NotThereError, InUseError), _translated():
            self._api.remove_network(name)

    def networks(self, label: str) -> list[str]:
        """Names of the networks with a label."""
        with _translated():
            found = self._api.networks(filters={"label": label})
        return [one["Name"] for one in found]

    def create_volume(
        self, name: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Makes a volume; nothing is mounted yet."""
        with _translated():
            self._api.create_volume(name, driver="local", driver_opts=options, labels=labels)

    def remove_volume(self, name: str) -> None:
        """Removes a volume that no container has; others stay."""
        with contextlib.suppress(NotThereError, InUseError), _translated():
            self._api.remove_volume(name)

    def volumes(self, label: str) -> list[str]:
        """Names of the volumes with a label."""
        with _translated():
            found = self._api.volumes(filters={"label": label})
        return [one["Name"] for one in found["Volumes"] or ()]


class LogStream:
    """Output as it comes. `close` may be called by another thread, and ends it."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._stream = CancellableStream(iter(()), response)
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of any size; the end of the stream, or of the connection, ends it."""
        try:
            yield from self._response.raw.stream(1 << 16)
        except Exception as error:
            # What a socket raises that was closed beside it is anybody's guess.
            if not self._is_closed:
                raise DaemonError(f"its output broke off: {error!r}") from error

    def close(self) -> None:
        """Ends it; harmless twice."""
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(Exception):
                self._stream.close()
            self._response.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise NotThereError(_words_of(error)) from error
    except APIError as error:
        is_conflict = error.status_code in (requests.codes.conflict, requests.codes.forbidden)
        raise (InUseError if is_conflict else DaemonError)(_words_of(error)) from error
    except (DockerException, requests.RequestException) as error:
        raise DaemonError(f"docker does not answer: {error}") from error


def _words_of(error: Any) -> str:
    return str(error.explanation or error).strip()


def _state(found: Mapping[str, Any]) -> ContainerState:
    state, network = found["State"], found["NetworkSettings"]
    addresses = (one.get("IPAddress") for one in (network.get("Networks") or {}).values())
    return ContainerState(
        container_id=found["Id"],
        status=state["Status"],
        pid=state.get("Pid", 0),
        exit_code=state["ExitCode"],
        is_out_of_memory=state.get("OOMKilled", False),
        error=state.get("Error", ""),
        started_at=_epoch_s(state["StartedAt"]),
        ended_at=_epoch_s(state["FinishedAt"]),
        address=next(filter(None, addresses), ""),
        published={
            int(port.partition("/")[0]): (bound[0]["HostIp"], int(bound[0]["HostPort"]))
            for port, bound in (network.get("Ports") or {}).items()
            if bound
        },
    )


def _epoch_s(text: str) -> float | None:
    """Of a time as RFC 3339 writes it; None for the one that stands for never."""
    if text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(text).timestamp()


def _knock(address: str) -> None:
    """Fails in the kernel's words, which the SDK buries, where nobody listens at a socket."""
    url = urlsplit(address)
    if url.scheme in ("unix", "http+unix"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.connect(url.path)


def why_not(address: str, cause: str) -> str:
    """Why a daemon cannot be had, and what would help."""
    if "Permission denied" in cause or "PermissionError" in cause:
        return (
            f"docker at `{address}` does not let you in: you may not open its socket\n"
            "hint: add yourself to its group (`sudo usermod -aG docker $USER`, then log in again), "
            "or start the engine with `--driver process`"
        )
    if "timed out" in cause.lower():
        return (
            f"docker at `{address}` does not answer within {HELLO_TIMEOUT_S:g} s\n"
            "hint: see whether `docker info` answers; restart docker, or start the engine with "
            "`--driver process`"
        )
    return (
        f"docker is not running at `{address}`: {cause}\n"
        "hint: start docker (`sudo systemctl start docker`, or Docker Desktop), or name its socket "
        "by `DOCKER_HOST`; or start the engine with `--driver process`"
    )


def _outward_address() -> str:
    """This machine's address on its way out; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: nobody is there
        except OSError as error:
            raise DaemonError(f"this machine has no address beside loopback: {error}") from error
        return cast("str", probe.getsockname()[0])
