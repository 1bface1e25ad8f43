"""How much of a machine of its own an instance gets here, and which mounts that takes."""

from enum import StrEnum
from pathlib import Path, PurePosixPath

from intermodal_engine.drivers.base import InstanceSpec, MountMode
from intermodal_engine.drivers.supervision import surroundings
from intermodal_engine.drivers.supervision.plan import Step

ML = PurePosixPath("/opt/ml")
_OPT = Path("/opt")


class Isolation(StrEnum):
    """What the kernel allows the engine.

    NAMESPACES: as root, everything. USER_NAMESPACES: without root, everything but a network of its
    own that reaches anything. NONE: nothing; paths are re-rooted and ports handed out.
    """

    NAMESPACES = "namespaces"
    USER_NAMESPACES = "user-namespaces"
    NONE = "none"

    @property
    def flags(self) -> int:
        """The namespaces, as flags of clone(2)."""
        if self is Isolation.NONE:
            return 0
        own = (
            surroundings.CLONE_NEWNS
            | surroundings.CLONE_NEWUTS
            | surroundings.CLONE_NEWIPC
            | surroundings.CLONE_NEWPID
        )
        return own | (surroundings.CLONE_NEWUSER if self is Isolation.USER_NAMESPACES else 0)


def mount_steps(spec: InstanceSpec, hosts_file: Path, layers: Path) -> list[Step]:
    """What to mount, in order. Pure, save for a look whether the host has `/opt/ml`.

    `/opt/ml` must exist to be mounted on. A host that lacks it keeps lacking it: the instance sees
    an overlay of `/opt`, and what is below `/opt` and belongs to the instance is put back.
    """
    steps: list[Step] = []
    if not Path(ML).is_dir():
        steps.append(_layered("overlay", _OPT, str(_OPT), layers / "opt"))
        if _OPT in spec.folder.parents:
            steps.append(_bind(spec.folder, str(spec.folder), read_only=False))
    steps.append(_bind(spec.ml, str(ML), read_only=False))
    for number, mount in enumerate(spec.mounts):
        if mount.mode is MountMode.VIEW:
            layer = layers / str(number)
            steps.append(_layered("view", mount.source, mount.target, layer))
        else:
            read_only = mount.mode is MountMode.READ_ONLY
            steps.append(_bind(mount.source, mount.target, read_only=read_only))
    steps.append({"kind": "file", "source": str(hosts_file), "target": "/etc/hosts"})
    steps.append({"kind": "tmpfs", "target": "/dev/shm"})  # noqa: S108 (the instance's own)
    steps.append({"kind": "proc", "target": "/proc"})
    return steps


def copies_and_links(spec: InstanceSpec) -> tuple[list[list[str]], list[tuple[Path, Path]]]:
    """What stands for mounts where there are none: folders to copy, and links `(at, to)`.

    A folder that the instance may write through is a link; every other one is a copy, since through
    a link its writes would reach the source.
    """
    copies: list[list[str]] = []
    links: list[tuple[Path, Path]] = []
    for mount in spec.mounts:
        at = spec.ml / PurePosixPath(mount.target).relative_to(ML)
        if mount.mode is MountMode.READ_WRITE:
            links.append((at, mount.source))
        else:
            copies.append([str(mount.source), str(at)])
    return copies, links


def make_layers(steps: list[Step]) -> None:
    """Makes the folders that overlays write to."""
    for step in steps:
        for layer in (step.get("upper"), step.get("work")):
            if layer is not None:
                Path(layer).mkdir(parents=True, exist_ok=True)


def _bind(source: Path, target: str, *, read_only: bool) -> Step:
    return {"kind": "bind", "source": str(source), "target": target, "read_only": read_only}


def _layered(kind: str, source: Path, target: str, layer: Path) -> Step:
    return {
        "kind": kind,
        "source": str(source),
        "target": target,
        "upper": str(layer / "upper"),
        "work": str(layer / "work"),
    }
