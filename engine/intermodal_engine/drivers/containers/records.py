"""An instance's folder: which files the docker driver keeps there, and what they say.

plan.json        what was to be started; there before anything is made (mode 0600)
container.json   the container, before it is started, and where its ports are reached, after that
supervisor.json  its first process, where that is a process of this machine
cursor.json      how far its output is in the log
limit            its time limit is over, and it is being stopped
exit.json        how it ended, or that it was lost
layers/          what it wrote over views
"""

import errno
import json
import os
from pathlib import Path, PurePosixPath
from typing import TypedDict, cast

from intermodal_engine.drivers.base import InstanceSpec, InstanceStatus
from intermodal_engine.drivers.containers.machine import ContainerState
from intermodal_engine.drivers.isolation import ML
from intermodal_engine.drivers.records import InstanceFolder, read_json
from intermodal_engine.drivers.supervision import processes
from intermodal_engine.drivers.supervision.records import ExitRecord


class StartRecord(TypedDict):
    """plan.json.

    Attributes:
        instance_id: the spec's.
        start: drawn for this start; label of the container and its volumes.
        network: the spec's.
        boot_id: the machine's; empty where it does not say.
        image: what it runs on.
        program: what was to be executed, as far as the request says.
        log: the spec's.
        ports: the spec's.
        volumes: names of the volumes that are made for it.
        stop_grace_s: the spec's.
        max_runtime_s: the spec's.
    """

    instance_id: str
    start: str
    network: str
    boot_id: str
    image: str
    program: str
    log: str
    ports: list[int]
    volumes: list[str]
    stop_grace_s: float
    max_runtime_s: float | None


class ContainerRecord(TypedDict):
    """container.json.

    Attributes:
        container_id: the daemon's.
        addresses: for each port, where the engine reaches it; None before it was started.
    """

    container_id: str
    addresses: dict[str, tuple[str, int]] | None


class ContainerFolder:
    """Reads and writes one instance's records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers = folder / "layers"
        self.cursor_file = folder / "cursor.json"
        self._plan_file = folder / "plan.json"
        self._container_file = folder / "container.json"
        self._limit_mark = folder / "limit"
        self._ends = InstanceFolder(folder)

    def read_start(self) -> StartRecord | None:
        """The recorded intent to start, if there is one."""
        return cast("StartRecord | None", read_json(self._plan_file))

    def write_start(self, record: StartRecord) -> None:
        """Records the intent to start."""
        _write_json(self._plan_file, record)

    def read_container(self) -> ContainerRecord | None:
        """The container, if one was made."""
        return cast("ContainerRecord | None", read_json(self._container_file))

    def write_container(self, record: ContainerRecord) -> None:
        """Records the container."""
        _write_json(self._container_file, record)

    def write_process(self, pid: int, container_id: str) -> None:
        """Records the container's first process, if that is one of this machine."""
        ticks = processes.start_ticks(pid)
        if ticks is not None and is_in_container(pid, container_id):
            record = {"pid": pid, "start_ticks": ticks, "boot_id": processes.boot_id()}
            _write_json(self.folder / "supervisor.json", record)

    def forget_start(self) -> None:
        """Nothing was started."""
        self._container_file.unlink(missing_ok=True)
        self._plan_file.unlink(missing_ok=True)

    def make_layer(self, upper: Path, work: Path) -> None:
        """Makes the folders of an overlay; any user of the image may write into what it shows."""
        work.mkdir(parents=True, exist_ok=True)
        upper.mkdir(exist_ok=True)
        upper.chmod(0o777)

    def mark_limit(self) -> None:
        """Records that the time limit is over; before it is stopped for that."""
        self._limit_mark.touch()

    @property
    def is_over_limit(self) -> bool:
        """Whether it was stopped because of its time limit."""
        return self._limit_mark.exists()

    def exit_status(self) -> InstanceStatus | None:
        """How it ended, None if there is no record of an end."""
        return self._ends.exit_status()

    def reserve_exit(self) -> ExitRecord:
        """Takes the room that the record of the end will need."""
        return ExitRecord(str(self.folder))

    def write_lost(self, reason: str) -> None:
        """Records that it has gone without a record of its own."""
        self._ends.write_lost(reason)


def lay_out(spec: InstanceSpec) -> None:
    """Makes the folders that are mounted on, and lets any user read what there is and write beside.

    The daemon would make them as root, for an engine that is none to stumble over. An image may run
    as whomever it likes; nobody else comes this far, since the engine's home is closed.

    Raises:
        OSError: what is to be mounted is not there.
    """
    spec.ml.mkdir(parents=True, exist_ok=True)
    for mount in spec.mounts:
        if not mount.source.exists():  # podman would make a folder there
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(mount.source))
        target = PurePosixPath(mount.target)
        if target.is_relative_to(ML):
            place = spec.ml / target.relative_to(ML)
            if not os.path.lexists(place):
                place.mkdir(parents=True)
    roots = {spec.ml, *(one.source for one in spec.mounts if spec.folder in one.source.parents)}
    for root in roots:
        for folder, _, files in os.walk(root):
            _allow(Path(folder), 0o777)
            for name in files:
                _allow(Path(folder, name), 0o444)


def unlock_layers(layers: Path) -> None:
    """Removes the closed folders that the kernel leaves in an overlay's work folder."""
    for work in layers.glob("*/work/*"):
        work.rmdir()


def runs_program(state: ContainerState) -> bool | None:
    """Whether a container's init has executed the program.

    None where that cannot be told: the init has ended, or is no process of this machine.
    """
    init = Path(f"/proc/{state.pid}")
    if not is_in_container(state.pid, state.container_id):
        return None
    try:
        children = (init / "task" / init.name / "children").read_text().split()
        own = (init / "exe").readlink()
        return any((Path("/proc") / child / "exe").readlink() != own for child in children)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return None


def _allow(path: Path, mode: int) -> None:
    status = path.lstat()
    is_link = (status.st_mode & 0o170000) == 0o120000
    if not is_link and status.st_mode & mode != mode and status.st_uid == os.geteuid():
        path.chmod(status.st_mode & 0o777 | mode)


def is_in_container(pid: int, container_id: str) -> bool:
    """Whether a process of this machine is a container's.

    The daemon may count another machine's, a virtual one's for example.
    """
    try:
        return container_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def _write_json(path: Path, content: object) -> None:
    """Replaces a file whole; what it holds is nobody else's concern."""
    temporary = path.with_suffix(".tmp")
    with os.fdopen(
        os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(content, file)
    temporary.rename(path)
