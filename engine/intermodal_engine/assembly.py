"""What one engine consists of below HTTP: stores, drivers, lifecycles, tied together here."""

from collections.abc import Callable
from dataclasses import dataclass

from intermodal_engine.clock import Clock
from intermodal_engine.drivers.base import Driver
from intermodal_engine.lifecycle import (
    processing_instances,
    training_instances,
    transform_instances,
)
from intermodal_engine.lifecycle.alarms import AlarmLifecycle
from intermodal_engine.lifecycle.artifacts import ArtifactUploader
from intermodal_engine.lifecycle.async_inference.inference import AsyncInference
from intermodal_engine.lifecycle.async_inference.metrics import AsyncMetrics
from intermodal_engine.lifecycle.capacity import Capacity, machine_gpus
from intermodal_engine.lifecycle.captures.writer import CaptureWriter
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.data_log import DataLog
from intermodal_engine.lifecycle.deployment_drill import go_back
from intermodal_engine.lifecycle.endpoint import EndpointLifecycle
from intermodal_engine.lifecycle.endpoint_metrics import EndpointMetrics
from intermodal_engine.lifecycle.fault_effects import Effects, Throttle, Zones
from intermodal_engine.lifecycle.faults import Fault, FaultKind, Faults
from intermodal_engine.lifecycle.fleet import Fleet, endpoint_of
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT, FleetKind
from intermodal_engine.lifecycle.instance_scaling import InstanceScaling
from intermodal_engine.lifecycle.instances import EngineAccess, Instances, Spawn, in_a_thread
from intermodal_engine.lifecycle.job_specs import JobSpecs
from intermodal_engine.lifecycle.members import Members
from intermodal_engine.lifecycle.metrics import TrainingMetrics
from intermodal_engine.lifecycle.model_files import ModelStore
from intermodal_engine.lifecycle.notifications.topics import Topics
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.lifecycle.places import CopyPlaces, InstancePlaces
from intermodal_engine.lifecycle.processing_instances import ProcessingInstances
from intermodal_engine.lifecycle.processing_job import ProcessingJobLifecycle
from intermodal_engine.lifecycle.scaling import ScalingLifecycle
from intermodal_engine.lifecycle.spot_interruptions import SpotInterruptions
from intermodal_engine.lifecycle.staging import ChannelStager
from intermodal_engine.lifecycle.target_models import TargetModels
from intermodal_engine.lifecycle.training_instances import TrainingInstances
from intermodal_engine.lifecycle.training_job import TrainingJobLifecycle
from intermodal_engine.lifecycle.transform.movers import MoverPrograms, Movers
from intermodal_engine.lifecycle.transform_instances import TransformInstances
from intermodal_engine.lifecycle.transform_job import TransformJobLifecycle
from intermodal_engine.lifecycle.tuning.job import TuningLifecycle
from intermodal_engine.lifecycle.usage_metrics import UsageMetrics
from intermodal_engine.lifecycle.warm_pools import WarmPools
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.demand import OnDemand
from intermodal_engine.router.model import ModelFiles
from intermodal_engine.router.router import SETTLING_S, Health, OnHealth, Router
from intermodal_engine.router.sessions import Sessions
from intermodal_engine.services.call import Backends
from intermodal_engine.services.cloudwatch import readings
from intermodal_engine.settings import Settings
from intermodal_engine.store.async_requests import AsyncRequests
from intermodal_engine.store.database import Database
from intermodal_engine.store.deliveries import Deliveries
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.metric_points import MetricPoints
from intermodal_engine.store.objects import Disk, ObjectStore
from intermodal_engine.store.records import Record, Records
from intermodal_engine.store.session_rows import SessionRows
from intermodal_engine.store.space import Space
from intermodal_engine.store.statistic_sets import StatisticSets


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
        captures: what the router captures, written.
    """

    backends: Backends
    queue: WorkQueue
    driver: Driver
    database: Database
    interruptions: SpotInterruptions
    endpoint_metrics: EndpointMetrics
    usage_metrics: UsageMetrics
    captures: CaptureWriter

    def recover(self) -> None:
        """Takes up what an earlier engine left: half-written objects, open jobs, endpoints."""
        self.backends.objects.recover()
        self.backends.training_jobs.recover()
        self.backends.tuning_jobs.recover()
        self.backends.processing_jobs.recover()
        self.backends.transform_jobs.recover()
        self.backends.endpoints.recover()
        self.backends.components.recover()
        self.backends.alarms.recover()
        self.backends.scaling.recover()
        self.backends.async_inference.recover()
        self.backends.topics.recover()
        # Last: where the disk is said to be full, nothing of the above could be written.
        self.backends.faults.recover()
        self.interruptions.begin()
        self.endpoint_metrics.begin()
        self.usage_metrics.begin()
        self.captures.begin()

    def close(self) -> None:
        """Lets the engine's own threads end; instances keep running."""
        self.queue.close()
        self.backends.topics.close()
        self.driver.close()
        self.backends.router.close()
        self.endpoint_metrics.flush()
        self.captures.flush()
        self.backends.objects.close()
        self.database.close()


MakeRouter = Callable[[OnHealth, OnDemand, Sessions, ModelFiles], Router]


def _make_router(
    on_health: OnHealth, on_demand: OnDemand, sessions: Sessions, model_files: ModelFiles
) -> Router:
    return Router(
        on_health,
        settling_s=SETTLING_S,
        sessions=sessions,
        model_files=model_files,
        on_demand=on_demand,
    )


def assemble(
    settings: Settings,
    *,
    clock: Clock,
    driver: Driver,
    access: EngineAccess,
    make_router: MakeRouter = _make_router,
    spawn: Spawn = in_a_thread,
    movers: Movers | None = None,
) -> Parts:
    """Ties the parts of one engine together; nothing runs yet."""
    space, zones, throttle = Space(settings.home, clock.now), Zones(), Throttle(clock.now)
    database = Database(settings.database_file, space)
    records = Records(database, clock)
    objects = ObjectStore(
        settings.objects_folder, settings.scratch_folder, database, clock, Disk(space)
    )
    log_streams = LogStreams(settings.logs_folder)
    data_log = DataLog(log_streams)
    metric_points = MetricPoints(database)
    statistic_sets = StatisticSets(database)
    queue = WorkQueue(clock)
    instances = Instances(driver, queue, clock, space, spawn)
    members = Members(instances)

    def on_health(target: str, member: str, health: Health) -> None:
        endpoint, _, component = target.partition("/")
        lifecycle, name = (components, component) if component else (endpoints, endpoint)
        lifecycle.on_health(name, member, health)

    def on_demand(target: str, variant: str, count: int) -> None:
        endpoints.on_demand(target, variant, count)

    router = make_router(
        on_health,
        on_demand,
        Sessions(clock.now, SessionRows(database, clock.now)),
        TargetModels(objects),
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
        on_end=lambda record: tuning_jobs.on_training_job_end(record),
    )
    tuning_jobs = TuningLifecycle(
        records=records,
        training_jobs=training_jobs,
        points=metric_points,
        queue=queue,
        clock=clock,
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
    copies = CopyPlaces(records, router.health)

    def fleet_of(kind: FleetKind) -> Fleet:
        return Fleet(
            kind=kind,
            instances=instances,
            router=router,
            models=models,
            log_streams=log_streams,
            settings=settings,
            access=access,
            closed_zones=zones.closed,
        )

    def on_members(record: Record) -> None:
        """Copies find room, or none any more, where instances or other copies come and go."""
        for component in copies.components(endpoint_of(record)):
            components.wake(component.name)
        on_lacking(record)

    def on_lacking(record: Record) -> None:
        """Instances may follow their copies."""
        instance_scaling.wake(endpoint_of(record))

    endpoints = EndpointLifecycle(
        records=records,
        fleet=fleet_of(ENDPOINT),
        places=InstancePlaces(copies.copies, zones.closed),
        queue=queue,
        clock=clock,
        settings=settings,
        on_members=on_members,
        on_lacking=on_lacking,
    )
    components = EndpointLifecycle(
        records=records,
        fleet=fleet_of(COMPONENT),
        places=copies,
        queue=queue,
        clock=clock,
        settings=settings,
        on_members=on_members,
        on_lacking=on_lacking,
    )
    instance_scaling = InstanceScaling(
        records=records,
        endpoints=endpoints,
        places=copies,
        queue=queue,
        clock=clock,
        rest_s=settings.scaling_period_s,
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
        components=components,
        alarms=alarms,
        queue=queue,
        clock=clock,
        period_s=settings.scaling_period_s,
    )

    def wake_fleets() -> None:
        endpoints.wake_all()
        components.wake_all()

    def put_back(fault: Fault) -> bool:
        is_deployment = fault.kind is FaultKind.DEPLOYMENT
        return not is_deployment or go_back(records, endpoints, fault)

    effects = Effects(
        zones=zones,
        throttle=throttle,
        disturbances=router.disturbances,
        space=space,
        wake_fleets=wake_fleets,
    )
    topics = Topics(
        records=records,
        deliveries=Deliveries(database),
        log_streams=log_streams,
        queue=queue,
        clock=clock,
    )
    async_inference = AsyncInference(
        requests=AsyncRequests(database),
        records=records,
        router=router,
        objects=objects,
        metrics=AsyncMetrics(statistic_sets, clock),
        data_log=data_log,
        publish=topics.publish,
        queue=queue,
        clock=clock,
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
        tuning_jobs=tuning_jobs,
        processing_jobs=processing_jobs,
        transform_jobs=transform_jobs,
        warm_pools=warm_pools,
        endpoints=endpoints,
        components=components,
        alarms=alarms,
        scaling=scaling,
        router=router,
        faults=Faults(records, queue, clock, effects.show, put_back),
        throttle=throttle,
        async_inference=async_inference,
        topics=topics,
    )
    interruptions = SpotInterruptions(
        records=records, training_jobs=training_jobs, queue=queue, clock=clock, settings=settings
    )
    endpoint_metrics = EndpointMetrics(router, statistic_sets, queue, clock)
    usage_metrics = UsageMetrics(
        records, statistic_sets, queue, clock, settings, router.loaded_models
    )
    captures = CaptureWriter(
        captures=router.captures,
        objects=objects,
        data_log=data_log,
        queue=queue,
        clock=clock,
        folder=settings.captures_folder,
    )
    return Parts(
        *(backends, queue, driver, database, interruptions),
        endpoint_metrics,
        usage_metrics,
        captures,
    )
