"""A stage on which the conformance test plays with real containers."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker

from intermodal_engine.drivers.base import Driver, Instance, InstanceSpec, InstanceStatus
from intermodal_engine.drivers.containers.driver import DockerDriver
from intermodal_engine.drivers.containers.machine import DaemonError
from intermodal_engine.drivers.containers.options import ENGINE_LABEL, engine_id
from intermodal_engine.drivers.docker import Daemon, LogStream
from tests.helpers.docker_image import TAG, docker_client
from tests.helpers.driver_stages import Behaviour, Ends, make_spec, program_of, wait_for

ABSENT = "registry.test/absent:1"


class KilledError(BaseException):
    """Nothing of the engine goes on after this."""


class StagedDaemon(Daemon):
    """The real daemon, with a registry from which every pull succeeds, and accidents.

    Attributes:
        pulled: what was pulled.
        dies_at: the call before which, or (`created`, `started`) after which, the engine dies.
        has_addresses: whether another network can be made.
        breaks: how many times it breaks off while it sends output.
    """

    def __init__(self, api: docker.APIClient) -> None:
        super().__init__(api)
        self.pulled: list[str] = []
        self.dies_at: str | None = None
        self.has_addresses = True
        self.breaks = 0
        self._own_api = api

    def ensure_network(self, name: str, config: Mapping[str, Any]) -> None:
        self._die_at("ensure_network")
        if not self.has_addresses:
            raise DaemonError("could not find an available, non-overlapping IPv4 address pool")
        super().ensure_network(name, config)

    def create(self, config: Mapping[str, Any], name: str) -> str:
        self._die_at("create")
        container_id = super().create(config, name)
        self._die_at("created")
        return container_id

    def start(self, container_id: str) -> None:
        self._die_at("start")
        super().start(container_id)
        self._die_at("started")

    def logs(self, container_id: str, since: str, *, follow: bool) -> LogStream:
        stream = super().logs(container_id, since, follow=follow)
        if self.breaks:
            self.breaks -= 1
            threading.Timer(0.1, stream.close).start()
        return stream

    def _die_at(self, moment: str) -> None:
        if self.dies_at == moment:
            raise KilledError

    def pull(self, repository: str, tag: str) -> Iterator[Mapping[str, Any]]:
        self.pulled.append(f"{repository}:{tag}")
        yield {"status": "Pulling from absent", "id": tag}
        yield {
            "status": "Downloading",
            "progressDetail": {"current": 1, "total": 2},
            "id": "0a1b2c3d4e5f",
        }
        self._own_api.tag(TAG, repository, tag)
        yield {"status": "Pull complete", "progressDetail": {}, "id": "0a1b2c3d4e5f"}


class DockerStage:
    """The docker driver with real containers of the test image."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.client = docker_client()
        self.daemon: StagedDaemon
        self.ends = Ends()
        self.docker = self._make()
        self.driver: Driver = self.docker

    @property
    def driver_folder(self) -> Path:
        return self._root / "driver"

    @property
    def label(self) -> str:
        return f"{ENGINE_LABEL}={engine_id(self.driver_folder)}"

    def spec(self, number: int, behaviour: Behaviour) -> InstanceSpec:
        return self.python(number, program_of(behaviour))

    def unprepared_spec(self, number: int) -> InstanceSpec:
        return replace(self.spec(number, Behaviour()), image=ABSENT)

    def python(self, number: int, source: str) -> InstanceSpec:
        """A spec that runs this source."""
        return self.command(number, "python3", "-S", "-c", source)

    def command(self, number: int, *argv: str) -> InstanceSpec:
        """A spec that runs this program."""
        return replace(make_spec(self._root, number, argv), image=TAG)

    def run(self, spec: InstanceSpec) -> InstanceStatus:
        """Runs it to its end."""
        instance = self.driver.start(self.driver.plan(spec), self.ends)
        self.ends.wait_for(spec.instance_id)
        return self.driver.status(instance)

    def restart(self) -> None:
        self.docker.close()
        self.ends.ids.clear()
        self.docker = self._make()
        self.driver = self.docker

    def wait_until_ready(self, spec: InstanceSpec) -> None:
        wait_for(lambda: spec.log.exists() and " ready\n" in spec.log.read_text())

    def wait_until_ended(self, spec: InstanceSpec, *, within_s: float) -> None:
        self.ends.wait_for(spec.instance_id)

    def wait_until_reached(self, host: str, port: int) -> None:
        """Waits until somebody listens there."""

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((host, port)) == 0

        wait_for(listens)

    def age_s(self, spec: InstanceSpec) -> float:
        """How long ago it said that it is ready."""
        return time.time() - int(spec.log.read_text().split()[0]) / 1000

    def take_away(self, instance: Instance) -> None:
        (container,) = self.containers()
        self.client.remove_container(container, force=True)
        self.ends.wait_for(instance.instance_id)

    def containers(self) -> list[str]:
        """Ids of all that there are of this stage's."""
        found = self.client.containers(all=True, filters={"label": self.label})
        return [one["Id"] for one in found]

    def left(self) -> list[str]:
        """Everything that the daemon still has of this stage's."""
        label = {"label": self.label}
        networks = [one["Name"] for one in self.client.networks(filters=label)]
        volumes = [one["Name"] for one in self.client.volumes(filters=label)["Volumes"] or ()]
        return [*self.containers(), *networks, *volumes]

    def close(self) -> None:
        """What has ended has left nothing behind; what a failed test left running goes, too."""
        running = self.client.containers(filters={"label": self.label})
        self.docker.close()
        left = self.left() if not running else []
        for container in self.containers():
            self.client.remove_container(container, force=True)
        for network in self.client.networks(filters={"label": self.label}):
            self.client.remove_network(network["Name"])
        for volume in self.client.volumes(filters={"label": self.label})["Volumes"] or ():
            self.client.remove_volume(volume["Name"])
        if self.client.images(ABSENT):
            self.client.remove_image(ABSENT)
        self.client.close()
        assert left == []

    def _make(self) -> DockerDriver:
        self.daemon = StagedDaemon(docker.APIClient(**docker.utils.kwargs_from_env()))
        return DockerDriver(self.driver_folder, self.daemon)
