"""The instances of a training job: their folders, their specs, what is staged into them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from intermodal_contract import env
from intermodal_contract.channel import S3Uri
from intermodal_contract.training_files import TrainingPaths, write_training_input
from intermodal_engine import folders
from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode
from intermodal_engine.lifecycle.attempt import Attempt, attempts_of
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.instances import Note
from intermodal_engine.lifecycle.job_specs import JobSpecs, OutputLostError
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.lifecycle.staging import ChannelStager
from intermodal_engine.lifecycle.training_request import DEFAULT_CHECKPOINTS, TrainingRequest

KIND = "training-job"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class TrainingInstances:
    """What the instances of training jobs are made of, and what is kept of them.

    Args:
        specs: what the instances of all jobs have in common.
        stager: brings channels in.
        feeders: feed the channels that are pipes.
        keeper: keeps folders and S3 in step.
        cache: what else an instance sees: the warm pool's cache.
        note: tells a job in its log what is not kept.
    """

    def __init__(
        self,
        *,
        specs: JobSpecs,
        stager: ChannelStager,
        feeders: Feeders,
        keeper: CheckpointKeeper,
        cache: Callable[[TrainingRequest, str], tuple[Mount, ...]],
        note: Note,
    ) -> None:
        self._specs = specs
        self._stager = stager
        self._feeders = feeders
        self._keeper = keeper
        self._cache = cache
        self._note = note

    def check(self, request: TrainingRequest) -> None:
        """Makes sure that every channel has data.

        Raises:
            DataMissingError: a channel has no data.
        """
        self._stager.check(request.inputs)

    def stage(self, request: TrainingRequest, attempt: Attempt) -> int:
        """Makes every instance's `/opt/ml` anew, and sets the attempt's mounts.

        Returns:
            How many checkpoint files were restored.
        """
        restored = 0
        for host in request.hosts:
            paths = self.paths(request, host)
            folders.remove(self._folder(request, host))
            inputs = [one for one in request.inputs if host in request.channel_hosts(one.name)]
            write_training_input(
                paths,
                hyperparameters=request.record.request.get("HyperParameters", {}),
                channels=[one.channel for one in inputs],
                resources=request.resources(host),
                checkpoint=request.record.request.get("CheckpointConfig"),
            )
            staged: list[Mount] = []
            for one in inputs:
                hosts = request.channel_hosts(one.name)
                staged += self._stager.stage(one, paths, hosts.index(host), len(hosts))
            if request.checkpoints is not None:
                restored = self._keeper.restore(
                    request.checkpoints[0], self._checkpoint_folder(request, host)
                )
            for cache in self._cache(request, host):
                cache.source.mkdir(parents=True, exist_ok=True)
                cache.source.chmod(0o777)  # the image's user, whoever that is, writes there
            attempt.set_mounts(host, staged)
        return restored

    def feed(self, request: TrainingRequest, attempt: Attempt) -> None:
        """Begins to feed the channels that are pipes; done already for those that are fed.

        Raises:
            StartFailedError: a pipe cannot be fed.
        """
        for host in request.hosts:
            log = self.log_file(request, attempt, host)
            self._feeders.ensure(self._folder(request, host), log)

    def feed_failure(self, request: TrainingRequest) -> str | None:
        """Why a pipe could not be fed to its end, if one could not."""
        folders = (self._folder(request, host) for host in request.hosts)
        return next(filter(None, map(self._feeders.failure, folders)), None)

    def end_feeders(self, request: TrainingRequest) -> None:
        """Ends what feeds the pipes of instances that run no more, or never did."""
        for host in request.hosts:
            self._feeders.end(self._folder(request, host))

    def forget(self, request: TrainingRequest) -> None:
        """Drops what is kept in memory of an attempt that has ended."""
        for _, folder, _ in self._kept_folders(request):
            self._keeper.forget(folder)

    def upload_meanwhile(self, request: TrainingRequest, attempt: Attempt) -> None:
        """Uploads what the scripts have saved since the last look: checkpoints, half results.

        The logs name what is not kept.

        Raises:
            NoSuchBucketError: there is no bucket for them.
            OutputLostError: one of the folders leads out of the instance.
        """
        for host, folder, uri in self._kept_folders(request):
            if not folder.is_dir():
                continue
            if self._specs.leads_elsewhere(folder):
                raise OutputLostError(
                    f"`{folder.name}` is not uploaded: it, or a folder above it, was replaced by a "
                    "link",
                    hint="write files into the folder that is there; links are never followed",
                )
            notes = self._keeper.sync(folder, uri)
            self._note(self.log_file(request, attempt, host), notes)

    def _kept_folders(self, request: TrainingRequest) -> Iterator[tuple[str, Path, S3Uri]]:
        """The folders that are uploaded while the job runs: whose they are, and where to."""
        intermediate = S3Uri(request.output.bucket, f"{request.output.key}intermediate/")
        for host in request.hosts:
            if request.checkpoints is not None:
                yield host, self._checkpoint_folder(request, host), request.checkpoints[0]
            yield host, self.paths(request, host).output_intermediate, intermediate

    def describe_resumption(self, request: TrainingRequest) -> str:
        """Where a job that is started again begins, in words; nothing where it can resume."""
        if request.checkpoints is None:
            saved, remark = False, " (the request has no CheckpointConfig)"
        else:
            kept = (self._checkpoint_folder(request, host) for host in request.hosts)
            saved, remark = any(any(folders.below(folder)) for folder in kept), ""
        if saved:
            return ""
        return f" from its beginning: it had saved nothing to resume from{remark}"

    def paths(self, request: TrainingRequest, host: str) -> TrainingPaths:
        """An instance's `/opt/ml` on the host."""
        return TrainingPaths(self._specs.ml(request, host))

    def log_file(self, request: TrainingRequest, attempt: Attempt, host: str) -> Path:
        """The file of an instance's log stream."""
        return self._specs.log_file(request, attempt, host)

    def specs(self, request: TrainingRequest, attempt: Attempt) -> list[InstanceSpec]:
        """What runs in an attempt, by host."""
        record = request.record
        job = {env.TRAINING_JOB_NAME: record.name, env.TRAINING_JOB_ARN: record.arn}
        for cache in self._cache(request, request.hosts[0]):
            job[env.WARM_POOL_CACHE] = cache.target
        return [
            self._specs.spec(
                request,
                attempt,
                host,
                mounts=self._mounts(request, attempt, host),
                max_runtime_s=_runtime_left_s(request, attempt),
                environment=job,
            )
            for host in request.hosts
        ]

    def _folder(self, request: TrainingRequest, host: str) -> Path:
        return self._specs.folder(request, host)

    def _mounts(self, request: TrainingRequest, attempt: Attempt, host: str) -> tuple[Mount, ...]:
        if attempt.mounts is None:
            return ()
        mounts = list(attempt.mounts_of(host))
        if request.checkpoints is not None and request.checkpoints[1] != DEFAULT_CHECKPOINTS:
            folder = self._checkpoint_folder(request, host)
            mounts.append(Mount(folder, request.checkpoints[1], MountMode.READ_WRITE))
        return (*mounts, *self._cache(request, host))

    def _checkpoint_folder(self, request: TrainingRequest, host: str) -> Path:
        if request.checkpoints is None or request.checkpoints[1] == DEFAULT_CHECKPOINTS:
            return self.paths(request, host).checkpoints
        return self._folder(request, host) / "checkpoints"


def _runtime_left_s(request: TrainingRequest, attempt: Attempt) -> float:
    """What earlier attempts left of the limit; never nothing, so that a job can say why."""
    used = sum(one.seconds for one in attempts_of(request.record.state)[: attempt.number])
    return max(1.0, request.max_runtime_s - used)
