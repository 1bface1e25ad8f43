"""An engine without HTTP: real store, real lifecycles, a fake driver and a clock turned by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intermodal_engine.assembly import assemble
from intermodal_engine.clock import FakeClock
from intermodal_engine.drivers.fake import FakeDriver
from intermodal_engine.lifecycle.captures.writer import CaptureWriter
from intermodal_engine.lifecycle.instances import Spawn
from intermodal_engine.lifecycle.transform.movers import Movers
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.router import Backend, Health, Router
from intermodal_engine.services.call import Backends, Call, Parameters
from intermodal_engine.services.table import find_operation
from intermodal_engine.settings import Settings
from intermodal_engine.wire.route import named
from intermodal_engine.wire.validate import validate

ROLE = "arn:aws:iam::123456789012:role/trainer"


class TestRouter(Router):
    """A router whose health checks are a test's word; bound to no event loop."""

    __test__ = False

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(lambda _endpoint, _backend, _health: None, now=now)
        self.healths: dict[str, Health] = {}
        self.idle: dict[str, float] = {}
        self.busy: dict[str, int] = {}
        self.on_idle: Callable[[], None] = lambda: None
        self.backends: dict[str, Backend] = {}

    def add(self, backend: Backend) -> None:
        """Remembers what the router was told."""
        self.backends[backend.backend_id] = backend
        super().add(backend)

    def in_flight(self, backend_id: str) -> int:
        """What the test said; none before that."""
        return self.busy.get(backend_id, 0)

    def idle_s(self, backend_id: str) -> float:
        """What the test said; nothing before that. Meanwhile may happen what it says, once."""
        happens, self.on_idle = self.on_idle, lambda: None
        happens()
        return self.idle.get(backend_id, 0.0)

    def health(self, backend_id: str) -> Health:
        """What the test said; STARTING before that."""
        return self.healths.get(backend_id, Health.STARTING)


@dataclass(slots=True)
class World:
    """One engine's parts, and the handles that a test turns."""

    backends: Backends
    clock: FakeClock
    driver: FakeDriver
    queue: WorkQueue
    router: TestRouter
    captures: CaptureWriter

    def call(self, operation: str, service: str = "sagemaker", **parameters: Any) -> Parameters:
        """Calls an operation as a validated request."""
        validate(named(service, operation), parameters)
        call = Call(self.backends, "request-1", "us-east-1", "123456789012", "AKIA", {})
        result = find_operation(service, operation)(call, parameters)
        assert isinstance(result, dict)
        return result

    def settle(self) -> None:
        """Lets everything happen that is due now."""
        while True:
            self.queue.run_until_idle()
            if self.driver.turn() == 0:
                return

    def advance(self, seconds: float) -> None:
        """Turns the clock and lets everything happen that has become due."""
        self.clock.advance(seconds)
        self.settle()

    def restarted(self) -> "World":
        """Another engine over the same home, as after a kill -9."""
        home = self.backends.settings.home
        return make_world(home, clock=self.clock, settings=self.backends.settings)


def make_world(
    home: Path,
    *,
    clock: FakeClock | None = None,
    settings: Settings | None = None,
    can_mount: bool = True,
    spawn: Spawn = lambda work: work(),
    movers: Movers | None = None,
) -> World:
    """An engine's parts over a home, recovered as at a start."""
    clock = clock or FakeClock()
    settings = settings or Settings(home=home, driver="fake", health_timeout_s=60.0)
    settings.scratch_folder.mkdir(parents=True, exist_ok=True)
    driver = FakeDriver(clock.now, wait=clock.advance, can_mount=can_mount)
    router = TestRouter(clock.now)
    parts = assemble(
        settings,
        clock=clock,
        driver=driver,
        access=access,
        make_router=lambda *_: router,
        spawn=spawn,
        movers=movers,
    )
    parts.recover()
    return World(parts.backends, clock, driver, parts.queue, router, parts.captures)


def access(subject: str, role_arn: str, network: str) -> Mapping[str, str]:
    """What a job is given to reach the engine."""
    return {"AWS_ACCESS_KEY_ID": f"key of {subject}", "ROLE": role_arn, "NETWORK": network}


def training_request(name: str = "job-1", **changes: Any) -> dict[str, Any]:
    """A CreateTrainingJob request that the service accepts."""
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "img:1", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://results/runs"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **changes,
    }
