"""What a spec means in the words of docker's API. Without effects.

https://docs.docker.com/reference/api/engine/ (ContainerCreate, NetworkCreate, VolumeCreate)
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intermodal_engine.drivers.base import InstanceSpec, MountMode, PlanRefusedError
from intermodal_engine.drivers.containers.machine import Machine
from intermodal_engine.drivers.isolation import ML

ENGINE_LABEL = "io.intermodal.engine"
INSTANCE_LABEL = "io.intermodal.instance"
FOLDER_LABEL = "io.intermodal.folder"
START_LABEL = "io.intermodal.start"
NETWORK_LABEL = "io.intermodal.network"

_OPEN_FILES = 65_536
_PROCESSES = 32_768
"""As many as there are numbers for, where the kernel is not told otherwise."""
_SHM_SHARE = 2
"""Shared memory may take half the main memory, as it may on a machine of its own."""
_MOUNT_DATA_BYTES = 4000
"""The kernel takes a page of mount options."""
_UNSPEAKABLE = re.compile(r"[,:\\\n]")
"""What has a meaning of its own in an overlay's options."""
_KEEP_ALL_LOGS = {"max-size": "1000t", "max-file": "1", "compress": "false", "mode": "blocking"}
"""Said in full: what is left out, the daemon's own configuration may set."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a container and all that belongs to it are called.

    Attributes:
        engine: of the engine's home; see `engine_id`.
        container: for people; nothing is found by it.
        network: the daemon's name of the spec's network.
        start: drawn for this start alone.
    """

    engine: str
    container: str
    network: str
    start: str

    def volume(self, number: int) -> str:
        """Name of the volume of one of the spec's mounts."""
        return f"intermodal-{self.start}-{number}"


def engine_id(folder: Path) -> str:
    """An id of an engine's home, which the daemon's things carry as a label."""
    return _digest(str(folder.resolve()))


def names_of(spec: InstanceSpec, engine: str, start: str) -> Names:
    """What a start's things are called."""
    readable = _readable(spec.instance_id)
    return Names(
        engine, f"intermodal-{readable}-{start[:6]}", network_name(engine, spec.network), start
    )


def network_name(engine: str, network: str) -> str:
    """The daemon's name of a network; the same for all who join it."""
    return f"intermodal-{_readable(network)}-{_digest(engine + network)[:8]}"


def network_config(spec: InstanceSpec, engine: str, machine: Machine) -> dict[str, Any]:
    """What a spec's network is, as arguments to NetworkCreate.

    One without a way out leads to this machine all the same, whose address on it is the containers'
    gateway. Without that address nothing leads anywhere; only who has a port to reach needs it.
    """
    is_cut_off = not spec.outbound and not spec.ports and not machine.is_podman
    return {
        "driver": "bridge",
        "internal": not spec.outbound,
        "labels": {ENGINE_LABEL: engine, NETWORK_LABEL: spec.network},
        "options": {"com.docker.network.bridge.inhibit_ipv4": "true"} if is_cut_off else {},
    }


def labels_of(spec: InstanceSpec, names: Names) -> dict[str, str]:
    """By what a container and its volumes are found again."""
    return {
        ENGINE_LABEL: names.engine,
        INSTANCE_LABEL: spec.instance_id,
        FOLDER_LABEL: str(spec.folder),
        START_LABEL: names.start,
    }


@dataclass(frozen=True, slots=True)
class View:
    """An overlay that shows a folder, as a volume of the daemon's.

    Attributes:
        volume: its name.
        options: for the volume driver `local`.
        upper: folder that takes what is written.
        work: the overlay's own.
    """

    volume: str
    options: dict[str, str]
    upper: Path
    work: Path


def views_of(spec: InstanceSpec, names: Names, layers: Path) -> dict[int, View]:
    """The overlays that a spec needs, by the number of the mount; none that cannot be said."""
    views = {}
    for number, mount in enumerate(spec.mounts):
        upper, work = layers / str(number) / "upper", layers / str(number) / "work"
        options = f"lowerdir={mount.source},upperdir={upper},workdir={work}"
        is_sayable = not any(_UNSPEAKABLE.search(str(one)) for one in (mount.source, layers))
        if mount.mode is MountMode.VIEW and is_sayable and len(options) < _MOUNT_DATA_BYTES:
            volume = {"type": "overlay", "device": "overlay", "o": options}
            views[number] = View(names.volume(number), volume, upper, work)
    return views


def config_of(
    spec: InstanceSpec,
    names: Names,
    image: str,
    machine: Machine,
    *,
    laid_out: Iterable[str],
    views: dict[int, View],
    user: str | None,
    ulimits: Mapping[str, int],
) -> dict[str, Any]:
    """The body of ContainerCreate.

    Of the image's `/opt/ml`, with its own code or model, only what was laid out hides anything.

    Args:
        spec: what shall run.
        names: what it is called.
        image: the image's name or id.
        machine: where it runs.
        laid_out: names of what there is in the spec's `ml`.
        views: the volumes that there are for its views; without one, a view is read-only.
        user: `uid:gid` that it runs as; None: the image's.
        ulimits: limits of its processes; see `ulimits_for`.
    """
    limits = [{"Name": name, "Soft": limit, "Hard": limit} for name, limit in ulimits.items()]
    ports: dict[str, Any] = {f"{port}/tcp": {} for port in spec.ports}
    config: dict[str, Any] = {
        "Image": image,
        "Cmd": list(spec.command),
        "Env": [f"{name}={value}" for name, value in _environment(spec, user).items()],
        "Hostname": spec.host,
        "Labels": labels_of(spec, names),
        "ExposedPorts": ports,
        "StopTimeout": math.ceil(spec.stop_grace_s),
        "HostConfig": {
            **_host_config(spec, names, machine),
            "Mounts": _mounts(spec, laid_out, views),
            "Ulimits": limits,
        },
        "NetworkingConfig": {"EndpointsConfig": {names.network: {"Aliases": [spec.host]}}},
    }
    if spec.entrypoint:
        config["Entrypoint"] = list(spec.entrypoint)
    if user is not None:
        config["User"] = user
    return config


def check(spec: InstanceSpec, machine: Machine) -> None:
    """Checks a spec.

    Raises:
        PlanRefusedError: this daemon cannot give what it needs.
    """
    is_reached = machine.shows_containers and not machine.is_podman
    if spec.ports and not spec.outbound and not is_reached:
        raise PlanRefusedError(
            "network isolation was asked for, and what has no way out cannot be reached here: "
            "docker runs without root, in a virtual machine, or is podman\n"
            "hint: leave network isolation out, or use docker with root on Linux"
        )


def user_for(machine: Machine, uid: int, gid: int) -> str | None:
    """Who containers run as, so that the engine can remove what they wrote; None: as they like.

    Args:
        machine: where they run.
        uid: the engine's user.
        gid: its group.
    """
    if machine.is_desktop or (uid == 0 and not machine.is_rootless):
        return None
    return "0:0" if machine.is_rootless else f"{uid}:{gid}"


def ulimits_for(machine: Machine, own: Mapping[str, int], *, can_raise: bool) -> dict[str, int]:
    """Limits of a container's processes: open files, and memory that is never swapped out.

    Without any they are the daemon's own, but podman's, which are more than some machines allow.

    Args:
        machine: where they run.
        own: `nofile` and `nproc` of this process, which a daemon that may raise none has at least.
        can_raise: whether the daemon may raise them.
    """
    if can_raise:
        return {"nofile": _OPEN_FILES, "memlock": -1}
    if not machine.is_podman:
        return {}
    return {"nofile": own["nofile"], "nproc": min(own["nproc"], _PROCESSES)}


def _host_config(spec: InstanceSpec, names: Names, machine: Machine) -> dict[str, Any]:
    memory_bytes = spec.memory_bytes or machine.memory_bytes
    host: dict[str, Any] = {
        "Init": True,
        "NetworkMode": names.network,
        "LogConfig": {
            "Type": "json-file",
            "Config": {} if machine.is_podman else _KEEP_ALL_LOGS,
        },
        "ShmSize": memory_bytes // _SHM_SHARE,
    }
    if spec.memory_bytes is not None:
        host |= {"Memory": spec.memory_bytes, "MemorySwap": spec.memory_bytes}
    if spec.cpus is not None:
        host["NanoCpus"] = round(spec.cpus * 1_000_000_000)
    if spec.gpus:
        ids = [str(gpu) for gpu in spec.gpus]
        host["DeviceRequests"] = [{"DeviceIDs": ids, "Capabilities": [["gpu"]]}]
    if not machine.shows_containers:
        host["PortBindings"] = {
            f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in spec.ports
        }
    return host


def _mounts(
    spec: InstanceSpec, laid_out: Iterable[str], views: dict[int, View]
) -> list[dict[str, Any]]:
    own = {mount.target for mount in spec.mounts}
    targets = {f"{ML}/{name}": spec.ml / name for name in laid_out}
    mounts = [
        _bind(source, target, read_only=False)
        for target, source in targets.items()
        if target not in own
    ]
    for number, mount in enumerate(spec.mounts):
        if number in views:
            volume = views[number].volume
            mounts.append(
                {
                    "Type": "volume",
                    "Source": volume,
                    "Target": mount.target,
                    "VolumeOptions": {"NoCopy": True},
                }
            )
        else:
            read_only = mount.mode is not MountMode.READ_WRITE
            mounts.append(_bind(mount.source, mount.target, read_only=read_only))
    return mounts


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def _environment(spec: InstanceSpec, user: str | None) -> dict[str, str]:
    """A user whom the image does not know has no home there."""
    is_stranger = user is not None and not user.startswith("0:")
    return ({"HOME": "/tmp"} if is_stranger else {}) | dict(spec.environment)  # noqa: S108


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
