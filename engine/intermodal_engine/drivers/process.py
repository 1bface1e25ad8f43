"""The process driver: an instance is a process tree under a supervisor of its own.

The engine may die at any moment. What it needs to find its instances again is on disk before
anything starts (records.py), liveness is a lock that the supervisor holds, and no pid is trusted
without its start time and the machine's boot id.
"""

import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

from intermodal_contract import env
from intermodal_engine.drivers import environment as environments
from intermodal_engine.drivers.base import (
    CannotExecuteError,
    Instance,
    InstanceSpec,
    InstanceState,
    InstanceStatus,
    OnExit,
    Plan,
    StartFailedError,
)
from intermodal_engine.drivers.isolation import (
    Isolation,
    copies_and_links,
    make_layers,
    mount_steps,
)
from intermodal_engine.drivers.network.choice import Networks, choose_networks
from intermodal_engine.drivers.network.place import Place, hosts_file
from intermodal_engine.drivers.network.private import RESOLV_CONF, resolver
from intermodal_engine.drivers.network.registry import NetworkError
from intermodal_engine.drivers.records import InstanceFolder, PlanRecord
from intermodal_engine.drivers.rehearsal import allowed_isolation
from intermodal_engine.drivers.requirements import check, is_alone
from intermodal_engine.drivers.spawn import Descriptors, spawn_supervisor
from intermodal_engine.drivers.supervision import processes, surroundings
from intermodal_engine.drivers.supervision.init import NOT_EXECUTED
from intermodal_engine.drivers.supervision.plan import Step, SupervisorPlan
from intermodal_engine.drivers.sweep import end_marked_processes
from intermodal_engine.drivers.watch import ExitWatch

MARKER = "INTERMODAL_INSTANCE"


class ProcessDriver:
    """Runs instances as process trees.

    Args:
        folder: the driver's own folder, for what instances share.
        isolation: how much to isolate; None finds out what the kernel allows.
        engine_port: port of the engine on 127.0.0.1, for instances with a network of their own;
            None: they share the host's network.
        resolve: finds what stands in for an image; None: what is made in the driver's own folder.
    """

    engine_addresses: tuple[str, ...] = ()

    def __init__(
        self,
        folder: Path,
        isolation: Isolation | None = None,
        engine_port: int | None = None,
        resolve: Callable[[str], environments.Environment] | None = None,
    ) -> None:
        self._folder = folder
        self._forced_isolation = isolation
        self._resolve = resolve or environments.Environments(folder / "environments").resolve
        self._engine_port = engine_port
        self._watch = ExitWatch()
        self._lock = threading.Lock()
        self._running: dict[Path, str] = {}

    @cached_property
    def isolation(self) -> Isolation:
        """What the kernel allows, found out once by starting a rehearsal."""
        if self._forced_isolation is not None:
            return self._forced_isolation
        return allowed_isolation(self._folder)

    @property
    def can_mount(self) -> bool:
        """Whether there are mount namespaces. See `Driver.can_mount`."""
        return self.isolation is not Isolation.NONE

    @cached_property
    def networks(self) -> Networks:
        """How instances are connected, found out once by making a network."""
        with self._lock:
            return choose_networks(self._folder, self.isolation, self._engine_port)

    def plan(self, spec: InstanceSpec) -> Plan:
        """Says what would run. See `Driver.plan`."""
        stand_in = self._resolve(spec.image)
        has_network = self.networks.are_private
        needed = (spec.folder, stand_in.python, Path(sys.executable).resolve())
        notes = check(spec, self.isolation, has_network=has_network, needed=needed)
        variables = environments.job_variables(spec, stand_in, os.environ)
        if self.isolation is Isolation.NONE:
            variables |= {env.BASE_DIR: str(spec.ml), env.STUDIO_LOCAL_MODE: "true"}
        notes = (*stand_in.notes, *notes)
        return Plan(spec, spec.argv, variables, notes, is_prepared=stand_in.is_ready())

    def prepare(self, plan: Plan) -> None:
        """Makes the environment that stands in for the image. See `Driver.prepare`."""
        self._resolve(plan.spec.image).prepare(plan.spec)

    def start(self, plan: Plan, on_exit: OnExit) -> Instance:
        """Starts an instance and returns once its program runs. See `Driver.start`."""
        spec = plan.spec
        folder = InstanceFolder(spec.folder)
        if folder.read_plan() is not None:
            raise StartFailedError(f"`{spec.instance_id}` was started before; adopt it instead")
        self.prepare(plan)
        alive_fd = folder.lock_alive()
        if alive_fd is None:
            raise StartFailedError(f"`{spec.instance_id}` is being started by another engine")
        try:
            place = self._place(spec)
            record = self._record(plan, folder, place)
            plan_fd = self._lay_out(spec, folder, record, place)
        except (OSError, NetworkError) as error:
            os.close(alive_fd)
            self.networks.prune()
            raise StartFailedError(f"cannot prepare `{spec.instance_id}`: {error}") from error
        descriptors = Descriptors(plan_fd, alive_fd, place.namespace_fd)
        try:
            spawned = spawn_supervisor(spec.folder, descriptors, record["marker"])
        except OSError as error:
            self.networks.prune()
            raise StartFailedError(f"cannot start a supervisor: {error}") from error
        if spawned.outcome != "started":
            self._bury(spawned.pidfd, record)
            cause = spawned.outcome or f"its supervisor died{folder.last_error()}"
            status = folder.exit_status()
            if status is not None and status.exit_code == NOT_EXECUTED:
                raise CannotExecuteError(_not_executed(spec, cause))
            raise StartFailedError(f"cannot start `{spec.instance_id}`: {cause}")
        return self._take_on(spec.folder, record, spawned.pidfd, on_exit)

    def status(self, instance: Instance) -> InstanceStatus:
        """How it is, from its folder's records. See `Driver.status`."""
        folder = InstanceFolder(instance.folder)
        status = folder.exit_status()
        if status is not None:
            return status
        with self._lock:
            is_watched = instance.folder in self._running
        if is_watched or folder.is_alive():
            return InstanceStatus(InstanceState.RUNNING)
        return self._settle(folder)

    def stop(self, instance: Instance) -> None:
        """Asks its supervisor to stop it. See `Driver.stop`."""
        self._signal(instance, signal.SIGTERM)

    def kill(self, instance: Instance) -> None:
        """Kills its supervisor, with which its whole tree ends. See `Driver.kill`."""
        self._signal(instance, signal.SIGKILL)

    def logs(self, instance: Instance) -> Path:
        """The file with its output."""
        record = InstanceFolder(instance.folder).read_plan()
        if record is None:
            raise FileNotFoundError(f"`{instance.instance_id}` was never started")
        return Path(record["supervisor"]["log"])

    def adopt(self, spec: InstanceSpec, on_exit: OnExit) -> Instance | None:
        """Finds an instance of an earlier engine by its folder's records. See `Driver.adopt`."""
        folder = InstanceFolder(spec.folder)
        record = folder.read_plan()
        if record is None or record["instance_id"] != spec.instance_id:
            return None
        while folder.exit_status() is None and folder.is_alive():
            identity = folder.wait_for_identity()
            pidfd = None if identity is None else identity.open()
            if pidfd is not None:
                return self._take_on(spec.folder, record, pidfd, on_exit)
        if folder.exit_status() is None and folder.wait_for_identity() is None:
            # That engine ended before a supervisor lived: nothing was ever run.
            folder.withdraw_plan()
            return None
        return self._take_on(spec.folder, record, None, on_exit)

    def close(self) -> None:
        """Ends the watch. What runs keeps running."""
        self._watch.close()
        if "networks" in self.__dict__:
            self.networks.close()

    def gateway_host(self, network: str) -> str:  # noqa: ARG002 (the same for all networks)
        """Address under which an instance of a network reaches the engine's port."""
        return self.networks.gateway

    def _signal(self, instance: Instance, number: signal.Signals) -> None:
        """Sends a signal to the supervisor of an instance, if it lives."""
        folder = InstanceFolder(instance.folder)
        if folder.exit_status() is not None or not folder.is_alive():
            return
        identity = folder.wait_for_identity()
        pidfd = None if identity is None else identity.open()
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return
        finally:
            os.close(pidfd)

    def _place(self, spec: InstanceSpec) -> Place:
        if is_alone(spec) and not self.networks.are_private:
            return Place(dict.fromkeys(spec.hosts, "127.0.0.1"), {}, {})
        return self.networks.join(spec)

    def _record(self, plan: Plan, folder: InstanceFolder, place: Place) -> PlanRecord:
        spec = plan.spec
        marker = f"{spec.instance_id}@{secrets.token_hex(8)}"
        has_namespaces = self.isolation is not Isolation.NONE
        steps = self._steps(spec, folder) if has_namespaces else []
        flags = self.isolation.flags
        if is_alone(spec) and place.namespace_fd is None:
            flags |= surroundings.CLONE_NEWNET
        is_mapped = self.isolation is Isolation.USER_NAMESPACES
        supervisor = SupervisorPlan(
            boot_id=processes.boot_id(),
            argv=list(plan.argv),
            environment={**plan.environment, **place.variables, MARKER: marker},
            directory=str(folder.home),
            log=str(spec.log),
            namespaces=flags,
            user_map=[os.geteuid(), os.getegid()] if is_mapped else None,
            host_name=spec.host if has_namespaces else None,
            has_network_fd=place.namespace_fd is not None,
            steps=steps,
            copies=[] if has_namespaces else copies_and_links(spec)[0],
            stop_grace_s=spec.stop_grace_s,
            max_runtime_s=spec.max_runtime_s,
        )
        return PlanRecord(
            instance_id=spec.instance_id,
            network=spec.network,
            marker=marker,
            addresses={str(port): address for port, address in place.addresses.items()},
            supervisor=supervisor,
        )

    def _steps(self, spec: InstanceSpec, folder: InstanceFolder) -> list[Step]:
        steps = mount_steps(spec, folder.hosts_file, folder.layers)
        source = resolver() if self.networks.are_private else None
        if source is not None and source != RESOLV_CONF:
            steps.insert(0, {"kind": "file", "source": str(source), "target": str(RESOLV_CONF)})
        return steps

    def _lay_out(
        self, spec: InstanceSpec, folder: InstanceFolder, record: PlanRecord, place: Place
    ) -> int:
        """Makes the instance's folders and files, and last its plan.json."""
        for path in (folder.home, folder.temporary, spec.ml, spec.log.parent):
            path.mkdir(parents=True, exist_ok=True)
        folder.hosts_file.write_text(hosts_file(place.hosts))
        make_layers(record["supervisor"]["steps"])
        if self.isolation is Isolation.NONE:
            for at, to in copies_and_links(spec)[1]:
                at.parent.mkdir(parents=True, exist_ok=True)
                at.symlink_to(to, target_is_directory=True)
        return folder.write_plan(record)

    def _take_on(
        self, folder: Path, record: PlanRecord, pidfd: int | None, on_exit: OnExit
    ) -> Instance:
        """Watches an instance; one without a pidfd has ended."""
        with self._lock:
            self._running[folder] = record["instance_id"]
        self._watch.add(pidfd, partial(self._ended, folder, record["instance_id"], on_exit))
        addresses = {int(port): (at[0], at[1]) for port, at in record["addresses"].items()}
        return Instance(record["instance_id"], folder, addresses)

    def _ended(self, folder: Path, instance_id: str, on_exit: OnExit) -> None:
        records = InstanceFolder(folder)
        if records.exit_status() is None:
            self._settle(records)
        with self._lock:
            self._running.pop(folder, None)
        self.networks.prune()
        on_exit(instance_id)

    def _settle(self, folder: InstanceFolder) -> InstanceStatus:
        """Records LOST for an instance whose supervisor is gone, once nothing of it is left."""
        record = folder.read_plan()
        if record is None:
            return InstanceStatus(InstanceState.LOST, reason="it was never started")
        end_marked_processes(MARKER, record["marker"])
        status = folder.exit_status()
        if status is None:
            folder.write_lost(f"its supervisor ended without a record{folder.last_error()}")
        return folder.exit_status() or InstanceStatus(InstanceState.LOST)

    def _bury(self, pidfd: int, record: PlanRecord) -> None:
        """Waits for a supervisor whose start failed, and leaves nothing of the tree."""
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        end_marked_processes(MARKER, record["marker"])
        self.networks.prune()


def _not_executed(spec: InstanceSpec, cause: str) -> str:
    path = spec.environment.get("PATH")
    if path is None or "/" in spec.argv[0]:
        return (
            f"{cause}\nhint: name, by its whole path, a program of the image or of a channel that "
            "may be executed; a shell script needs `/bin/sh` before it"
        )
    return f"{cause}\nhint: leave `PATH` out of the environment, which sets it to `{path}`"
