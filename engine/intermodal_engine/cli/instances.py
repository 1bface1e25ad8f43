"""Which instances run on a home: a look at the records and at the instances' folders.

No engine is asked, so this works beside a running one and after a crash.
"""

from dataclasses import dataclass

from intermodal_contract.statuses import TrainingJobStatus, is_terminal
from intermodal_engine.clock import SystemClock
from intermodal_engine.drivers.records import InstanceFolder
from intermodal_engine.lifecycle import (
    fleet,
    processing_instances,
    training_instances,
    transform_instances,
)
from intermodal_engine.lifecycle.fleet_kind import FLEET_KINDS
from intermodal_engine.lifecycle.fleet_state import deployment_of
from intermodal_engine.lifecycle.served import containers_of
from intermodal_engine.settings import Settings
from intermodal_engine.store.database import Database
from intermodal_engine.store.records import Record, Records

_JOBS = (training_instances.KIND, processing_instances.KIND, transform_instances.KIND)


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """One instance whose supervisor lives.

    Attributes:
        kind: `training-job` or `endpoint`.
        name: of the job or the endpoint.
        instance: host name: `algo-1`, or the member's id; of several containers, each by its name.
        pid: its supervisor's; what happens to that happens to the whole instance.
        variant: of an endpoint.
        zone: of an endpoint.
    """

    kind: str
    name: str
    instance: str
    pid: int
    variant: str | None = None
    zone: str | None = None


def running_instances(settings: Settings) -> list[RunningInstance]:
    """All of them, jobs first."""
    database = Database(settings.database_file)
    try:
        records = Records(database, SystemClock())
        jobs = [
            one for kind in _JOBS for job in records.all(kind) for one in _of_job(settings, job)
        ]
        members = [
            one
            for kind in FLEET_KINDS
            for record in records.all(kind.name)
            for one in _of_fleet(settings, record)
        ]
    finally:
        database.close()
    return jobs + members


def _of_job(settings: Settings, record: Record) -> list[RunningInstance]:
    if is_terminal(TrainingJobStatus(record.status)):
        return []
    folder = settings.instances_folder / record.kind / record.name
    hosts = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return [
        RunningInstance(record.kind, record.name, host, pid)
        for host in hosts
        if (pid := InstanceFolder(folder / host).living_supervisor()) is not None
    ]


def _of_fleet(settings: Settings, record: Record) -> list[RunningInstance]:
    folder = settings.instances_folder / record.kind / record.name
    found = []
    for member in fleet.members_of(record.state):
        variant = deployment_of(record.state, member.generation)["variants"][member.variant]
        containers = () if fleet.is_bare(variant) else containers_of(variant)
        for own in (one.within(folder / member.member_id) for one in containers):
            pid = InstanceFolder(own).living_supervisor()
            if pid is not None:
                found.append(
                    RunningInstance(
                        record.kind, record.name, own.name, pid, member.variant, member.zone
                    )
                )
    return found
