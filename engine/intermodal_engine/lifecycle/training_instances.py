"""The instances of a training job: their folders, their specs, what is staged into them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from intermodal_contract.training_files import TrainingPaths, write_training_input
from intermodal_engine import folders
from intermodal_engine.drivers.base import Instance, InstanceSpec, Mount, MountMode
from intermodal_engine.lifecycle.attempt import Attempt, Member, attempts_of
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.instances import EngineAccess, Instances, instance_id
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.lifecycle.staging import ChannelStager
from intermodal_engine.lifecycle.training_request import DEFAULT_CHECKPOINTS, TrainingRequest
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams

KIND = "training-job"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class TrainingInstances:
    """Makes, finds and ends the instances of training jobs.

    Args:
        settings: folders and grace times.
        instances: what runs.
        stager: brings channels in.
        feeders: feed the channels that are pipes.
        checkpoints: keeps checkpoints in S3.
        log_streams: names the files that get the output.
        access: variables with which a job's code reaches the engine.
        cache: what else an instance sees: the warm pool's cache.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        instances: Instances,
        stager: ChannelStager,
        feeders: Feeders,
        checkpoints: CheckpointKeeper,
        log_streams: LogStreams,
        access: EngineAccess,
        cache: Callable[[TrainingRequest, str], tuple[Mount, ...]],
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._instances = instances
        self._stager = stager
        self._feeders = feeders
        self._checkpoints = checkpoints
        self._log_streams = log_streams
        self._access = access

    def check(self, request: TrainingRequest, attempt: Attempt) -> None:
        """Makes sure that the job could run: image, machine, data.

        Raises:
            PlanRefusedError: the driver cannot run it.
            DataMissingError: a channel has no data.
        """
        for host in request.hosts:
            self._instances.check(self._spec(request, attempt, host))
        self._stager.check(request.inputs)

    def stage(self, request: TrainingRequest, attempt: Attempt) -> int:
        """Makes every instance's `/opt/ml` anew, and sets the attempt's mounts.

        Returns:
            How many checkpoint files were restored.
        """
        restored = 0
        for host in request.hosts:
            paths = self.paths(request, host)
            folders.remove(paths.root.parent)
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
                restored = self._checkpoints.restore(
                    request.checkpoints[0], self._checkpoint_folder(request, host)
                )
            for cache in self._cache(request, host):
                cache.source.mkdir(parents=True, exist_ok=True)
            attempt.set_mounts(host, staged)
        return restored

    def is_prepared(self, request: TrainingRequest, attempt: Attempt) -> bool:
        """Whether all that a start needs besides its inputs is there."""
        specs = (self._spec(request, attempt, host) for host in request.hosts)
        return all(map(self._instances.is_prepared, specs))

    def prepare(self, request: TrainingRequest, attempt: Attempt) -> bool:
        """Gets what a start needs besides its inputs; says whether all is there.

        See `Instances.prepare`.

        Raises:
            StartFailedError: it cannot be had.
        """
        specs = [self._spec(request, attempt, host) for host in request.hosts]
        ready = [
            self._instances.prepare(spec) for spec in specs
        ]  # of all, before one is waited for
        return all(ready)

    def ensure(self, request: TrainingRequest, attempt: Attempt) -> list[Member]:
        """Starts an attempt's instances, or finds them."""
        members = []
        for host in request.hosts:
            spec = self._spec(request, attempt, host)
            self._feeders.ensure(spec.folder, spec.log)
            members.append(self._member(host, self._instances.ensure(spec)))
        return members

    def feed_failure(self, request: TrainingRequest) -> str | None:
        """Why a pipe could not be fed to its end, if one could not."""
        folders = (self.paths(request, host).root.parent for host in request.hosts)
        return next(filter(None, map(self._feeders.failure, folders)), None)

    def end_feeders(self, request: TrainingRequest) -> None:
        """Ends what feeds the pipes of instances that run no more, or never did."""
        for host in request.hosts:
            self._feeders.end(self.paths(request, host).root.parent)

    def find(self, request: TrainingRequest, attempt: Attempt | None) -> list[Member]:
        """The instances of an attempt that were ever started."""
        if attempt is None or attempt.mounts is None:
            return []
        found = {
            host: self._instances.find(self._spec(request, attempt, host)) for host in request.hosts
        }
        return [self._member(host, one) for host, one in found.items() if one is not None]

    def stop(self, members: list[Member]) -> bool:
        """Begins to stop those that run; says whether any did."""
        running = [member for member in members if not member.has_ended]
        for member in running:
            self._instances.stop(member.instance)
        return bool(running)

    def forget(self, members: list[Member]) -> None:
        """Drops what is kept in memory of instances that have ended."""
        for member in members:
            self._instances.forget(member.instance)
            self._checkpoints.forget(member.instance.folder)

    def sync_checkpoints(self, request: TrainingRequest) -> None:
        """Uploads what the scripts have saved since the last look; the logs name what is not."""
        if request.checkpoints is None:
            return
        uri, _ = request.checkpoints
        attempt = attempts_of(request.record.state)[-1]
        for host in request.hosts:
            notes = self._checkpoints.sync(self._checkpoint_folder(request, host), uri)
            self._instances.note(self.log_file(request, attempt, host), notes)

    def has_checkpoints(self, request: TrainingRequest) -> bool:
        """Whether the script has saved anything to resume from."""
        return request.checkpoints is not None and any(
            any(folders.below(self._checkpoint_folder(request, host))) for host in request.hosts
        )

    def paths(self, request: TrainingRequest, host: str) -> TrainingPaths:
        """An instance's `/opt/ml` on the host."""
        folder = self._settings.instances_folder / KIND / request.record.name / host
        return TrainingPaths(folder / "ml")

    def log_file(self, request: TrainingRequest, attempt: Attempt, host: str) -> Path:
        """The file of an instance's log stream; each attempt has streams of its own, as on AWS."""
        stream = f"{request.record.name}/{host}-{int(attempt.began_at)}"
        return self._log_streams.path(LOG_GROUP, stream)

    def _member(self, host: str, instance: Instance) -> Member:
        return Member(host, instance, self._instances.status(instance))

    def _spec(self, request: TrainingRequest, attempt: Attempt, host: str) -> InstanceSpec:
        record = request.record
        paths = self.paths(request, host)
        return InstanceSpec(
            instance_id=instance_id(KIND, record.name, host, attempt.number),
            host=host,
            hosts=request.hosts,
            network=_network(request),
            folder=paths.root.parent,
            ml=paths.root,
            image=request.image,
            command=request.command,
            environment={
                **request.environment,
                **self._engine_variables(request),
                "TRAINING_JOB_NAME": record.name,
                "TRAINING_JOB_ARN": record.arn,
            },
            log=self.log_file(request, attempt, host),
            mounts=self._mounts(request, attempt, host),
            gpus=tuple(attempt.gpus.get(host, ())),
            stop_grace_s=self._settings.stop_grace_s,
            max_runtime_s=self._runtime_left_s(request, attempt),
            outbound=not request.is_isolated,
        )

    def _engine_variables(self, request: TrainingRequest) -> Mapping[str, str]:
        """How the job's code reaches the engine; an isolated job cannot."""
        if request.is_isolated:
            return {}
        network = _network(request)
        return self._access(network, request.role_arn, network)

    def _mounts(self, request: TrainingRequest, attempt: Attempt, host: str) -> tuple[Mount, ...]:
        if attempt.mounts is None:
            return ()
        mounts = list(attempt.mounts_of(host))
        if request.checkpoints is not None and request.checkpoints[1] != DEFAULT_CHECKPOINTS:
            folder = self._checkpoint_folder(request, host)
            mounts.append(Mount(folder, request.checkpoints[1], MountMode.READ_WRITE))
        return (*mounts, *self._cache(request, host))

    def _checkpoint_folder(self, request: TrainingRequest, host: str) -> Path:
        paths = self.paths(request, host)
        if request.checkpoints is None or request.checkpoints[1] == DEFAULT_CHECKPOINTS:
            return paths.checkpoints
        return paths.root.parent / "checkpoints"

    def _runtime_left_s(self, request: TrainingRequest, attempt: Attempt) -> float:
        """What earlier attempts left of the limit; never nothing, so that a job can say why."""
        used = sum(one.seconds for one in attempts_of(request.record.state)[: attempt.number])
        return max(1.0, request.max_runtime_s - used)


def _network(request: TrainingRequest) -> str:
    return f"{KIND}/{request.record.name}"
