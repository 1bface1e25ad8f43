"""What a job's instances are made of, whatever kind of job it is: folder, log, network, variables.

What only one kind of job has (channels, checkpoints, outputs) is in the `*_instances` modules.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from intermodal_contract.errors import IntermodalError
from intermodal_engine.drivers.base import InstanceSpec, Mount
from intermodal_engine.lifecycle.attempt import Attempt
from intermodal_engine.lifecycle.instances import EngineAccess, instance_id
from intermodal_engine.lifecycle.job_sessions import subject_of
from intermodal_engine.lifecycle.limits import limits_of
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Record


class OutputLostError(IntermodalError):
    """What a job wrote cannot go where it was to go."""


class JobRequest(Protocol):
    """A view of the request of a job of any kind."""

    @property
    def record(self) -> Record:
        """The job."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All host names, in the order of the alphabet."""

    @property
    def gpus_wanted(self) -> int:
        """GPUs that AWS would give to all instances together."""

    @property
    def image(self) -> str:
        """The container image."""

    @property
    def entry_point(self) -> tuple[str, ...]:
        """The argument vector that replaces the image's entry point; empty: the image's own."""

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments to the entry point."""

    def instance_type(self, host: str) -> str:
        """The type of one instance, as the request names it."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the request sets."""

    @property
    def role_arn(self) -> str:
        """The role that the job runs under."""

    @property
    def is_isolated(self) -> bool:
        """Whether the job may reach nothing beyond its own instances."""


class JobSpecs:
    """Makes the specs of the instances of one kind of job.

    Args:
        kind: of the job's records; names their folders and networks, too.
        log_group: where CloudWatch Logs shows their output.
        settings: folders and grace times.
        log_streams: names the files that get the output.
        access: variables with which a job's code reaches the engine.
    """

    def __init__(
        self,
        kind: str,
        log_group: str,
        *,
        settings: Settings,
        log_streams: LogStreams,
        access: EngineAccess,
    ) -> None:
        self._kind = kind
        self._log_group = log_group
        self._settings = settings
        self._log_streams = log_streams
        self._access = access

    def folder(self, request: JobRequest, host: str) -> Path:
        """An instance's own folder."""
        return self._settings.instances_folder / self._kind / request.record.name / host

    def ml(self, request: JobRequest, host: str) -> Path:
        """An instance's `/opt/ml` on the host."""
        return self.folder(request, host) / "ml"

    def leads_elsewhere(self, folder: Path) -> bool:
        """Whether a job has put a link in the place of a folder in its own, or of one above it."""
        own = self._settings.instances_folder
        return folder.resolve() != own.resolve() / folder.relative_to(own)

    def log_file(
        self, request: JobRequest, attempt: Attempt, host: str, part: str | None = None
    ) -> Path:
        """The file of an instance's log stream; each attempt has streams of its own, as on AWS.

        Args:
            request: the job's.
            attempt: its begin is part of the stream's name.
            host: the instance.
            part: what else than its program speaks there.
        """
        stream = f"{request.record.name}/{host}-{int(attempt.began_at)}"
        if part is not None:
            stream = f"{stream}/{part}"
        return self._log_streams.path(self._log_group, stream)

    def spec(
        self,
        request: JobRequest,
        attempt: Attempt,
        host: str,
        *,
        mounts: tuple[Mount, ...],
        max_runtime_s: float,
        environment: Mapping[str, str] | None = None,
        network: str | None = None,
    ) -> InstanceSpec:
        """One instance of an attempt.

        Args:
            request: the job's.
            attempt: gives it its GPUs.
            host: its name.
            mounts: what it sees besides its `/opt/ml`.
            max_runtime_s: when its supervisor stops it.
            environment: variables that win over the request's.
            network: what it is on; None: the network of all the job's instances.
        """
        name = request.record.name
        owner = f"{self._kind}/{name}"
        limits = limits_of(request.instance_type(host))
        network = network or owner
        # An isolated job cannot reach the engine.
        subject = subject_of(request.record)
        access = {} if request.is_isolated else self._access(subject, request.role_arn, network)
        return InstanceSpec(
            instance_id=instance_id(self._kind, name, host, attempt.number),
            host=host,
            hosts=request.hosts,
            network=network,
            folder=self.folder(request, host),
            ml=self.ml(request, host),
            image=request.image,
            command=request.command,
            entrypoint=request.entry_point,
            environment={**request.environment, **access, **(environment or {})},
            log=self.log_file(request, attempt, host),
            mounts=mounts,
            gpus=tuple(attempt.gpus.get(host, ())),
            memory_bytes=limits.memory_bytes,
            cpus=limits.cpus,
            stop_grace_s=self._settings.stop_grace_s,
            max_runtime_s=max_runtime_s,
            outbound=not request.is_isolated,
        )
