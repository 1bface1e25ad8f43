"""The life of a training job: from its request to its artifacts.

The record's secondary status says which phase it is in; `reconcile` does what is due in that phase
and moves on. Every phase may be entered again after a crash: staging starts afresh, instances are
adopted, an upload is repeated whole. So a restart of the engine is a wake of every open job.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from intermodal_contract.channel import Channel, S3Uri, parse_s3_uri
from intermodal_contract.statuses import (
    SECONDARY_MESSAGES,
    SecondaryStatus,
    TrainingJobStatus,
    check_transition,
    is_terminal,
)
from intermodal_contract.training_files import (
    InstanceGroup,
    ResourceConfig,
    TrainingPaths,
    write_training_input,
)
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import (
    Instance,
    InstanceSpec,
    InstanceState,
    Mount,
    MountMode,
    PlanRefusedError,
    StartFailedError,
)
from intermodal_engine.lifecycle.artifacts import ArtifactUploader
from intermodal_engine.lifecycle.failure import (
    Ending,
    describe_ending,
    describe_error,
    shorten,
)
from intermodal_engine.lifecycle.instances import EngineAccess, Instances, instance_id
from intermodal_engine.lifecycle.staging import ChannelStager, DataMissingError
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore, ObjectStoreError
from intermodal_engine.store.records import Draft, Record, Records

KIND = "training-job"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"

logger = logging.getLogger(__name__)


class NotStoppableError(Exception):
    """The job has ended already."""


class TrainingJobLifecycle:
    """All training jobs of one engine.

    Args:
        records: where jobs are kept.
        objects: S3, for input and output.
        log_streams: names the files that get the instances' output.
        instances: what runs.
        queue: calls `reconcile`.
        clock: stamps transitions.
        settings: folders and grace times.
        access: variables with which a job's code reaches the engine.
    """

    def __init__(
        self,
        *,
        records: Records,
        objects: ObjectStore,
        log_streams: LogStreams,
        instances: Instances,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
        access: EngineAccess,
    ) -> None:
        self._records = records
        self._log_streams = log_streams
        self._instances = instances
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._access = access
        self._stager = ChannelStager(objects)
        self._uploader = ArtifactUploader(objects, settings.artifacts_folder)
        queue.register(KIND, self.reconcile)

    def create(self, request: Mapping[str, Any], *, arn: str, tags: Mapping[str, str]) -> Record:
        """Accepts a job: from here on it is known and will be run.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = request["TrainingJobName"]
        state: dict[str, Any] = {"transitions": []}
        _begin(state, SecondaryStatus.STARTING, self._clock.now())
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=request,
            status=TrainingJobStatus.IN_PROGRESS,
            state=state,
            tags=tags,
        )
        self._queue.wake(KIND, name)
        return record

    def stop(self, name: str) -> None:
        """Asks for the job's end; it becomes Stopped when its instances have ended.

        Raises:
            RecordNotFoundError: no such job.
            NotStoppableError: it has ended.
        """
        with self._records.edit(KIND, name) as draft:
            if is_terminal(TrainingJobStatus(draft.status)):
                raise NotStoppableError(draft.status)
            if draft.status != TrainingJobStatus.STOPPING:
                self._move(draft, SecondaryStatus.STOPPING)
                _set_status(draft, TrainingJobStatus.STOPPING)
        self._queue.wake(KIND, name)

    def recover(self) -> None:
        """Looks at every job that had not ended when the engine did."""
        open_statuses = (TrainingJobStatus.IN_PROGRESS, TrainingJobStatus.STOPPING)
        for record in self._records.all(KIND, *open_statuses):
            self._queue.wake(KIND, record.name)

    def reconcile(self, name: str) -> None:
        """Does whatever is due for one job."""
        phases: dict[str, Callable[[Record], bool]] = {
            SecondaryStatus.STARTING: self._start,
            SecondaryStatus.DOWNLOADING: self._download,
            SecondaryStatus.TRAINING: self._train,
            SecondaryStatus.STOPPING: self._train,
            SecondaryStatus.UPLOADING: self._upload,
        }
        while True:
            record = self._records.find(KIND, name)
            if record is None or is_terminal(TrainingJobStatus(record.status)):
                return
            try:
                if not phases[secondary_status(record)](record):
                    return
            except _FAILURES as error:
                self._fail(record, error)

    # Phases: each does what is due and says whether to look again at once.

    def _start(self, record: Record) -> bool:
        for host in _hosts(record):
            self._instances.check(self._spec(record, host, ()))
        self._stager.check(_channels(record))
        self._advance(record, SecondaryStatus.DOWNLOADING)
        return True

    def _download(self, record: Record) -> bool:
        hosts = _hosts(record)
        mounts: dict[str, list[dict[str, str]]] = {}
        for index, host in enumerate(hosts):
            paths = self._paths(record, host)
            shutil.rmtree(paths.root.parent, ignore_errors=True)
            write_training_input(
                paths,
                hyperparameters=record.request.get("HyperParameters", {}),
                channels=_channels(record),
                resources=_resources(record, host),
                checkpoint=record.request.get("CheckpointConfig"),
            )
            staged = [
                self._stager.stage(channel, paths, index, len(hosts))
                for channel in _channels(record)
            ]
            mounts[host] = [_dump_mount(mount) for mount in staged if mount is not None]
        now = self._clock.now()
        self._advance(record, SecondaryStatus.TRAINING, mounts=mounts, training_started_at=now)
        return True

    def _train(self, record: Record) -> bool:
        """Starts, watches and, where the job is to stop, ends the instances.

        Stopping is a status of its own, but a job may be asked to stop before it ever ran: then
        there are no instances and the job is over.
        """
        stopping = record.status == TrainingJobStatus.STOPPING
        instances = self._running_group(record, start=not stopping)
        statuses = {host: self._instances.status(one) for host, one in instances.items()}
        ended = {host: one for host, one in statuses.items() if one.state != InstanceState.RUNNING}
        failed = any(one.exit_code != 0 for one in ended.values())
        if len(ended) < len(instances):
            if stopping or failed:
                for host in instances.keys() - ended.keys():
                    self._instances.stop(instances[host])
            return False
        endings = [
            Ending(host, status, self._paths(record, host), self._log_file(record, host))
            for host, status in statuses.items()
        ]
        outcome, reason = _outcome(endings, stopping=stopping)
        if outcome is None:
            self._close(record, SecondaryStatus.FAILED, reason)
            return True
        if stopping and record.state.get("mounts") is None:
            self._close(record, SecondaryStatus.STOPPED, None)
        else:
            self._advance(record, SecondaryStatus.UPLOADING, outcome=outcome)
        return True

    def _upload(self, record: Record) -> bool:
        request = record.request["OutputDataConfig"]
        output = output_uri(record)
        compressed = request.get("CompressionType", "GZIP") == "GZIP"
        hosts = [self._paths(record, host) for host in _hosts(record)]
        try:
            model = self._uploader.upload_model(hosts, output, compressed)
            self._uploader.upload_output_data(hosts, output, compressed)
        except NoSuchBucketError as error:
            raise DataMissingError(
                f"ClientError: Artifact upload failed:the bucket `{output.bucket}` of "
                f"`OutputDataConfig.S3OutputPath` does not exist"
            ) from error
        self._close(record, SecondaryStatus(record.state["outcome"]), None, model=model)
        return True

    # Instances

    def _running_group(self, record: Record, *, start: bool) -> dict[str, Instance]:
        if record.state.get("mounts") is None:
            return {}
        find = self._instances.ensure if start else self._instances.find
        found = {
            host: find(self._spec(record, host, _load_mounts(record, host)))
            for host in _hosts(record)
        }
        return {host: instance for host, instance in found.items() if instance is not None}

    def _spec(self, record: Record, host: str, mounts: tuple[Mount, ...]) -> InstanceSpec:
        request = record.request
        algorithm = request["AlgorithmSpecification"]
        entry = algorithm.get("ContainerEntrypoint")
        arguments = algorithm.get("ContainerArguments", [])
        network = f"{KIND}/{record.name}"
        paths = self._paths(record, host)
        return InstanceSpec(
            instance_id=instance_id(KIND, record.name, host, 0),
            host=host,
            hosts=_hosts(record),
            network=network,
            folder=paths.root.parent,
            ml=paths.root,
            image=algorithm["TrainingImage"],
            command=(*(entry or ["train"]), *arguments),
            environment={
                **request.get("Environment", {}),
                **self._access(network, request["RoleArn"], network),
                "TRAINING_JOB_NAME": record.name,
                "TRAINING_JOB_ARN": record.arn,
            },
            log=self._log_file(record, host),
            mounts=mounts,
            stop_grace_s=self._settings.stop_grace_s,
            max_runtime_s=request["StoppingCondition"].get("MaxRuntimeInSeconds"),
            outbound=not request.get("EnableNetworkIsolation", False),
        )

    def _paths(self, record: Record, host: str) -> TrainingPaths:
        return TrainingPaths(self._settings.instances_folder / KIND / record.name / host / "ml")

    def _log_file(self, record: Record, host: str) -> Path:
        stream = f"{record.name}/{host}-{int(record.created_at)}"
        return self._log_streams.path(LOG_GROUP, stream)

    # Transitions

    def _advance(self, record: Record, status: SecondaryStatus, **state: Any) -> None:
        """Moves on, unless a stop came in between: then that goes first."""
        with self._records.edit(KIND, record.name) as draft:
            if draft.status != record.status:
                return
            draft.state.update(state)
            self._move(draft, status)

    def _close(
        self, record: Record, ending: SecondaryStatus, reason: str | None, **state: Any
    ) -> None:
        with self._records.edit(KIND, record.name) as draft:
            draft.state.update(state)
            now = self._clock.now()
            draft.state["ended_at"] = now
            if "training_started_at" in draft.state:
                draft.state.setdefault("training_ended_at", now)
            if reason is not None:
                draft.state["failure_reason"] = shorten(reason)
            self._move(draft, ending)
            _set_status(draft, _PRIMARY[ending])

    def _fail(self, record: Record, error: Exception) -> None:
        instances = self._running_group(record, start=False)
        for instance in instances.values():
            self._instances.stop(instance)
        logger.warning("training job `%s` fails: %s", record.name, error)
        reason = describe_error(error)
        self._close(record, SecondaryStatus.FAILED, reason)

    def _move(self, draft: Draft, status: SecondaryStatus) -> None:
        now = self._clock.now()
        transitions = draft.state["transitions"]
        check_transition(SecondaryStatus(transitions[-1]["Status"]), status)
        transitions[-1]["EndTime"] = now
        _begin(draft.state, status, now)
        if status in (SecondaryStatus.UPLOADING, SecondaryStatus.STOPPING):
            draft.state.setdefault("training_ended_at", now)
        draft.note("SecondaryStatusChanged", status=status)


_FAILURES = (
    DataMissingError,
    ObjectStoreError,
    PlanRefusedError,
    StartFailedError,
    OSError,
)
"""What ends a job as Failed; anything else is a defect of the engine, and tried again."""

_PRIMARY = {
    SecondaryStatus.COMPLETED: TrainingJobStatus.COMPLETED,
    SecondaryStatus.FAILED: TrainingJobStatus.FAILED,
    SecondaryStatus.STOPPED: TrainingJobStatus.STOPPED,
    SecondaryStatus.MAX_RUNTIME_EXCEEDED: TrainingJobStatus.STOPPED,
}


def secondary_status(record: Record) -> SecondaryStatus:
    """The phase that the job is in."""
    return SecondaryStatus(record.state["transitions"][-1]["Status"])


def output_uri(record: Record) -> S3Uri:
    """Where the job's output goes; the key ends with `/`."""
    base = parse_s3_uri(record.request["OutputDataConfig"]["S3OutputPath"])
    prefix = f"{base.key.rstrip('/')}/" if base.key.strip("/") else ""
    return S3Uri(base.bucket, f"{prefix}{record.name}/output/")


def _outcome(endings: list[Ending], *, stopping: bool) -> tuple[SecondaryStatus | None, str | None]:
    """How a job ends whose instances have all ended; None for a failure, with its reason."""
    if stopping:
        return SecondaryStatus.STOPPED, None
    if any(one.status.max_runtime_exceeded for one in endings):
        return SecondaryStatus.MAX_RUNTIME_EXCEEDED, None
    for one in endings:
        if one.status.exit_code != 0:
            return None, describe_ending(one)
    return SecondaryStatus.COMPLETED, None


def _begin(state: dict[str, Any], status: SecondaryStatus, now: float) -> None:
    state["transitions"].append(
        {"Status": status.value, "StartTime": now, "StatusMessage": SECONDARY_MESSAGES[status]}
    )


def _set_status(draft: Draft, status: TrainingJobStatus) -> None:
    check_transition(TrainingJobStatus(draft.status), status)
    draft.status = status
    draft.note("StatusChanged", status=status)


def _hosts(record: Record) -> tuple[str, ...]:
    count = sum(group["InstanceCount"] for group in _groups(record))
    return tuple(sorted(f"algo-{number}" for number in range(1, count + 1)))


def _groups(record: Record) -> list[dict[str, Any]]:
    """The job's instance groups; a homogeneous cluster is one group, as the service writes it."""
    resources = record.request["ResourceConfig"]
    return resources.get("InstanceGroups") or [
        {
            "InstanceGroupName": "homogeneousCluster",
            "InstanceType": resources["InstanceType"],
            "InstanceCount": resources["InstanceCount"],
        }
    ]


def _resources(record: Record, host: str) -> ResourceConfig:
    hosts = [f"algo-{number}" for number in range(1, len(_hosts(record)) + 1)]
    groups = []
    for group in _groups(record):
        members, hosts = hosts[: group["InstanceCount"]], hosts[group["InstanceCount"] :]
        groups.append(
            InstanceGroup(group["InstanceGroupName"], group["InstanceType"], tuple(members))
        )
    mine = next(group for group in groups if host in group.hosts)
    return ResourceConfig(
        current_host=host,
        hosts=_hosts(record),
        network_interface_name="eth0",
        current_instance_type=mine.instance_type,
        current_group_name=mine.instance_group_name,
        instance_groups=tuple(groups),
    )


def _channels(record: Record) -> list[Channel]:
    mode = record.request["AlgorithmSpecification"]["TrainingInputMode"]
    return [
        Channel.from_request(entry, default_input_mode=mode)
        for entry in record.request.get("InputDataConfig", [])
    ]


def _dump_mount(mount: Mount) -> dict[str, str]:
    return {"source": str(mount.source), "target": mount.target, "mode": mount.mode.value}


def _load_mounts(record: Record, host: str) -> tuple[Mount, ...]:
    return tuple(
        Mount(Path(one["source"]), one["target"], MountMode(one["mode"]))
        for one in record.state["mounts"][host]
    )
