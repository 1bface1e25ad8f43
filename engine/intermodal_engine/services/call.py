"""What an operation knows besides its parameters."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intermodal_engine.clock import Clock
    from intermodal_engine.lifecycle.alarms import AlarmLifecycle
    from intermodal_engine.lifecycle.async_inference.inference import AsyncInference
    from intermodal_engine.lifecycle.endpoint import EndpointLifecycle
    from intermodal_engine.lifecycle.fault_effects import Throttle
    from intermodal_engine.lifecycle.faults import Faults
    from intermodal_engine.lifecycle.notifications.topics import Topics
    from intermodal_engine.lifecycle.processing_job import ProcessingJobLifecycle
    from intermodal_engine.lifecycle.scaling import ScalingLifecycle
    from intermodal_engine.lifecycle.training_job import TrainingJobLifecycle
    from intermodal_engine.lifecycle.transform_job import TransformJobLifecycle
    from intermodal_engine.lifecycle.tuning.job import TuningLifecycle
    from intermodal_engine.lifecycle.warm_pools import WarmPools
    from intermodal_engine.router.router import Router
    from intermodal_engine.settings import Settings
    from intermodal_engine.store.log_streams import LogStreams
    from intermodal_engine.store.metric_points import MetricPoints
    from intermodal_engine.store.objects import ObjectStore
    from intermodal_engine.store.records import Records
    from intermodal_engine.store.statistic_sets import StatisticSets


@dataclass(frozen=True, slots=True)
class Backends:
    """What the operations work on; one for the whole engine, made in `app`."""

    settings: "Settings"
    clock: "Clock"
    records: "Records"
    objects: "ObjectStore"
    log_streams: "LogStreams"
    metric_points: "MetricPoints"
    statistic_sets: "StatisticSets"
    training_jobs: "TrainingJobLifecycle"
    tuning_jobs: "TuningLifecycle"
    processing_jobs: "ProcessingJobLifecycle"
    transform_jobs: "TransformJobLifecycle"
    warm_pools: "WarmPools"
    endpoints: "EndpointLifecycle"
    components: "EndpointLifecycle"
    alarms: "AlarmLifecycle"
    scaling: "ScalingLifecycle"
    router: "Router"
    faults: "Faults"
    throttle: "Throttle"
    async_inference: "AsyncInference"
    topics: "Topics"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, already authenticated, parsed and validated.

    Attributes:
        backends: what operations work on.
        request_id: UUID that goes into the response and into every log line about it.
        region: from the credential scope.
        account_id: the engine's account.
        access_key_id: who signed.
        headers: the request's HTTP headers, names in lower case.
        role: name of the IAM role that the signer acts under.
        session: name of that role's session: `engine`, or `SageMaker` for a job's credentials.
    """

    backends: Backends
    request_id: str
    region: str
    account_id: str
    access_key_id: str
    headers: dict[str, str]
    role: str = "intermodal-local"
    session: str = "engine"


Parameters = dict[str, Any]
PlainOperation = Callable[[Call, Parameters], Parameters]
StreamingOperation = Callable[[Call, Parameters], Awaitable[Parameters]]
Operation = PlainOperation | StreamingOperation
"""An operation: parameters in, result out, both shaped as botocore's model says.

A plain function runs in a worker thread; a coroutine function runs on the event loop and is needed
only where bodies stream. A streaming input member holds an `AsyncIterator[bytes]`, a streaming
output member may be bytes, a `FileSlice` or an `AsyncIterator[bytes]`.
"""
