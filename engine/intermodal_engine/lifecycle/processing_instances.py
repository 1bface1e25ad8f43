"""The instances of a processing job: their folders, specs, inputs and outputs."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from intermodal_contract.channel import Channel
from intermodal_contract.errors import IntermodalError
from intermodal_contract.processing_files import (
    ProcessingPaths,
    read_exit_message,
    write_processing_input,
)
from intermodal_engine import folders
from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode, PlanRefusedError
from intermodal_engine.lifecycle.attempt import Attempt, Member, attempts_of
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.instances import EngineAccess, instance_id
from intermodal_engine.lifecycle.members import Members
from intermodal_engine.lifecycle.processing_request import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingRequest,
)
from intermodal_engine.lifecycle.staging import ChannelStager, Input
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore

KIND = "processing-job"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class OutputLostError(IntermodalError):
    """An output cannot go where it was to go."""


class ProcessingInstances:
    """Makes, finds and ends the instances of processing jobs.

    Args:
        settings: folders and grace times.
        members: what runs.
        stager: brings inputs in.
        keeper: keeps output folders and S3 in step.
        objects: where outputs go.
        log_streams: names the files that get the programs' words.
        access: variables with which a job's code reaches the engine.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        members: Members,
        stager: ChannelStager,
        keeper: CheckpointKeeper,
        objects: ObjectStore,
        log_streams: LogStreams,
        access: EngineAccess,
    ) -> None:
        self._settings = settings
        self._members = members
        self._stager = stager
        self._keeper = keeper
        self._objects = objects
        self._log_streams = log_streams
        self._access = access

    def check(self, request: ProcessingRequest, attempt: Attempt) -> None:
        """Makes sure that the job could run: image, machine, inputs, buckets of its outputs.

        Raises:
            PlanRefusedError: the driver cannot run it.
            DataMissingError: an input has no data.
            OutputLostError: an output's bucket is not there.
        """
        if not request.entry_point:
            raise PlanRefusedError(
                "`AppSpecification.ContainerEntrypoint` is missing, and no driver here can tell "
                f"the entry point of the image `{request.image}`\n"
                'hint: name it, for example `["python3", "/opt/ml/processing/input/code/run.py"]`'
            )
        self._members.check(self._specs(request, attempt))
        self._stager.check([Input(_for_folder(one)) for one in request.inputs])
        for output in request.outputs:
            try:
                self._objects.bucket(output.uri.bucket)
            except NoSuchBucketError as error:
                raise _no_bucket(output) from error

    def stage(self, request: ProcessingRequest, attempt: Attempt) -> None:
        """Makes every instance's `/opt/ml` anew, and sets the attempt's mounts."""
        for number, host in enumerate(request.hosts):
            paths = self.paths(request, host)
            folders.remove(paths.root.parent)
            write_processing_input(paths, job=request.job_config, resources=request.resources(host))
            mounts = [
                mount for one in request.inputs for mount in self._stage_input(one, request, number)
            ]
            for output in request.outputs:
                folder = self._output_folder(request, host, output)
                folder.mkdir(parents=True, exist_ok=True)
                if request.is_in_an_input(output.local_path):
                    mounts.append(Mount(folder, str(output.local_path), MountMode.READ_WRITE))
            attempt.set_mounts(host, mounts)

    def prepare(self, request: ProcessingRequest, attempt: Attempt) -> bool:
        """Gets what a start of the instances needs besides their inputs; says whether all is there.

        See `Instances.prepare`.

        Raises:
            StartFailedError: it cannot be had.
        """
        return self._members.prepare(self._specs(request, attempt))

    def ensure(self, request: ProcessingRequest, attempt: Attempt) -> list[Member]:
        """Starts the job's instances, or finds them."""
        return self._members.ensure(self._specs(request, attempt))

    def find(self, request: ProcessingRequest, attempt: Attempt | None) -> list[Member]:
        """The job's instances that were ever started."""
        if attempt is None or attempt.mounts is None:
            return []
        return self._members.find(self._specs(request, attempt))

    def stop(self, members: list[Member]) -> bool:
        """Begins to stop those that run; says whether any did."""
        return self._members.stop(members)

    def forget(self, request: ProcessingRequest, members: list[Member]) -> None:
        """Drops what is kept in memory of a job that has ended."""
        self._members.forget(members)
        for _, folder in self._output_folders(request):
            self._keeper.forget(folder)

    def upload(self, request: ProcessingRequest, *, only_continuous: bool = False) -> None:
        """Uploads what has changed in the outputs since the last look.

        Raises:
            OutputLostError: an output's bucket is gone, or its folder leads out of the instance.
        """
        for output, folder in self._output_folders(request):
            if only_continuous and not output.is_continuous:
                continue
            try:
                self._sync(request, output, folder)
            except NoSuchBucketError as error:
                raise _no_bucket(output) from error

    def exit_message(self, request: ProcessingRequest) -> str | None:
        """What the job's programs said of themselves.

        Raises:
            ExitMessageError: it is no text.
        """
        return read_exit_message([self.paths(request, host) for host in request.hosts])

    def paths(self, request: ProcessingRequest, host: str) -> ProcessingPaths:
        """An instance's `/opt/ml` on the host."""
        return ProcessingPaths(self._folder(request, host) / "ml")

    def log_file(self, request: ProcessingRequest, attempt: Attempt, host: str) -> Path:
        """The file of an instance's log stream."""
        stream = f"{request.record.name}/{host}-{int(attempt.began_at)}"
        return self._log_streams.path(LOG_GROUP, stream)

    def _folder(self, request: ProcessingRequest, host: str) -> Path:
        return self._settings.instances_folder / KIND / request.record.name / host

    def _specs(self, request: ProcessingRequest, attempt: Attempt) -> list[InstanceSpec]:
        return [self._spec(request, attempt, host) for host in request.hosts]

    def _spec(self, request: ProcessingRequest, attempt: Attempt, host: str) -> InstanceSpec:
        record = request.record
        return InstanceSpec(
            instance_id=instance_id(KIND, record.name, host, attempt.number),
            host=host,
            hosts=request.hosts,
            network=_network(request),
            folder=self._folder(request, host),
            ml=self.paths(request, host).root,
            image=request.image,
            command=request.command,
            environment={
                **request.environment,
                **self._engine_variables(request),
            },
            log=self.log_file(request, attempt, host),
            mounts=attempt.mounts_of(host),
            gpus=tuple(attempt.gpus.get(host, ())),
            stop_grace_s=self._settings.stop_grace_s,
            max_runtime_s=request.max_runtime_s,
            outbound=not request.is_isolated,
        )

    def _engine_variables(self, request: ProcessingRequest) -> Mapping[str, str]:
        """How the job's code reaches the engine; an isolated job cannot."""
        if request.is_isolated:
            return {}
        network = _network(request)
        return self._access(network, request.role_arn, network)

    def _stage_input(
        self, wanted: ProcessingInput, request: ProcessingRequest, host_number: int
    ) -> tuple[Mount, ...]:
        """Makes one input's data appear in one instance, always as a mount.

        So one input may lie in another one's folder, as scripts do in `input/code`.
        """
        hosts = request.hosts
        one = Input(_for_folder(wanted))
        folder = self._folder(request, hosts[host_number]) / "inputs" / one.name
        return self._stager.stage_at(one, folder, wanted.local_path, host_number, len(hosts))

    def _output_folders(
        self, request: ProcessingRequest
    ) -> Iterator[tuple[ProcessingOutput, Path]]:
        for host in request.hosts:
            for output in request.outputs:
                yield output, self._output_folder(request, host, output)

    def _output_folder(
        self, request: ProcessingRequest, host: str, output: ProcessingOutput
    ) -> Path:
        """On the host; one that lies in an input's folder is mounted there."""
        if request.is_in_an_input(output.local_path):
            number = request.outputs.index(output)
            return self._folder(request, host) / "outputs" / str(number)
        return self.paths(request, host).local(output.local_path)

    def _sync(self, request: ProcessingRequest, output: ProcessingOutput, folder: Path) -> None:
        """The folder is the job's, which may have put a link in its place."""
        if not folder.is_dir():
            return
        own = self._settings.instances_folder.resolve()
        if folder.resolve() != own / folder.relative_to(self._settings.instances_folder):
            raise OutputLostError(
                f"output `{output.name}` is not uploaded: `{output.local_path}`, or a folder above "
                "it, was replaced by a link",
                hint="write files into the folder that is there; links are never followed",
            )
        notes = self._keeper.sync(folder, output.uri)
        host = folder.relative_to(self._settings.instances_folder / KIND).parts[1]
        attempt = attempts_of(request.record.state)[-1]
        self._members.note(self.log_file(request, attempt, host), notes)


def _network(request: ProcessingRequest) -> str:
    return f"{KIND}/{request.record.name}"


def _for_folder(wanted: ProcessingInput) -> Channel:
    """The channel under a name that a folder can have: an `InputName` may be any text."""
    name = wanted.channel.name
    if _FOLDER_NAME.fullmatch(name):
        return wanted.channel
    digest = hashlib.sha256(name.encode()).hexdigest()
    return replace(wanted.channel, name=f"input-{digest[:16]}")


def _no_bucket(output: ProcessingOutput) -> OutputLostError:
    return OutputLostError(
        f"output upload failed: the bucket `{output.uri.bucket}` of output `{output.name}` does "
        "not exist"
    )
