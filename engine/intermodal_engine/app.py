"""The composition root: settings, then stores, lifecycles, services and HTTP, tied together here.

`run` reads from top to bottom what one engine consists of.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import uvloop

from intermodal_contract.errors import IntermodalError
from intermodal_engine import identity
from intermodal_engine.clock import Clock, SystemClock
from intermodal_engine.drivers.base import Driver
from intermodal_engine.drivers.choose import make_driver
from intermodal_engine.drivers.environment import Environments
from intermodal_engine.drivers.unavailable import DriverUnavailableError
from intermodal_engine.gateway.gateway import Gateway
from intermodal_engine.gateway.origin import Origins
from intermodal_engine.gateway.server import PortBusyError, Server, listen
from intermodal_engine.home import (
    EngineState,
    HomeLock,
    HomeLostError,
    announced,
    home_served_at,
    last_port,
    locked,
    prepare,
)
from intermodal_engine.identity import ENGINE_ROLE, KeyRing
from intermodal_engine.lifecycle import (
    processing_instances,
    training_instances,
    transform_instances,
)
from intermodal_engine.lifecycle.alarms import AlarmLifecycle
from intermodal_engine.lifecycle.artifacts import ArtifactUploader
from intermodal_engine.lifecycle.capacity import Capacity, machine_gpus
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.endpoint import EndpointLifecycle
from intermodal_engine.lifecycle.endpoint_metrics import EndpointMetrics
from intermodal_engine.lifecycle.fleet import Fleet
from intermodal_engine.lifecycle.instances import EngineAccess, Instances, Spawn, in_a_thread
from intermodal_engine.lifecycle.job_specs import JobSpecs
from intermodal_engine.lifecycle.members import Members
from intermodal_engine.lifecycle.metrics import TrainingMetrics
from intermodal_engine.lifecycle.model_files import ModelStore
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.lifecycle.processing_instances import ProcessingInstances
from intermodal_engine.lifecycle.processing_job import ProcessingJobLifecycle
from intermodal_engine.lifecycle.scaling import ScalingLifecycle
from intermodal_engine.lifecycle.spot_interruptions import SpotInterruptions
from intermodal_engine.lifecycle.staging import ChannelStager
from intermodal_engine.lifecycle.training_instances import TrainingInstances
from intermodal_engine.lifecycle.training_job import TrainingJobLifecycle
from intermodal_engine.lifecycle.transform.movers import MoverPrograms, Movers
from intermodal_engine.lifecycle.transform_instances import TransformInstances
from intermodal_engine.lifecycle.transform_job import TransformJobLifecycle
from intermodal_engine.lifecycle.usage_metrics import UsageMetrics
from intermodal_engine.lifecycle.warm_pools import WarmPools
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.router import SETTLING_S, OnHealth, Router
from intermodal_engine.services import exposition
from intermodal_engine.services.call import Backends
from intermodal_engine.services.cloudwatch import readings
from intermodal_engine.services.table import find_operation
from intermodal_engine.settings import DEFAULT_PORT, Settings
from intermodal_engine.store.database import Database, DatabaseTooNewError
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.metric_points import MetricPoints
from intermodal_engine.store.objects import ObjectStore
from intermodal_engine.store.records import Records
from intermodal_engine.store.statistic_sets import StatisticSets

LIFECYCLE_THREADS = 8
"""Jobs and endpoints that are worked on at once; one that only runs needs no thread."""

HOME_LOOK_S = 1.0
"""How often an engine makes sure that its home is still there."""

_PREDECESSOR_PATIENCE_S = 15.0
"""How long an engine whose home was removed may take to notice it and to let go of its port."""

_DISTRIBUTION = "intermodal-engine"
_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    on_ready: Callable[[EngineState], None],
    inherited: socket.socket | None = None,
) -> socket.socket | None:
    """Runs an engine until a signal ends it; its jobs keep running after it.

    Args:
        settings: what a person chose.
        on_ready: called once requests are answered.
        inherited: the socket of the engine that this one succeeds; clients wait in its queue.

    Returns:
        The listening socket for a successor, after SIGHUP; None after SIGTERM and SIGINT.

    Raises:
        HomeLostError: its home was removed or moved away meanwhile, which ends it.
        IntermodalError: it cannot start; the message says why and what to do.
    """
    prepare(settings)
    # What instances are to read, users of their own images must be able to; the home is closed.
    os.umask(0o022)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(locked(settings.home))
        listener = stack.enter_context(inherited or _listen(settings))
        heirloom = stack.enter_context(listener.dup())
        _set_up_logging()
        state = _state(settings, listener.getsockname()[1])
        keys = identity.load(settings)
        clock = SystemClock()
        origins = Origins()
        environments = Environments(settings.environments_folder)
        try:
            driver = make_driver(
                settings.driver,
                settings.driver_folder,
                now=clock.now,
                engine_port=state.port,
                environments=environments,
            )
            access = engine_access(settings, keys, driver, state.port, origins)
            parts = assemble(settings, clock=clock, driver=driver, access=access)
        except (DriverUnavailableError, DatabaseTooNewError) as error:
            message, _, hint = str(error).partition("\nhint: ")
            raise IntermodalError(message, hint=hint or None) from error
        stack.callback(parts.close)
        listeners = [listener, *_listen_for_instances(stack, driver, state.port)]
        stack.callback(environments.close)  # first: a worker may be waiting for one
        health = {"version": state.version, "home": state.home}
        gateway = Gateway(
            *(keys, find_operation, parts.backends, origins, health),
            lambda: exposition.text(parts.backends, parts.endpoint_metrics.totals(), state.version),
        )
        stack.callback(gateway.close)
        parts.recover()

        def ready() -> None:
            """On the event loop, once the socket is served."""
            parts.backends.router.bind(asyncio.get_running_loop())
            parts.queue.start(LIFECYCLE_THREADS)
            stack.enter_context(announced(settings, state))
            on_ready(state)
            _log.info("answering on %s, home %s", state.endpoint_url, state.home)

        async def serve() -> bool:
            server = Server(gateway, ready)
            guard = asyncio.create_task(_until_lost(lock, server))
            await server.serve(sockets=listeners)
            guard.cancel()
            parts.backends.router.close()
            return server.has_successor

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            has_successor = runner.run(serve())
        lock.check()
        _log.info("makes way for its successor" if has_successor else "stopped")
        return heirloom.dup() if has_successor else None


@dataclass(frozen=True, slots=True)
class Parts:
    """What one engine consists of, below HTTP.

    Attributes:
        backends: what operations work on.
        queue: who looks at jobs and endpoints.
        driver: what runs instances.
        database: closed last.
        interruptions: of spot jobs, where a rate of them is set.
        endpoint_metrics: what the router measures, kept.
        usage_metrics: what instances use, kept.
    """

    backends: Backends
    queue: WorkQueue
    driver: Driver
    database: Database
    interruptions: SpotInterruptions
    endpoint_metrics: EndpointMetrics
    usage_metrics: UsageMetrics

    def recover(self) -> None:
        """Takes up what an earlier engine left: half-written objects, open jobs, endpoints."""
        self.backends.objects.recover()
        self.backends.training_jobs.recover()
        self.backends.processing_jobs.recover()
        self.backends.transform_jobs.recover()
        self.backends.endpoints.recover()
        self.backends.alarms.recover()
        self.backends.scaling.recover()
        self.interruptions.begin()
        self.endpoint_metrics.begin()
        self.usage_metrics.begin()

    def close(self) -> None:
        """Lets the engine's own threads end; instances keep running."""
        self.queue.close()
        self.driver.close()
        self.backends.router.close()
        self.endpoint_metrics.flush()
        self.backends.objects.close()
        self.database.close()


def _make_router(on_health: OnHealth) -> Router:
    return Router(on_health, settling_s=SETTLING_S)


def assemble(
    settings: Settings,
    *,
    clock: Clock,
    driver: Driver,
    access: EngineAccess,
    make_router: Callable[[OnHealth], Router] = _make_router,
    spawn: Spawn = in_a_thread,
    movers: Movers | None = None,
) -> Parts:
    """Ties the parts of one engine together; nothing runs yet."""
    database = Database(settings.database_file)
    records = Records(database, clock)
    objects = ObjectStore(settings.objects_folder, settings.scratch_folder, database, clock)
    log_streams = LogStreams(settings.logs_folder)
    metric_points = MetricPoints(database)
    statistic_sets = StatisticSets(database)
    queue = WorkQueue(clock)
    instances = Instances(driver, queue, clock, spawn)
    members = Members(instances)
    router = make_router(
        lambda endpoint, member, health: endpoints.on_health(endpoint, member, health)
    )
    capacity = Capacity(settings.max_instances, machine_gpus(), queue.wake)
    warm_pools = WarmPools(records=records, queue=queue, clock=clock, settings=settings)
    training_jobs = TrainingJobLifecycle(
        records=records,
        instances=TrainingInstances(
            specs=JobSpecs(
                training_instances.KIND,
                training_instances.LOG_GROUP,
                settings=settings,
                log_streams=log_streams,
                access=access,
            ),
            stager=ChannelStager(
                objects, settings.file_systems, can_mount=lambda: driver.can_mount
            ),
            feeders=Feeders(),
            keeper=CheckpointKeeper(objects, settings.artifacts_folder),
            cache=warm_pools.mounts,
            note=instances.note,
        ),
        members=members,
        uploader=ArtifactUploader(objects, settings.artifacts_folder),
        metrics=TrainingMetrics(metric_points),
        capacity=capacity,
        warm_pools=warm_pools,
        queue=queue,
        clock=clock,
        settings=settings,
    )
    processing_jobs = ProcessingJobLifecycle(
        records=records,
        instances=ProcessingInstances(
            specs=JobSpecs(
                processing_instances.KIND,
                processing_instances.LOG_GROUP,
                settings=settings,
                log_streams=log_streams,
                access=access,
            ),
            stager=ChannelStager(objects, can_mount=lambda: driver.can_mount),
            keeper=CheckpointKeeper(objects, settings.artifacts_folder),
            objects=objects,
            note=instances.note,
        ),
        members=members,
        capacity=capacity,
        queue=queue,
        clock=clock,
        settings=settings,
    )
    models = ModelStore(objects, settings.models_folder)
    transform_jobs = TransformJobLifecycle(
        records=records,
        instances=TransformInstances(
            specs=JobSpecs(
                transform_instances.KIND,
                transform_instances.LOG_GROUP,
                settings=settings,
                log_streams=log_streams,
                access=access,
            ),
            models=models,
            objects=objects,
            movers=movers or MoverPrograms(),
            settings=settings,
        ),
        members=members,
        capacity=capacity,
        queue=queue,
        clock=clock,
    )
    fleet = Fleet(
        instances=instances,
        router=router,
        models=models,
        log_streams=log_streams,
        settings=settings,
        access=access,
    )
    endpoints = EndpointLifecycle(
        records=records, fleet=fleet, queue=queue, clock=clock, settings=settings
    )
    alarms = AlarmLifecycle(
        records,
        queue,
        clock,
        read=lambda request, window: readings.read(backends, request, window),
        act=lambda arn, alarm: scaling.on_alarm(arn, alarm),
    )
    scaling = ScalingLifecycle(
        records=records,
        endpoints=endpoints,
        alarms=alarms,
        queue=queue,
        clock=clock,
        period_s=settings.scaling_period_s,
    )
    backends = Backends(
        settings=settings,
        clock=clock,
        records=records,
        objects=objects,
        log_streams=log_streams,
        metric_points=metric_points,
        statistic_sets=statistic_sets,
        training_jobs=training_jobs,
        processing_jobs=processing_jobs,
        transform_jobs=transform_jobs,
        warm_pools=warm_pools,
        endpoints=endpoints,
        alarms=alarms,
        scaling=scaling,
        router=router,
    )
    interruptions = SpotInterruptions(
        records=records, training_jobs=training_jobs, queue=queue, clock=clock, settings=settings
    )
    endpoint_metrics = EndpointMetrics(router, statistic_sets, queue, clock)
    usage_metrics = UsageMetrics(records, statistic_sets, queue, clock, settings)
    return Parts(backends, queue, driver, database, interruptions, endpoint_metrics, usage_metrics)


def engine_access(
    settings: Settings, keys: KeyRing, driver: Driver, port: int, origins: Origins
) -> EngineAccess:
    """How a job's own code reaches the engine: its address, and credentials of the job's own."""
    # Jobs that outlived the last engine may call before anything looks at them.
    origins.allow_gateway(driver.gateway_host(""))

    def access(subject: str, role_arn: str, network: str) -> dict[str, str]:
        host = driver.gateway_host(network)
        origins.allow_gateway(host)
        credentials = keys.issue(subject, role_arn.rpartition("/")[2] or ENGINE_ROLE)
        return {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_SESSION_TOKEN": credentials.session_token or "",
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
        }

    return access


async def _until_lost(lock: HomeLock, server: Server) -> None:
    """Ends the server once its home is another's, or nobody's: what it did would be lost."""
    while True:
        try:
            lock.check()
        except HomeLostError as error:
            _log.error("%s; ending", error.message)
            server.stop()
            return
        await asyncio.sleep(HOME_LOOK_S)


def _listen(settings: Settings) -> socket.socket:
    """Opens the port that was named.

    Without a name: the last engine's, which running jobs know; else the usual one; else any.

    Raises:
        PortBusyError: another program listens on the port that was named.
    """
    if settings.port:
        return _listen_on(settings, settings.port)
    usual = DEFAULT_PORT if settings.port is None else None
    for port in (last_port(settings), usual):
        if port is not None:
            with contextlib.suppress(PortBusyError):
                return _listen_on(settings, port)
    return listen(0)


def _listen_on(settings: Settings, port: int) -> socket.socket:
    give_up_at = time.monotonic() + _PREDECESSOR_PATIENCE_S
    while True:
        try:
            return listen(port)
        except PortBusyError:
            # The lock is ours: one that still serves this home has lost it, and is about to end.
            if home_served_at(port) != str(settings.home) or time.monotonic() > give_up_at:
                raise
        time.sleep(0.1)


def _listen_for_instances(
    stack: contextlib.ExitStack, driver: Driver, port: int
) -> list[socket.socket]:
    """Opens the engine's port where its driver's instances reach it.

    Raises:
        PortBusyError: another program listens there.
    """
    return [
        stack.enter_context(listen(port, address, may_be_absent=True))
        for address in driver.engine_addresses
    ]


def _state(settings: Settings, port: int) -> EngineState:
    return EngineState(
        pid=os.getpid(),
        port=port,
        endpoint_url=f"http://127.0.0.1:{port}",
        home=str(settings.home),
        version=version(_DISTRIBUTION),
        region=settings.region,
        started_at=time.time(),
    )


def _set_up_logging() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
