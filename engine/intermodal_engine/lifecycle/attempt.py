"""One run of a job's instances, as the job's record keeps it: GPUs, mounts, times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from intermodal_engine.drivers.base import (
    Instance,
    InstanceState,
    InstanceStatus,
    Mount,
    MountMode,
)
from intermodal_engine.drivers.supervision.processes import boot_id
from intermodal_engine.lifecycle.capacity import Grant
from intermodal_engine.store.records import Draft, Record


class JobEndedError(Exception):
    """The job has ended already; the message is its status."""


@dataclass(slots=True)
class Attempt:
    """One run of a job's instances. A job has more than one only if it was interrupted.

    Attributes:
        number: from 0.
        began_at: epoch seconds; part of its log streams' names.
        gpus: for each host the GPUs that are its alone.
        mounts: for each host what is mounted; None until it is staged.
        restored: how many checkpoint files were restored when it was.
        started_at: epoch seconds of the instances' start.
        ended_at: epoch seconds of their end.
        boot_id: the machine's boot during which it was staged, until that is of no interest.
    """

    number: int
    began_at: float
    gpus: dict[str, list[int]] = field(default_factory=dict)
    mounts: dict[str, list[dict[str, str]]] | None = None
    restored: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    boot_id: str = ""

    @property
    def is_from_earlier_boot(self) -> bool:
        """Whether the machine went down since: what was staged or written may be there in parts."""
        return self.boot_id not in ("", boot_id())

    @property
    def seconds(self) -> float:
        """How long it ran."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at

    @property
    def all_gpus(self) -> tuple[int, ...]:
        """The GPUs of all hosts."""
        return tuple(gpu for own in self.gpus.values() for gpu in own)

    def share(self, grant: Grant, hosts: Sequence[str]) -> None:
        """Deals a job's GPUs out to its hosts, as evenly as they go."""
        self.gpus = {
            host: list(grant.gpus[number :: len(hosts)]) for number, host in enumerate(hosts)
        }

    def set_mounts(self, host: str, mounts: Iterable[Mount]) -> None:
        """Keeps what is staged for one host."""
        self.boot_id = boot_id()
        self.mounts = self.mounts or {}
        self.mounts[host] = [_dump(mount) for mount in mounts]

    def unstage(self) -> None:
        """Forgets what is staged."""
        self.mounts, self.boot_id = None, ""

    def mounts_of(self, host: str) -> tuple[Mount, ...]:
        """What is staged for one host; nothing before that."""
        return tuple(_load(one) for one in (self.mounts or {}).get(host, ()))


def attempts_of(state: Mapping[str, Any]) -> list[Attempt]:
    """The attempts in a job's state, in order."""
    return [Attempt(**one) for one in state["attempts"]]


def last_attempt(record: Record) -> Attempt | None:
    """A job's present attempt, or its last one; None before it ever had its place."""
    attempts = attempts_of(record.state)
    return attempts[-1] if attempts else None


def keep_attempt(draft: Draft, attempt: Attempt) -> None:
    """Writes an attempt into its job's state, in its place."""
    draft.state["attempts"][attempt.number :] = [asdict(attempt)]


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of an attempt.

    Attributes:
        host: its host name.
        instance: what runs.
        status: how it is.
    """

    host: str
    instance: Instance
    status: InstanceStatus

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.status.state is not InstanceState.RUNNING


def _dump(mount: Mount) -> dict[str, str]:
    return {"source": str(mount.source), "target": mount.target, "mode": mount.mode.value}


def _load(mount: Mapping[str, str]) -> Mount:
    return Mount(Path(mount["source"]), mount["target"], MountMode(mount["mode"]))
