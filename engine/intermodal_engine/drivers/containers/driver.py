"""The docker driver: an instance is a container, which the daemon runs on when the engine dies.

Containers are found again by their labels. What the engine needs to know of them is on disk before
anything is made (records.py), and a container is removed only when its end is on disk, too.
"""

import logging
import os
import re
import resource
import secrets
import threading
import time
from functools import partial
from pathlib import Path

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
from intermodal_engine.drivers.containers import options
from intermodal_engine.drivers.containers.follower import (
    Follower,
    is_not_executed,
    not_executed,
)
from intermodal_engine.drivers.containers.image_store import ImageStore
from intermodal_engine.drivers.containers.images import digest_path
from intermodal_engine.drivers.containers.machine import ContainerState, DaemonError, InUseError
from intermodal_engine.drivers.containers.networks import Networks
from intermodal_engine.drivers.containers.options import Names, View
from intermodal_engine.drivers.containers.orphans import find_orphans
from intermodal_engine.drivers.containers.records import (
    ContainerFolder,
    StartRecord,
    lay_out,
    runs_program,
)
from intermodal_engine.drivers.docker import Daemon
from intermodal_engine.drivers.supervision.processes import boot_id

_END_S = 5.0
"""How long a container without any program may take to say how it ended."""
_LOOK_S = 0.01
"""How often to look meanwhile; nothing tells when a process executes another program."""
_CLOSE_S = 10.0
"""How long what is being removed may take."""
_NOWHERE = ("127.0.0.1", 0)
"""Of what has ended already: no connection, and never one to another's server."""
_CANNOT_MOUNT = "failed to mount local volume"
_CANNOT_RAISE = "error setting rlimit"
_CANNOT_EXECUTE = re.compile(r'exec: \\?"(?P<program>[^"\\]+)\\?": (?P<cause>[^:]+)')
"""What the daemon says where it finds out itself."""

_log = logging.getLogger(__name__)


class DockerDriver:
    """Runs instances as containers.

    Args:
        folder: the driver's own folder; names the engine to the daemon.
        daemon: runs them.

    Raises:
        DaemonError: it does not answer, or has no way from containers to this machine.
    """

    can_mount = True

    def __init__(self, folder: Path, daemon: Daemon) -> None:
        self._daemon = daemon
        self._engine = options.engine_id(folder)
        self._user = options.user_for(daemon.machine, os.geteuid(), os.getegid())
        self._gateway = daemon.gateway()
        self._images = ImageStore(daemon)
        self._networks = Networks(daemon, self._engine)
        self._followers: dict[str, Follower] = {}
        self._starting: set[str] = set()
        self._can_raise_limits = not daemon.machine.is_rootless
        self._lock = threading.Lock()
        orphans = find_orphans(daemon, self._engine)
        self._tidying = threading.Thread(target=orphans.remove, args=(daemon, self._networks))
        self._tidying.start()

    @property
    def engine_addresses(self) -> tuple[str, ...]:
        """See `Driver.engine_addresses`."""
        return () if self._daemon.machine.is_desktop else (self._gateway,)

    def gateway_host(self, network: str) -> str:  # noqa: ARG002 (the same for all networks)
        """Address under which an instance of a network reaches the engine's port."""
        return self._gateway

    def plan(self, spec: InstanceSpec) -> Plan:
        """Says what would run. See `Driver.plan`."""
        options.check(spec, self._daemon.machine)
        choice = self._images.choose(spec.image)
        return Plan(
            spec,
            spec.argv,
            dict(spec.environment),
            choice.notes,
            is_prepared=choice.image is not None,
            image=digest_path(choice),
        )

    def prepare(self, plan: Plan) -> None:
        """Pulls the image. See `Driver.prepare`."""
        self._images.get(plan.spec)

    def start(self, plan: Plan, on_exit: OnExit) -> Instance:
        """Starts the container and returns once its program runs. See `Driver.start`."""
        spec, folder = plan.spec, ContainerFolder(plan.spec.folder)
        if folder.read_start() is not None:
            raise StartFailedError(f"`{spec.instance_id}` was started before; adopt it instead")
        image = self._images.get(spec)
        names = options.names_of(spec, self._engine, secrets.token_hex(8))
        views = options.views_of(spec, names, folder.layers)
        record = _start_record(spec, names, image, views)
        self._starting.add(spec.instance_id)
        try:
            lay_out(spec)
            folder.write_start(record)
            self._networks.join(spec, names.start)
            state = self._launch(spec, names, record, views)
            instance = self._take_on(folder, record, state, on_exit)
            self._make_sure_that_it_runs(folder, instance, state)
        except (OSError, DaemonError) as error:
            self._undo(folder, record)
            raise _start_error(spec, image, str(error)) from error
        finally:
            self._starting.discard(spec.instance_id)
        return instance

    def status(self, instance: Instance) -> InstanceStatus:
        """How it is, from its folder's records. See `Driver.status`."""
        folder = ContainerFolder(instance.folder)
        with self._lock:
            is_followed = instance.instance_id in self._followers
        status = folder.exit_status()
        if status is not None:
            return status
        record = folder.read_start()
        if is_followed or (record is not None and self._find(folder, record) is not None):
            return InstanceStatus(InstanceState.RUNNING)
        return InstanceStatus(InstanceState.LOST, reason="its container is gone")

    def stop(self, instance: Instance) -> None:
        """Has the daemon stop it. See `Driver.stop`."""
        with self._lock:
            follower = self._followers.get(instance.instance_id)
        if follower is not None:
            follower.stop()

    def kill(self, instance: Instance) -> None:
        """Has the daemon remove it while it runs. See `Driver.kill`."""
        with self._lock:
            follower = self._followers.get(instance.instance_id)
        if follower is not None:
            follower.kill()

    def logs(self, instance: Instance) -> Path:
        """The file with its output."""
        record = ContainerFolder(instance.folder).read_start()
        if record is None:
            raise FileNotFoundError(f"`{instance.instance_id}` was never started")
        return Path(record["log"])

    def adopt(self, spec: InstanceSpec, on_exit: OnExit) -> Instance | None:
        """Finds a container of an earlier engine. See `Driver.adopt`.

        What was made and never started is removed: nothing of it has run.
        """
        folder = ContainerFolder(spec.folder)
        record = folder.read_start()
        if record is None or record["instance_id"] != spec.instance_id:
            return None
        if folder.exit_status() is not None:
            threading.Thread(target=on_exit, args=(spec.instance_id,), daemon=True).start()
            return _instance(folder, record)
        state = self._find(folder, record)
        if state is not None and state.status == "created":
            state = self._started_meanwhile(state)
            if state is None:
                self._undo(folder, record)
                return None
        if state is None and folder.read_container() is None:
            folder.forget_start()
            return None
        self._networks.keep(record["network"], record["start"])
        return self._take_on(folder, record, state, on_exit)

    def close(self) -> None:
        """Ends the watch. What runs keeps running."""
        with self._lock:
            followers = list(self._followers.values())
        for follower in followers:
            follower.close()
        give_up_at = time.monotonic() + _CLOSE_S
        for follower in followers:
            follower.join(max(0.0, give_up_at - time.monotonic()))
        self._tidying.join()
        self._daemon.close()

    def _launch(
        self, spec: InstanceSpec, names: Names, record: StartRecord, views: dict[int, View]
    ) -> ContainerState:
        """Makes and starts the container, without what the daemon turns out to be unable to give.

        Views are read-only then, limits of a process those of the daemon's own.
        """
        while True:
            can_raise = self._can_raise_limits  # another start may find out meanwhile
            try:
                return self._run(spec, names, record, views, can_raise=can_raise)
            except DaemonError as error:
                if views and _CANNOT_MOUNT in str(error):
                    views = {}
                elif can_raise and _CANNOT_RAISE in str(error):
                    self._can_raise_limits = False
                else:
                    raise
                _log.info("docker cannot do all that `%s` needs: %s", spec.instance_id, error)
            self._discard(record)

    def _run(
        self,
        spec: InstanceSpec,
        names: Names,
        record: StartRecord,
        views: dict[int, View],
        *,
        can_raise: bool,
    ) -> ContainerState:
        folder = ContainerFolder(spec.folder)
        labels = options.labels_of(spec, names)
        for view in views.values():
            folder.make_layer(view.upper, view.work)
            self._daemon.create_volume(view.volume, view.options, labels)
        config = options.config_of(
            spec,
            names,
            record["image"],
            self._daemon.machine,
            laid_out=sorted(one.name for one in spec.ml.iterdir()),
            views=views,
            user=self._user,
            ulimits=options.ulimits_for(self._daemon.machine, _own_limits(), can_raise=can_raise),
        )
        container_id = self._daemon.create(config, names.container)
        folder.write_container({"container_id": container_id, "addresses": None})
        self._daemon.start(container_id)
        state = self._daemon.state(container_id)
        if state is None:
            raise DaemonError("its container was removed at once")
        return state

    def _take_on(
        self,
        folder: ContainerFolder,
        record: StartRecord,
        state: ContainerState | None,
        on_exit: OnExit,
    ) -> Instance:
        """Follows a container to its end; one without a state is gone."""
        known = folder.read_container()
        if state is not None:
            if known is None or known["addresses"] is None:
                addresses = {str(port): self._address(state, port) for port in record["ports"]}
                known = {"container_id": state.container_id, "addresses": addresses}
                folder.write_container(known)
            folder.write_process(state.pid, state.container_id)
        container_id = known["container_id"] if known is not None else ""
        follower = Follower(
            self._daemon,
            folder,
            record,
            container_id,
            on_end=partial(self._ended, folder, record, on_exit),
            clean_up=partial(self._clean_up, record),
        )
        with self._lock:
            self._followers[record["instance_id"]] = follower
        follower.begin(None if state is None else state.started_at)
        return _instance(folder, record)

    def _make_sure_that_it_runs(
        self, folder: ContainerFolder, instance: Instance, state: ContainerState
    ) -> None:
        """The daemon starts an init, which executes the program: whether it could, shows soon.

        Raises:
            CannotExecuteError: it could not.
        """
        with self._lock:
            follower = self._followers.get(instance.instance_id)
        give_up_at = time.monotonic() + _END_S
        while follower is not None and not self._runs_program(state):
            if follower.has_ended.wait(_LOOK_S) or time.monotonic() > give_up_at:
                break
        status = folder.exit_status()
        if status is not None and is_not_executed(status.reason):
            raise CannotExecuteError(status.reason)

    def _runs_program(self, state: ContainerState) -> bool:
        """Whether a container's program was executed; believed where nobody here can tell."""
        known = runs_program(state) if state.is_running else False
        if known is None:
            now = self._daemon.state(state.container_id)
            return now is not None and now.is_running
        return known

    def _ended(self, folder: ContainerFolder, record: StartRecord, on_exit: OnExit) -> None:
        status = folder.exit_status()
        is_told_by_start = record["instance_id"] in self._starting
        if status is None or not (is_told_by_start and is_not_executed(status.reason)):
            on_exit(record["instance_id"])

    def _clean_up(self, record: StartRecord) -> None:
        """Removes what is left of an ended container, or leaves it to the next engine."""
        try:
            self._discard(record)
            self._networks.leave(record["network"], record["start"])
        except DaemonError as error:
            _log.warning("the container of `%s` stays for now: %s", record["instance_id"], error)
        with self._lock:
            self._followers.pop(record["instance_id"], None)

    def _undo(self, folder: ContainerFolder, record: StartRecord) -> None:
        """Leaves nothing of a start that failed."""
        self._clean_up(record)
        folder.forget_start()

    def _discard(self, record: StartRecord) -> None:
        for container_id, _ in self._daemon.containers(f"{options.START_LABEL}={record['start']}"):
            self._daemon.remove(container_id, force=True)
        for volume in record["volumes"]:
            self._daemon.remove_volume(volume)

    def _started_meanwhile(self, state: ContainerState) -> ContainerState | None:
        """A container that was made: None, unless the daemon was just about to start it."""
        try:
            self._daemon.remove(state.container_id, force=False)
        except InUseError:
            return self._daemon.state(state.container_id)
        return None

    def _find(self, folder: ContainerFolder, record: StartRecord) -> ContainerState | None:
        known = folder.read_container()
        if known is not None:
            return self._daemon.state(known["container_id"])
        found = self._daemon.containers(f"{options.START_LABEL}={record['start']}")
        return self._daemon.state(found[0][0]) if found else None

    def _address(self, state: ContainerState, port: int) -> tuple[str, int]:
        """Where a port is reached."""
        if self._daemon.machine.shows_containers:
            return (state.address, port) if state.address else _NOWHERE
        return state.published.get(port, _NOWHERE)


def _start_record(
    spec: InstanceSpec, names: Names, image: str, views: dict[int, View]
) -> StartRecord:
    return StartRecord(
        instance_id=spec.instance_id,
        start=names.start,
        network=spec.network,
        boot_id=boot_id(),
        image=image,
        program=next(iter(spec.argv), "its program"),
        log=str(spec.log),
        ports=list(spec.ports),
        volumes=[view.volume for view in views.values()],
        stop_grace_s=spec.stop_grace_s,
        max_runtime_s=spec.max_runtime_s,
    )


def _instance(folder: ContainerFolder, record: StartRecord) -> Instance:
    known = folder.read_container()
    addresses = (known["addresses"] if known is not None else None) or {}
    reached = {int(port): (at[0], at[1]) for port, at in addresses.items()}
    return Instance(record["instance_id"], folder.folder, reached)


def _own_limits() -> dict[str, int]:
    """This process's hard limits, as docker names them."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    return {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}


def _start_error(spec: InstanceSpec, image: str, cause: str) -> StartFailedError:
    said = _CANNOT_EXECUTE.search(cause)
    if said is not None:
        return CannotExecuteError(not_executed(said["program"], said["cause"], image))
    return StartFailedError(f"cannot start `{spec.instance_id}`: {cause}")
