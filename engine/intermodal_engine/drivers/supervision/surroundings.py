"""The system calls that give an instance host name, paths and processes of its own."""

# The supervisor does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH101, PTH103
from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from intermodal_engine.drivers.supervision.plan import Step, SupervisorPlan

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_LOCKED_FOLDERS = ("work", "incompat", "volatile")
_LOCKED_FLAGS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_AF_INET, _SOCK_DGRAM, _SIOCSIFFLAGS, _IFF_UP = 2, 2, 0x8914, 1


class Kernel:
    """System calls that Python's `os` lacks. Each raises OSError with what it was about."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def unshare(self, flags: int) -> None:
        """Leaves the namespaces of the host that `flags` name."""
        self._check(self._libc.unshare(flags), "unshare")

    def enter(self, fd: int) -> None:
        """Enters the namespace that an open descriptor stands for."""
        self._check(self._libc.setns(fd, 0), "setns")

    def mount_on(self, source: str, target: str, kind: str, flags: int, options: str = "") -> None:
        """Mounts, as mount(2) does."""
        arguments = (os.fsencode(part) for part in (source, target, kind))
        done = self._libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None)
        self._check(done, f"mount {kind or 'bind'} on {target}")

    def set_host_name(self, name: str) -> None:
        """Of the UTS namespace."""
        data = name.encode()
        self._check(self._libc.sethostname(data, len(data)), "sethostname")

    def signal_at_parents_death(self, number: int) -> None:
        """Asks for a signal when the parent dies."""
        self._check(self._libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")

    def become_subreaper(self) -> None:
        """Orphans below this process become its children."""
        self._check(self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")

    def raise_loopback(self) -> None:
        """Makes `lo` work in a new network namespace."""
        fd = self._libc.socket(_AF_INET, _SOCK_DGRAM, 0)
        self._check(fd, "socket")
        request = struct.pack("16sH22x", b"lo", _IFF_UP)
        self._check(self._libc.ioctl(fd, _SIOCSIFFLAGS, request), "raise lo")
        os.close(fd)

    def _check(self, result: int, what: str) -> None:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")


def leave_for_children(kernel: Kernel, plan: SupervisorPlan) -> None:
    """The supervisor's part: the namespaces that its children are born into."""
    flags = plan["namespaces"] & (CLONE_NEWUSER | CLONE_NEWPID)
    if not flags:
        return
    kernel.unshare(flags)
    if plan["user_map"] is not None:
        uid, gid = plan["user_map"]
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")


def enter(kernel: Kernel, plan: SupervisorPlan, network_fd: int) -> None:
    """Init's part: everything else."""
    flags = plan["namespaces"]
    if not flags:
        return
    kernel.unshare(flags & (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET))
    if flags & CLONE_NEWNET:
        kernel.raise_loopback()
    if plan["has_network_fd"]:
        kernel.enter(network_fd)
        os.close(network_fd)
    if plan["host_name"] is not None:
        kernel.set_host_name(plan["host_name"])
    kernel.mount_on("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount_all(kernel, plan)


def unlock_layers(plan: SupervisorPlan) -> None:
    """Lets everybody who owns the instance remove its folder.

    The kernel leaves folders without any permission in an overlay's work folder.
    """
    for step in plan["steps"]:
        folder = step.get("work")
        for name in _LOCKED_FOLDERS if folder is not None else ():
            folder = f"{folder}/{name}"
            try:
                os.chmod(folder, 0o700)
            except FileNotFoundError:
                break


def _mount_all(kernel: Kernel, plan: SupervisorPlan) -> None:
    """Sources are opened first: an overlay on /opt may hide what lies below it."""
    opened = [_open_source(step) for step in plan["steps"]]
    extra = "userxattr," if plan["user_map"] is not None else ""
    for step, fd in zip(plan["steps"], opened, strict=True):
        source = f"/proc/self/fd/{fd}"
        if step["kind"] == "file":
            kernel.mount_on(source, step["target"], "", _MS_BIND)
            continue
        os.makedirs(step["target"], exist_ok=True)
        _mount(kernel, step, source, extra)
    for fd in opened:
        if fd >= 0:
            os.close(fd)


def _open_source(step: Step) -> int:
    return os.open(step["source"], os.O_PATH | os.O_CLOEXEC) if "source" in step else -1


def _mount(kernel: Kernel, step: Step, source: str, extra: str) -> None:
    kind, target = step["kind"], step["target"]
    if kind == "proc":
        kernel.mount_on("proc", target, "proc", _LOCKED_FLAGS)
    elif kind == "tmpfs":
        kernel.mount_on("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    elif kind == "bind":
        _bind(kernel, source, target, read_only=step["read_only"])
    else:
        try:
            _overlay(kernel, source, step, extra)
        except OSError:
            if kind != "view":
                raise
            _bind(kernel, source, target, read_only=True)


def _bind(kernel: Kernel, source: str, target: str, *, read_only: bool) -> None:
    kernel.mount_on(source, target, "", _MS_BIND | _MS_REC)
    if read_only:
        # A user namespace may not drop the flags that the host set on this mount.
        kept = os.statvfs(target).f_flag & _LOCKED_FLAGS
        kernel.mount_on("none", target, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _overlay(kernel: Kernel, source: str, step: Step, extra: str) -> None:
    """The lower layer goes by descriptor, so that no `,` or `:` in its path needs an escape.

    `volatile`: the layer is thrown away with the instance, so its end must not wait for a sync.
    """
    upper = os.open(step["upper"], os.O_PATH | os.O_CLOEXEC)
    work = os.open(step["work"], os.O_PATH | os.O_CLOEXEC)
    layers = f"lowerdir={source},upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work}"
    try:
        kernel.mount_on("overlay", step["target"], "overlay", 0, f"{extra}volatile,{layers}")
    finally:
        os.close(upper)
        os.close(work)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())
    os.close(fd)
