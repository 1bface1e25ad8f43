"""The instances of a processing job: their folders, specs, inputs and outputs."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from intermodal_contract.channel import Channel
from intermodal_contract.processing_files import (
    ProcessingPaths,
    read_exit_message,
    write_processing_input,
)
from intermodal_engine import folders
from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode
from intermodal_engine.lifecycle.attempt import Attempt, attempts_of
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.instances import Note
from intermodal_engine.lifecycle.job_specs import JobSpecs, OutputLostError
from intermodal_engine.lifecycle.processing_request import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingRequest,
)
from intermodal_engine.lifecycle.staging import ChannelStager, Input
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore

KIND = "processing-job"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ProcessingInstances:
    """What the instances of processing jobs are made of, and what is kept of them.

    Args:
        specs: what the instances of all jobs have in common.
        stager: brings inputs in.
        keeper: keeps output folders and S3 in step.
        objects: where outputs go.
        note: tells a job in its log what is not kept.
    """

    def __init__(
        self,
        *,
        specs: JobSpecs,
        stager: ChannelStager,
        keeper: CheckpointKeeper,
        objects: ObjectStore,
        note: Note,
    ) -> None:
        self._specs = specs
        self._stager = stager
        self._keeper = keeper
        self._objects = objects
        self._note = note

    def check(self, request: ProcessingRequest) -> None:
        """Makes sure that the inputs are there, and the buckets of the outputs.

        Raises:
            DataMissingError: an input has no data.
            OutputLostError: an output's bucket is not there.
        """
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
            folders.remove(self._folder(request, host))
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

    def forget(self, request: ProcessingRequest) -> None:
        """Drops what is kept in memory of a job that has ended."""
        for _, _, folder in self._output_folders(request):
            self._keeper.forget(folder)

    def upload(self, request: ProcessingRequest, *, only_continuous: bool = False) -> None:
        """Uploads what has changed in the outputs since the last look.

        Raises:
            OutputLostError: an output's bucket is gone, or its folder leads out of the instance.
        """
        for host, output, folder in self._output_folders(request):
            if only_continuous and not output.is_continuous:
                continue
            try:
                self._sync(request, host, output, folder)
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
        return ProcessingPaths(self._specs.ml(request, host))

    def log_file(self, request: ProcessingRequest, attempt: Attempt, host: str) -> Path:
        """The file of an instance's log stream."""
        return self._specs.log_file(request, attempt, host)

    def specs(self, request: ProcessingRequest, attempt: Attempt) -> list[InstanceSpec]:
        """What runs, by host."""
        return [
            self._specs.spec(
                request,
                attempt,
                host,
                mounts=attempt.mounts_of(host),
                max_runtime_s=request.max_runtime_s,
            )
            for host in request.hosts
        ]

    def _folder(self, request: ProcessingRequest, host: str) -> Path:
        return self._specs.folder(request, host)

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
    ) -> Iterator[tuple[str, ProcessingOutput, Path]]:
        for host in request.hosts:
            for output in request.outputs:
                yield host, output, self._output_folder(request, host, output)

    def _output_folder(
        self, request: ProcessingRequest, host: str, output: ProcessingOutput
    ) -> Path:
        """On the host; one that lies in an input's folder is mounted there."""
        if request.is_in_an_input(output.local_path):
            number = request.outputs.index(output)
            return self._folder(request, host) / "outputs" / str(number)
        return self.paths(request, host).local(output.local_path)

    def _sync(
        self, request: ProcessingRequest, host: str, output: ProcessingOutput, folder: Path
    ) -> None:
        """The folder is the job's, which may have put a link in its place."""
        if not folder.is_dir():
            return
        if self._specs.leads_elsewhere(folder):
            raise OutputLostError(
                f"output `{output.name}` is not uploaded: `{output.local_path}`, or a folder above "
                "it, was replaced by a link",
                hint="write files into the folder that is there; links are never followed",
            )
        notes = self._keeper.sync(folder, output.uri)
        attempt = attempts_of(request.record.state)[-1]
        self._note(self.log_file(request, attempt, host), notes)


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
