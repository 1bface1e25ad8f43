"""What every driver does: plan (pure), start, status, stop, kill, logs, adopt.

An *instance* stands for one machine of a job or of an endpoint: one container, or one process tree,
with an `/opt/ml` of its own. A driver knows nothing of jobs, endpoints, S3 or AWS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class MountMode(StrEnum):
    """How a folder of the host appears in the instance.

    VIEW: the instance sees the content and may write, but its writes go to a layer of its own and
    never reach the source (overlay, else read-only bind, else a copy; never a hard link).
    """

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` on the host, seen at the absolute path `target` in the instance."""

    source: Path
    target: str
    mode: MountMode


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What shall run.

    Attributes:
        instance_id: unique for ever, for example `training-job/NAME/algo-1/0`.
        host: the instance's host name, for example `algo-1`.
        hosts: all host names of the group, this one among them; each must resolve.
        network: name of the group's network; its instances reach each other by host name.
        folder: the instance's own folder on the host; the driver keeps its records here
            (plan, exit record, layers). Made by the caller, empty at first start.
        ml: the host's folder of what is in `/opt/ml`; an image may have more there.
        image: image name as in the request.
        command: arguments to the image's entry point, `("train",)` or `("serve",)` as a rule: an
            image without one runs them as a program.
        environment: the job's whole environment besides what the driver adds (PATH, HOME, and,
            where `/opt/ml` had to be re-rooted, the variables that say so). Nothing of the
            engine's own environment is inherited.
        mounts: further folders, below `/opt/ml` as a rule.
        entrypoint: argument vector that replaces the image's entry point; empty: the image's own.
        log: file that gets the output, a line `<epoch ms> <text>` per line written (appended).
        ports: container ports that the engine must reach, for example `(8080,)`.
        gpus: indices of the host's GPUs that this instance may use.
        memory_bytes: main memory that it may use; None: the machine's. A process tree is not held
            to it, nor to `cpus`.
        cpus: how many cores' time it may use; None: all.
        stop_grace_s: seconds between SIGTERM and SIGKILL when it is stopped.
        max_runtime_s: seconds after which the supervisor itself stops it; None for no limit.
        outbound: whether the instance may reach anything beyond its own network.
            Not even the engine, where it may not.
    """

    instance_id: str
    host: str
    hosts: tuple[str, ...]
    network: str
    folder: Path
    ml: Path
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    entrypoint: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    ports: tuple[int, ...] = ()
    gpus: tuple[int, ...] = ()
    memory_bytes: int | None = None
    cpus: float | None = None
    stop_grace_s: float = 120.0
    max_runtime_s: float | None = None
    outbound: bool = True

    @property
    def argv(self) -> tuple[str, ...]:
        """What runs, as far as the request says: after the image's entry point, if that counts."""
        return (*self.entrypoint, *self.command)


class InstanceState(StrEnum):
    """RUNNING, EXITED (with a record), or LOST: gone without a record, with its whole tree."""

    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """How an instance is.

    Attributes:
        state: see InstanceState.
        exit_code: 0 to 255 when EXITED; 128 + signal when a signal ended it.
        signal: number of the signal that ended it, if one did.
        out_of_memory: the kernel's OOM killer ended it.
        max_runtime_exceeded: the supervisor stopped it because of `max_runtime_s`.
        started_at: epoch seconds of the program's start.
        ended_at: epoch seconds of its end.
        reason: a sentence where the driver knows more (why LOST, why it could not start).
    """

    state: InstanceState
    exit_code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False
    max_runtime_exceeded: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A started instance.

    Attributes:
        instance_id: the spec's.
        folder: the spec's; enough to adopt the instance again after a restart of the engine.
        addresses: for each port of the spec, `(host, port)` where the engine reaches it.
    """

    instance_id: str
    folder: Path
    addresses: Mapping[int, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a driver would run: complete, printable, made without any effect.

    Attributes:
        spec: what was asked for.
        argv: the program that the driver would start.
        environment: the complete environment of the job's first process.
        notes: what a person should know, for example which environment stands in for the image.
        is_prepared: whether `Driver.prepare` has nothing left to get.
        image: the image that runs, as `REPOSITORY@sha256:…`; None where none does, or while it is
            to be pulled.
    """

    spec: InstanceSpec
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    notes: tuple[str, ...] = ()
    is_prepared: bool = True
    image: str | None = None


class PlanRefusedError(Exception):
    """This driver cannot run that spec; the message says why and what would help."""


class StartFailedError(Exception):
    """The instance could not be started; the message says why. Nothing of it is left running."""


class CannotExecuteError(StartFailedError):
    """The spec's program could not be executed: its command or its environment is to blame."""


OnExit = Callable[[str], None]
"""Called once with the instance id when an instance is no longer RUNNING. From any thread."""


class Driver(Protocol):
    """Runs instances."""

    @property
    def can_mount(self) -> bool:
        """Whether an instance sees what is mounted; where not, each mount costs a copy."""

    @property
    def engine_addresses(self) -> tuple[str, ...]:
        """Addresses besides 127.0.0.1 that the engine must listen on, for instances to reach it."""

    def plan(self, spec: InstanceSpec) -> Plan:
        """Says what would run, without any effect.

        Raises:
            PlanRefusedError: the image is unknown, or the host cannot do what the spec needs.
        """

    def prepare(self, plan: Plan) -> None:
        """Gets whatever must be there before a start: an environment, an image.

        May take minutes, of which the instance's log tells. Harmless twice.

        Raises:
            StartFailedError: it cannot be had; with the cause.
        """

    def start(self, plan: Plan, on_exit: OnExit) -> Instance:
        """Starts the instance; returns as soon as its supervisor or container runs.

        Raises:
            CannotExecuteError: the spec's program is not there, or is none.
            StartFailedError: with the cause.
        """

    def status(self, instance: Instance) -> InstanceStatus:
        """How the instance is now. Answers for ended ones as long as their folder exists."""

    def stop(self, instance: Instance) -> None:
        """Begins to stop it: SIGTERM, `stop_grace_s`, SIGKILL. Returns at once; harmless twice."""

    def kill(self, instance: Instance) -> None:
        """Takes it away as a machine that fails does: SIGKILL, no grace, and it is LOST.

        Returns at once; harmless where it has ended.
        """

    def logs(self, instance: Instance) -> Path:
        """The file with its output."""

    def adopt(self, spec: InstanceSpec, on_exit: OnExit) -> Instance | None:
        """Finds an instance that an earlier engine started from the same spec.

        Returns:
            The instance, running or ended (`on_exit` is called for an ended one too), or None if no
            start of it was ever recorded.
        """

    def gateway_host(self, network: str) -> str:
        """Address under which the instances of a network reach servers on this host."""

    def close(self) -> None:
        """Lets go of threads and sockets. What runs keeps running."""
