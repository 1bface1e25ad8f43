"""Finds out what the kernel allows, by doing it."""

import os
import sys
import tempfile
from pathlib import Path

from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode
from intermodal_engine.drivers.isolation import Isolation, make_layers, mount_steps
from intermodal_engine.drivers.records import InstanceFolder, PlanRecord
from intermodal_engine.drivers.spawn import Descriptors, spawn_supervisor
from intermodal_engine.drivers.supervision import processes
from intermodal_engine.drivers.supervision.plan import SupervisorPlan


def allowed_isolation(folder: Path) -> Isolation:
    """The best level of which a whole start, all mounts included, succeeds in `folder`."""
    return next(level for level in Isolation if allows(level, folder))


def allows(level: Isolation, folder: Path) -> bool:
    """Whether instances in `folder` can have this level."""
    if level is Isolation.NONE:
        return True
    if level is Isolation.NAMESPACES and os.geteuid() != 0:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rehearsal-", dir=folder) as scratch:
        return rehearse(level, Path(scratch)) == "started"


def rehearse(level: Isolation, scratch: Path) -> str:
    """Starts a program that does nothing; `started`, or why it could not be."""
    records = InstanceFolder(scratch)
    source = scratch / "source"
    for path in (source, scratch / "ml", records.home):
        path.mkdir()
    records.hosts_file.write_text("127.0.0.1 localhost\n")
    spec = InstanceSpec(
        instance_id="rehearsal",
        host="algo-1",
        hosts=("algo-1",),
        network="rehearsal",
        folder=scratch,
        ml=scratch / "ml",
        image="",
        command=(sys.executable, "-I", "-S", "-c", ""),
        environment={},
        log=scratch / "log",
        mounts=(Mount(source, "/opt/ml/input/data/view", MountMode.VIEW),),
    )
    steps = mount_steps(spec, records.hosts_file, records.layers)
    make_layers(steps)
    is_mapped = level is Isolation.USER_NAMESPACES
    supervisor = SupervisorPlan(
        boot_id=processes.boot_id(),
        argv=list(spec.argv),
        environment={},
        directory=str(records.home),
        log=str(spec.log),
        namespaces=level.flags,
        user_map=[os.geteuid(), os.getegid()] if is_mapped else None,
        host_name=spec.host,
        has_network_fd=False,
        steps=steps,
        copies=[],
        stop_grace_s=0.0,
        max_runtime_s=None,
    )
    plan_fd = records.write_plan(
        PlanRecord(
            instance_id="rehearsal", network="", marker="", addresses={}, supervisor=supervisor
        )
    )
    alive_fd = records.lock_alive()
    if alive_fd is None:
        raise RuntimeError(f"{scratch} is in use")
    spawned = spawn_supervisor(scratch, Descriptors(plan_fd, alive_fd), "rehearsal")
    os.waitid(os.P_PIDFD, spawned.pidfd, os.WEXITED)
    os.close(spawned.pidfd)
    return spawned.outcome
