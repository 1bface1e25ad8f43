"""What a drill is made of, and how it is played: clients look on before, during and after it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from intermodal_contract.errors import IntermodalError
from intermodal_engine import identity
from intermodal_engine.cli.drills.cost import Instances, cost_of, most
from intermodal_engine.cli.drills.figures import Span, last_failure_s, phases
from intermodal_engine.cli.drills.load import Call, Load
from intermodal_engine.cli.drills.report import Report
from intermodal_engine.cli.engine import ask, missing_keys, running
from intermodal_engine.cli.main import UnavailableError
from intermodal_engine.settings import Settings
from intermodal_engine.wire.client import CallError, Client

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """How a drill is watched.

    Attributes:
        clients: how many call.
        pause_s: of each, from call to call.
        before_s: how long they call before anything is done.
        after_s: how long they go on when all is whole again.
        patience_s: how long that may take, the fault's own time included.
    """

    clients: int
    pause_s: float
    before_s: float
    after_s: float
    patience_s: float


class Drill(Protocol):
    """One kind of drill.

    Attributes:
        name: as on the command line.
        target: what it is about.
    """

    name: str
    target: str

    @property
    def call(self) -> Call:
        """What its clients call."""

    def begin(self) -> list[str]:
        """Does it; returns what was done, a sentence each."""

    def is_over(self) -> bool:
        """Whether it has come to its end, and everything is whole again."""

    def instances(self) -> Instances:
        """What would have to be paid for at this moment."""

    def end(self) -> None:
        """Puts back what is not yet; harmless twice."""

    def facts(self) -> dict[str, Any]:
        """What else is to be told afterwards, by name; `did` adds sentences."""


def play(drill: Drill, pace: Pace) -> Report:
    """Plays a drill; whatever happens, what it did is ended.

    Raises:
        IntermodalError: clients fail before anything was done, or it does not become whole.
    """
    load = Load(drill.call, clients=pace.clients, pause_s=pace.pause_s)
    dearest = drill.instances()
    with _ending(drill, load):
        load.start()
        time.sleep(pace.before_s)
        _check_clients(load)
        began_s = load.now_s()
        did = drill.begin()
        while not drill.is_over():
            if load.now_s() > began_s + pace.patience_s:
                raise IntermodalError(
                    f"`{drill.target}` is not whole again within {pace.patience_s:g} s",
                    hint="`intermodal status` and `intermodal logs` may say why; the fault is over",
                )
            dearest = most(dearest, drill.instances())
            time.sleep(_LOOK_EVERY_S)
        span = Span(began_s, load.now_s())
        time.sleep(pace.after_s)
    samples = load.samples()
    facts = drill.facts()
    return Report(
        drill=drill.name,
        target=drill.target,
        did=[*did, *facts.pop("did", [])],
        clients=phases(samples, span),
        recovery={
            "clients_s": last_failure_s(samples, span),
            "whole_s": span.ended_s - span.began_s,
        },
        cost=cost_of(dearest, load.now_s()),
        facts=facts,
        span=span,
        samples=samples,
    )


@contextmanager
def _ending(drill: Drill, load: Load) -> Iterator[None]:
    try:
        yield
    finally:
        try:
            load.stop()
        finally:
            drill.end()


def _check_clients(load: Load) -> None:
    samples = load.samples()
    failed = [one for one in samples if one.error is not None]
    if failed and len(failed) == len(samples):
        raise IntermodalError(
            f"nothing was done: every call of the drill's clients fails already: "
            f"{failed[-1].message}",
            hint="`--body FILE --content-type TYPE` gives them a request that the model takes",
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What clients send to an endpoint.

    Attributes:
        body: of each request.
        content_type: its type.
        component: the inference component that it is for.
        target_model: the model of many that it is for.
    """

    body: bytes = b"{}"
    content_type: str = "application/json"
    component: str | None = None
    target_model: str | None = None

    def parameters(self, endpoint: str) -> dict[str, Any]:
        """Of InvokeEndpoint."""
        every = {
            "EndpointName": endpoint,
            "Body": self.body,
            "ContentType": self.content_type,
            "InferenceComponentName": self.component,
            "TargetModel": self.target_model,
        }
        return {name: value for name, value in every.items() if value is not None}


@dataclass(slots=True)
class Engine:
    """The engine that a drill is about, as its command line and as its clients see it.

    Attributes:
        settings: its home.
        connections: how many clients call at once.
        clients: by service.
    """

    settings: Settings
    connections: int
    clients: dict[str, Client] = field(default_factory=dict)

    def ask(self, task: str, **parameters: Any) -> dict[str, Any]:
        """See `cli.engine.ask`."""
        return ask(self.settings, task, **parameters)

    def client(self, service: str) -> Client:
        """A client of a service, made when it is first asked for."""
        if service not in self.clients:
            state = running(self.settings)
            keys = identity.read(self.settings)
            if keys is None:
                raise missing_keys(self.settings)
            self.clients[service] = Client(
                service,
                endpoint_url=state.endpoint_url,
                region=state.region,
                credentials=keys.engine.credentials,
                connections=self.connections,
            )
        return self.clients[service]

    def do(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Calls an operation of SageMaker.

        Raises:
            IntermodalError: it has failed.
        """
        try:
            return self.client("sagemaker").call(operation, **parameters).result
        except CallError as error:
            raise IntermodalError(f"{operation}: {error}") from error

    def invoker(self, endpoints: Sequence[str], request: Request) -> Call:
        """Calls these endpoints in turn."""
        client = self.client("sagemaker-runtime")
        turns = _in_turn(endpoints)

        def call() -> int:
            return client.call("InvokeEndpoint", **request.parameters(turns())).retries

        return call

    def lister(self) -> Call:
        """Calls the control plane."""
        client = self.client("sagemaker")
        return lambda: client.call("ListEndpoints").retries

    def endpoint(self, name: str, component: str | None = None) -> dict[str, Any]:
        """How an endpoint is."""
        return self.ask("drills/endpoint", endpoint=name, component=component)

    def is_whole(self, endpoints: Sequence[str], component: str | None = None) -> bool:
        """Whether endpoints have all their instances, as far as the engine answers."""
        try:
            return all(self.endpoint(name, component)["is_whole"] for name in endpoints)
        except UnavailableError:
            return False

    def instances(self, endpoints: Sequence[str]) -> Instances:
        """What endpoints run on; nothing while the engine does not answer."""
        try:
            return [one for name in endpoints for one in self.endpoint(name)["instances"]]
        except UnavailableError:
            return []

    def check_whole(self, name: str, component: str | None = None) -> None:
        """Makes sure that there is something to break.

        Raises:
            IntermodalError: there is no such endpoint, or it is not whole already.
        """
        found = self.endpoint(name, component)
        if not found["is_whole"]:
            raise IntermodalError(
                f"endpoint `{name}` is {found['status']} and not whole: nothing was done",
                hint="wait until it is InService with all its instances",
            )


def _in_turn(names: Sequence[str]) -> Callable[[], str]:
    import itertools

    turns = itertools.cycle(names)
    return lambda: next(turns)
