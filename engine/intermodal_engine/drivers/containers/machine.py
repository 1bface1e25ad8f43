"""What the docker driver must know of a daemon, and of what it has."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """A daemon and the machine that it runs containers on.

    Attributes:
        architecture: as images name it, for example `amd64`.
        memory_bytes: main memory.
        has_gpus: whether there are NVIDIA GPUs.
        is_rootless: the daemon is no root, its containers' root is the user that it runs as.
        is_desktop: containers run in a virtual machine of Docker Desktop's.
        is_podman: the daemon is podman, behind docker's API.
    """

    architecture: str
    memory_bytes: int
    has_gpus: bool = False
    is_rootless: bool = False
    is_desktop: bool = False
    is_podman: bool = False

    @property
    def shows_containers(self) -> bool:
        """Whether a container's own address can be reached from here."""
        return not (self.is_rootless or self.is_desktop)


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that the daemon has.

    Attributes:
        image_id: its content's, for example `sha256:…`.
        architecture: for example `amd64`.
        size_bytes: on disk.
        digests: `REPOSITORY@sha256:…` for each repository that it was pulled from or pushed to.
    """

    image_id: str
    architecture: str
    size_bytes: int = 0
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerState:
    """How a container is.

    Attributes:
        container_id: the daemon's.
        status: `created`, `running`, `exited` or the like.
        pid: of its first process on this machine; 0 if it does not run.
        exit_code: of its last end.
        is_out_of_memory: the kernel killed a process of it for want of memory.
        error: why it could not be started.
        started_at: epoch seconds; None if it never was.
        ended_at: epoch seconds; None if it has not.
        address: its own on its network.
        published: for each port, `(host, port)` where this machine has it published.
    """

    container_id: str
    status: str
    pid: int = 0
    exit_code: int = 0
    is_out_of_memory: bool = False
    error: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    address: str = ""
    published: dict[int, tuple[str, int]] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether anything of it runs."""
        return self.status in ("running", "paused", "restarting", "stopping", "removing")


class DaemonError(Exception):
    """The daemon refused, or did not answer; the message is its own, or says why."""


class NotThereError(DaemonError):
    """The daemon knows no such thing."""


class InUseError(DaemonError):
    """It cannot be done to something in that state."""


class FindImage(Protocol):
    """Looks an image up among those that the daemon has."""

    def __call__(self, name: str) -> LocalImage | None:
        """The image of that name."""
