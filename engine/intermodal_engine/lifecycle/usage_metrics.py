"""CPU and memory of instances as CloudWatch's metrics, every few seconds.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.instance import UnknownInstanceTypeError, instance_type
from intermodal_contract.statuses import TrainingJobStatus
from intermodal_engine.clock import Clock
from intermodal_engine.drivers.usage import Usage, usages
from intermodal_engine.lifecycle import (
    fleet,
    processing_instances,
    training_instances,
    transform_instances,
)
from intermodal_engine.lifecycle.fleet import is_bare
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of
from intermodal_engine.lifecycle.served import containers_of
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.settings import Settings
from intermodal_engine.store.records import Record, Records
from intermodal_engine.store.statistic_sets import SetSeries, StatisticSet, StatisticSets

SAMPLE_EVERY_S = 5.0
ENDPOINTS = "/aws/sagemaker/Endpoints"
COMPONENTS = "/aws/sagemaker/InferenceComponents"
_QUEUE_KIND = "usage-metrics"
_JOBS = (training_instances, processing_instances, transform_instances)
# Jobs of all kinds have the same words for it.
_OPEN = (TrainingJobStatus.IN_PROGRESS, TrainingJobStatus.STOPPING)


@dataclass(frozen=True, slots=True)
class _Instance:
    """One that may run: where its metrics are shown, and what it is measured against."""

    folders: tuple[Path, ...]
    namespace: str
    dimensions: tuple[Mapping[str, str], ...]
    memory_bytes: float
    member: str = ""

    @property
    def name(self) -> str:
        """No other has it."""
        return ":".join(map(str, self.folders))


class UsageMetrics:
    """Samples what the instances of endpoints and jobs use.

    Args:
        records: which there are.
        sets: keep it.
        queue: keeps the time.
        clock: tells it.
        settings: where instances' folders lie.
        loaded_models: how many models an instance of an endpoint holds; None for one of one model.
    """

    def __init__(
        self,
        records: Records,
        sets: StatisticSets,
        queue: WorkQueue,
        clock: Clock,
        settings: Settings,
        loaded_models: Callable[[str], int | None],
    ) -> None:
        self._loaded_models = loaded_models
        self._records = records
        self._sets = sets
        self._queue = queue
        self._clock = clock
        self._folder = settings.instances_folder
        self._last: dict[str, tuple[float, Usage]] = {}
        queue.register(_QUEUE_KIND, self._look)

    def begin(self) -> None:
        """Begins to sample."""
        self._queue.wake(_QUEUE_KIND, "all")

    def sample(self) -> None:
        """Takes one sample; processor time is what was used since the last one."""
        instances = {one.name: one for one in self._instances()}
        folders = {str(folder): folder for one in instances.values() for folder in one.folders}
        now, measured = self._clock.now(), usages(folders) if folders else {}
        found = {
            name: _together([measured[str(folder)] for folder in one.folders])
            for name, one in instances.items()
            if all(str(folder) in measured for folder in one.folders)
        }
        kept = [
            entry
            for name, usage in found.items()
            for entry in self._entries(instances[name], name, usage, now)
        ]
        self._last = {name: (now, usage) for name, usage in found.items()}
        if kept:
            self._sets.add(kept)

    def _look(self, _name: str) -> float:
        self.sample()
        return self._clock.now() + SAMPLE_EVERY_S

    def _entries(
        self, one: _Instance, name: str, usage: Usage, now: float
    ) -> Iterator[tuple[SetSeries, int, StatisticSet]]:
        models = self._loaded_models(one.member)
        if models is not None:
            yield from _series(one, "LoadedModelCount", "None", models, now)
        percents = {"MemoryUtilization": 100 * usage.memory_bytes / one.memory_bytes}
        if name in self._last:
            since, before = self._last[name]
            if now > since:
                percents["CPUUtilization"] = 100 * (usage.cpu_s - before.cpu_s) / (now - since)
        for metric, percent in percents.items():
            yield from _series(one, metric, "Percent", max(0.0, percent), now)

    def _instances(self) -> Iterator[_Instance]:
        for record in self._records.all(ENDPOINT.name):
            yield from self._of_fleet(record, ENDPOINTS, {"EndpointName": record.name})
        for record in self._records.all(COMPONENT.name):
            yield from self._of_fleet(record, COMPONENTS, {"InferenceComponentName": record.name})
        for kind in _JOBS:
            for record in self._records.all(kind.KIND, *_OPEN):
                yield from self._of_job(record, kind.LOG_GROUP)

    def _of_fleet(
        self, record: Record, namespace: str, owner: Mapping[str, str]
    ) -> Iterator[_Instance]:
        for member in fleet.members_of(record.state):
            deployment = deployment_of(record.state, member.generation)
            variant = {**owner, "VariantName": member.variant}
            whole = owner if record.kind == COMPONENT.name else variant
            served = deployment["variants"][member.variant]
            if is_bare(served):
                continue
            base = self._folder / record.kind / record.name / member.member_id
            memory_bytes = _memory(served["instance_type"])
            containers = {one.name: one.within(base) for one in containers_of(served)}
            yield _Instance(
                tuple(containers.values()),
                namespace,
                (whole, {**variant, "InstanceId": member.member_id}),
                memory_bytes,
                member.member_id,
            )
            for name, folder in containers.items() if len(containers) > 1 else ():
                dimensions = {**variant, "ContainerName": name}
                yield _Instance((folder,), namespace, (dimensions,), memory_bytes)

    def _of_job(self, record: Record, namespace: str) -> Iterator[_Instance]:
        folder = self._folder / record.kind / record.name
        for host in sorted(folder.iterdir()) if folder.is_dir() else ():
            dimensions = {"Host": f"{record.name}/{host.name}"}
            yield _Instance((host,), namespace, (dimensions,), _memory("local"))


def _together(usages: Sequence[Usage]) -> Usage:
    return Usage(
        cpu_s=sum(one.cpu_s for one in usages),
        memory_bytes=sum(one.memory_bytes for one in usages),
    )


def _series(
    one: _Instance, metric: str, unit: str, value: float, now: float
) -> Iterator[tuple[SetSeries, int, StatisticSet]]:
    for dimensions in one.dimensions:
        series = SetSeries(one.namespace, metric, dimensions, unit)
        yield series, int(now), StatisticSet(1, value, value, value)


def _memory(kind: str) -> float:
    """The memory of an instance of a type; this machine's for one that is not known."""
    try:
        return instance_type(kind).memory_gib * 2**30
    except UnknownInstanceTypeError:
        return instance_type("local").memory_gib * 2**30
