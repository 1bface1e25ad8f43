"""Stages on which one conformance test plays the same behaviour with every driver."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from intermodal_engine.clock import FakeClock
from intermodal_engine.drivers.base import Driver, Instance, InstanceSpec, InstanceStatus, Mount
from intermodal_engine.drivers.environment import Environment
from intermodal_engine.drivers.fake import FakeDriver, Outcome
from intermodal_engine.drivers.isolation import Isolation
from intermodal_engine.drivers.process import ProcessDriver
from intermodal_engine.drivers.rehearsal import allows
from intermodal_engine.drivers.requirements import OUR_COMMANDS
from intermodal_engine.drivers.sweep import end_marked_processes

PATIENCE_S = 20.0
ENGINE_PORT = 28_765


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What an instance does, told so that a real program and a script can both do it.

    Attributes:
        lines: what it prints first.
        exit_code: with which it ends.
        signal: which it sends to itself instead.
        runs_for_s: before it ends; None: until it is stopped.
        ignores_sigterm: goes on after SIGTERM.
        exit_code_on_sigterm: exits so on SIGTERM; None: dies of it.
    """

    lines: tuple[str, ...] = ()
    exit_code: int = 0
    signal: int | None = None
    runs_for_s: float | None = 0.0
    ignores_sigterm: bool = False
    exit_code_on_sigterm: int | None = None


@dataclass(slots=True)
class Ends:
    """Collects the calls of `on_exit`."""

    ids: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, instance_id: str) -> None:
        with self.changed:
            self.ids.append(instance_id)
            self.changed.notify_all()

    def wait_for(self, instance_id: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: instance_id in self.ids, PATIENCE_S), (
                f"{instance_id} did not end"
            )


class Stage(Protocol):
    """A driver and the means to let behaviour and time happen to it."""

    ends: Ends
    driver: Driver

    def spec(self, number: int, behaviour: Behaviour) -> InstanceSpec: ...

    def unprepared_spec(self, number: int) -> InstanceSpec:
        """One that succeeds at once, for an image that is not there yet."""

    def restart(self) -> None:
        """The engine goes away, and another one comes."""

    def wait_until_ready(self, spec: InstanceSpec) -> None:
        """Waits until it has printed `ready`."""

    def wait_until_ended(self, spec: InstanceSpec, *, within_s: float) -> None: ...

    def take_away(self, instance: Instance) -> None:
        """Ends it, its supervisor first, in the hardest way."""

    def close(self) -> None: ...


def make_spec(root: Path, number: int, argv: tuple[str, ...]) -> InstanceSpec:
    """A spec with folders of its own."""
    is_ours = argv in OUR_COMMANDS
    folder = root / f"instance-{number}"
    folder.mkdir()
    return InstanceSpec(
        instance_id=f"training-job/demo/algo-{number}/0",
        host="algo-1",
        hosts=("algo-1",),
        network=f"network-{number}",
        folder=folder,
        ml=folder / "ml",
        image="intermodal/python:3",
        command=argv if is_ours else (),
        entrypoint=() if is_ours else argv,
        environment={},
        log=root / "logs" / f"{number}.log",
    )


class FakeStage:
    """The fake driver and its clock."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.clock = FakeClock()
        self.ends = Ends()
        self.fake = FakeDriver(self.clock.now, wait=self.clock.advance)
        self.driver: Driver = self.fake

    def spec(self, number: int, behaviour: Behaviour) -> InstanceSpec:
        spec = make_spec(self._root, number, ("program",))
        outcome = Outcome(
            exit_code=behaviour.exit_code,
            signal=behaviour.signal,
            after_s=behaviour.runs_for_s,
            ignores_sigterm=behaviour.ignores_sigterm,
            exit_code_on_sigterm=behaviour.exit_code_on_sigterm,
            log=tuple((0.0, line) for line in (*behaviour.lines, "ready")),
        )
        self.fake.script(spec.instance_id, outcome)
        return spec

    def unprepared_spec(self, number: int) -> InstanceSpec:
        spec = make_spec(self._root, number, ("program",))
        self.fake.script(spec.instance_id, Outcome(preparation_s=60))
        return spec

    def restart(self) -> None:
        self.fake.close()
        self.ends.ids.clear()
        self.fake = FakeDriver(self.clock.now)
        self.driver = self.fake

    def wait_until_ready(self, spec: InstanceSpec) -> None:
        assert "ready" in spec.log.read_text()

    def wait_until_ended(self, spec: InstanceSpec, *, within_s: float) -> None:
        self.clock.advance(within_s)
        self.fake.turn()
        self.ends.wait_for(spec.instance_id)

    def take_away(self, instance: Instance) -> None:
        self.fake.kill(instance)

    def close(self) -> None:
        self.fake.close()


class ProcessStage:
    """The process driver at one isolation level, with real programs."""

    def __init__(self, root: Path, isolation: Isolation, *, engine_port: int | None = None) -> None:
        self._root = root
        self.isolation = isolation
        self.engine_port = engine_port
        self.ends = Ends()
        self.bin = root / "bin"
        self.bin.mkdir(exist_ok=True)
        self._is_prepared = True
        self.process = self._make()
        self.driver: Driver = self.process

    @property
    def driver_folder(self) -> Path:
        return self._root / "driver"

    def spec(self, number: int, behaviour: Behaviour) -> InstanceSpec:
        return self.python(number, program_of(behaviour))

    def unprepared_spec(self, number: int) -> InstanceSpec:
        self._is_prepared = False
        return self.spec(number, Behaviour())

    def python(self, number: int, source: str) -> InstanceSpec:
        """A spec that runs this source."""
        program = self._root / f"program-{number}.py"
        program.write_text(source)
        return make_spec(self._root, number, (sys.executable, "-S", str(program)))

    def program(self, name: str, source: str) -> None:
        """Makes a program that the image has on its PATH."""
        path = self.bin / name
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)

    def run(self, spec: InstanceSpec) -> InstanceStatus:
        """Runs it to its end."""
        instance = self.driver.start(self.driver.plan(spec), self.ends)
        self.ends.wait_for(spec.instance_id)
        return self.driver.status(instance)

    def restart(self) -> None:
        self.process.close()
        self.ends.ids.clear()
        self.process = self._make()
        self.driver = self.process

    def wait_until_ready(self, spec: InstanceSpec) -> None:
        wait_for(lambda: spec.log.exists() and " ready\n" in spec.log.read_text())

    def wait_until_ended(self, spec: InstanceSpec, *, within_s: float) -> None:
        self.ends.wait_for(spec.instance_id)

    def take_away(self, instance: Instance) -> None:
        kill_supervisor(instance.folder)
        self.ends.wait_for(instance.instance_id)

    def close(self) -> None:
        """A test that failed leaves nothing behind either."""
        for plan in self._root.rglob("plan.json"):
            end_marked_processes("INTERMODAL_INSTANCE", json.loads(plan.read_text())["marker"])
        self.process.networks.prune()
        self.process.close()

    def _prepare(self, say: Callable[[str], None]) -> None:
        if not self._is_prepared:
            say("making an environment")
        self._is_prepared = True

    def _make(self) -> ProcessDriver:
        environment = Environment(
            Path(sys.executable),
            (self.bin,),
            make=self._prepare,
            is_ready=lambda: self._is_prepared,
        )
        return ProcessDriver(
            self.driver_folder, self.isolation, self.engine_port, lambda _: environment
        )


PRIVATE = "private-networks"
"""Isolation by namespaces, and with a network for each instance."""
PROCESS_STAGES = (PRIVATE, *map(str, Isolation))


def process_stage(root: Path, name: str) -> ProcessStage | None:
    """The stage of that name, or None if this machine does not allow it."""
    isolation = Isolation.NAMESPACES if name == PRIVATE else Isolation(name)
    if not allows(isolation, root):
        return None
    stage = ProcessStage(root, isolation, engine_port=ENGINE_PORT if name == PRIVATE else None)
    if stage.process.networks.are_private == (name == PRIVATE):
        return stage
    stage.close()
    return None


def program_of(behaviour: Behaviour) -> str:
    """Python source that behaves so."""
    lines = [
        "import os, signal, sys, threading",
        f"if {behaviour.ignores_sigterm}: signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        f"code = {behaviour.exit_code_on_sigterm}",
        "if code is not None: signal.signal(signal.SIGTERM, lambda *_: os._exit(code))",
        *(f"print({line!r})" for line in behaviour.lines),
        "print('ready', flush=True)",
        f"threading.Event().wait({behaviour.runs_for_s})",
        f"if {behaviour.signal}: os.kill(os.getpid(), {behaviour.signal})",
        f"sys.exit({behaviour.exit_code})",
    ]
    return "\n".join(lines)


def kill_supervisor(folder: Path) -> None:
    """kill -9, as an out-of-memory killer or a careless person would."""
    pid = json.loads((folder / "supervisor.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits for something that cannot call back, such as a file's content."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


def processes_with(word: str) -> list[int]:
    """Pids of live processes whose environment or command line holds a word."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in text and entry.name != str(os.getpid()):
            found.append(int(entry.name))
    return found


def processes_of(spec: InstanceSpec) -> list[int]:
    """Pids of an instance's tree, its supervisor among them."""
    return processes_with(json.loads((spec.folder / "plan.json").read_text())["marker"])


def text_of(log: Path) -> str:
    """A log without its times."""
    return "".join(line.partition(" ")[2] for line in log.read_text().splitlines(keepends=True))


def with_mounts(spec: InstanceSpec, *mounts: Mount) -> InstanceSpec:
    """The spec with further folders."""
    return replace(spec, mounts=mounts)


def with_environment(spec: InstanceSpec, variables: Mapping[str, str]) -> InstanceSpec:
    """The spec with variables."""
    return replace(spec, environment=variables)
