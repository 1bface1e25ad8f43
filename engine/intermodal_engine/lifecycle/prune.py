"""Frees what ended jobs left behind: instance folders, unpacked models, logs, environments.

Records, events, objects and whatever an open job or endpoint uses are never touched. Works beside
a running engine, since what has ended never changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.statuses import (
    JobStatus,
    ProcessingJobStatus,
    TrainingJobStatus,
    TransformJobStatus,
    is_terminal,
)
from intermodal_engine import folders
from intermodal_engine.drivers.environment_build import unused_environments
from intermodal_engine.lifecycle import (
    processing_instances,
    training_instances,
    transform_instances,
)
from intermodal_engine.lifecycle.fleet_kind import FLEET_KINDS
from intermodal_engine.lifecycle.served import model_folders
from intermodal_engine.settings import Settings
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Record, Records

SETTLING_S = 3600.0
"""Younger leftovers may belong to something that is just being made."""

_JOBS = (
    (training_instances.KIND, training_instances.LOG_GROUP, TrainingJobStatus),
    (processing_instances.KIND, processing_instances.LOG_GROUP, ProcessingJobStatus),
    (transform_instances.KIND, transform_instances.LOG_GROUP, TransformJobStatus),
)
"""Each kind of job, its log group, and its statuses."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """One thing that was, or would be, removed.

    Attributes:
        what: `instance`, `model`, `log`, `scratch` or `environment`.
        path: where it lay.
        size_bytes: what it took on disk.
    """

    what: str
    path: Path
    size_bytes: int


def prune(
    settings: Settings, records: Records, *, now: float, older_than_s: float, dry_run: bool = False
) -> list[Pruned]:
    """Removes what ended at least `older_than_s` ago.

    Args:
        settings: where things lie.
        records: what is known.
        now: epoch seconds.
        older_than_s: age since a job's end, in seconds.
        dry_run: only say what would go.

    Returns:
        What went, in the order of its going.
    """
    before = now - older_than_s
    candidates = [
        *_instance_folders(settings, records, before),
        *_models(settings, records, min(before, now - SETTLING_S)),
        *_scratch(settings, min(before, now - SETTLING_S)),
        *_logs(settings, records, before),
        *(
            ("environment", path)
            for path in unused_environments(settings.environments_folder, before)
        ),
    ]
    pruned = [Pruned(what, path, _size_bytes(path)) for what, path in candidates]
    for one in () if dry_run else pruned:
        if one.path.is_dir():
            folders.remove(one.path)
        else:
            one.path.unlink(missing_ok=True)
    return pruned


def _instance_folders(
    settings: Settings, records: Records, before: float
) -> Iterator[tuple[str, Path]]:
    for kind, _, statuses in _JOBS:
        for folder in _children(settings.instances_folder / kind):
            if _has_ended(records.find(kind, folder.name), statuses, before):
                yield "instance", folder
    for fleet_kind in FLEET_KINDS:
        for folder in _children(settings.instances_folder / fleet_kind.name):
            if records.find(fleet_kind.name, folder.name) is None and _is_older(folder, before):
                yield "instance", folder


def _models(settings: Settings, records: Records, before: float) -> Iterator[tuple[str, Path]]:
    used = {
        folder
        for kind in FLEET_KINDS
        for record in records.all(kind.name)
        for deployment in record.state["deployments"].values()
        for variant in deployment["variants"].values()
        for folder in model_folders(variant)
    }
    for folder in _children(settings.models_folder):
        if str(folder) not in used and _is_older(folder, before):
            yield "model", folder


def _scratch(settings: Settings, before: float) -> Iterator[tuple[str, Path]]:
    for path in _children(settings.artifacts_folder):
        if _is_older(path, before):
            yield "scratch", path


def _logs(settings: Settings, records: Records, before: float) -> Iterator[tuple[str, Path]]:
    log_streams = LogStreams(settings.logs_folder)
    for kind, group, statuses in _JOBS:
        for stream in log_streams.streams(group) if group in log_streams.groups() else ():
            job = stream.name.partition("/")[0]
            if _has_ended(records.find(kind, job), statuses, before):
                yield "log", stream.path
    for fleet_kind in FLEET_KINDS:
        for group in log_streams.groups(fleet_kind.log_group_prefix):
            name = group.removeprefix(fleet_kind.log_group_prefix)
            if records.find(fleet_kind.name, name) is not None:
                continue
            for stream in log_streams.streams(group):
                if stream.modified_at <= before:
                    yield "log", stream.path


def _has_ended(
    record: Record | None,
    statuses: type[JobStatus],
    before: float,
) -> bool:
    """Whether a job ended before that time; one without a record was never accepted."""
    if record is None:
        return True
    return is_terminal(statuses(record.status)) and record.modified_at <= before


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_older(path: Path, before: float) -> bool:
    return path.lstat().st_mtime <= before


def _size_bytes(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    return sum(one.lstat().st_blocks * 512 for one, _ in folders.below(path))
