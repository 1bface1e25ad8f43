"""Which models an instance holds: loads, unloads, and the room for them."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from intermodal_engine.router.errors import (
    ModelLoadError,
    ModelMissingError,
    ModelNotReadyError,
    TargetMissingError,
    TargetNotSupportedError,
)
from intermodal_engine.router.instance import HOT_MODEL
from intermodal_engine.router.model import ModelSource
from intermodal_engine.router.router import Health, Invocation, InvocationResult, Route
from tests.helpers.many_models_container import FakeModelFiles, ManyModelsContainer
from tests.helpers.router import Stage, until

SOURCE = ModelSource("s3://b/many/", "/folder")


class Scene:
    """An endpoint of one instance with the models `a`, `b` and `c`."""

    def __init__(self, **options: Any) -> None:
        self.files = FakeModelFiles({"a": "1", "b": "2", "c": "3"})
        self.container = ManyModelsContainer()
        self.stage = Stage(model_files=self.files, **options)
        self.up("i-1", self.container)

    def up(self, backend_id: str, container: ManyModelsContainer, **source: Any) -> None:
        models = ModelSource(SOURCE.prefix, SOURCE.folder, **source)
        self.stage.up(backend_id, container.answer, models=models)

    def ask(self, target: str, body: bytes = b"x") -> str:
        result = self.stage.invoke(body, target_model=target)
        assert result.status == 200, result.body
        name, _, _ = self.stage.read(result).decode().partition(" ")
        return self.target_of(name)

    def begin(self, target: str, body: bytes = b"x") -> Any:
        async def call() -> InvocationResult:
            invocation = Invocation("/invocations", {}, body, target_model=target)
            return await self.stage.router.invoke("digits", invocation)

        return self.stage.begin(call())

    def target_of(self, name: str) -> str:
        """Which of the targets a model's name is of, and its content."""
        for target in "abc":
            if name.startswith(f"{self.files.family(target)}-"):
                return target
        raise AssertionError(name)

    def metric(self, name: str) -> list[tuple[int, float]]:
        """Counts and sums of a metric."""
        taken = self.stage.router.measurements.take()
        return [(one.count, one.total) for one in taken if one.metric == name]


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.stage.close()


def test_a_model_is_loaded_once_and_then_asked(scene: Scene) -> None:
    assert [scene.ask("a"), scene.ask("a"), scene.ask("b")] == ["a", "a", "b"]
    assert len(scene.container.loads) == 2
    (url,) = {url for name, url in scene.container.models.items() if scene.target_of(name) == "a"}
    assert url == f"/opt/ml/models/{scene.container.loads[0]}/model"
    assert scene.stage.router.loaded_models("i-1") == 2
    assert scene.metric("ModelCacheHit") == [(3, 1.0)]


def test_what_does_not_fit_into_memory_replaces_what_was_used_last_the_longest_ago(
    scene: Scene,
) -> None:
    scene.container.room = 2
    for target in ("a", "b", "a", "c"):
        assert scene.ask(target) == target
    assert [scene.target_of(name) for name in scene.container.unloads] == ["b"]
    assert scene.ask("b") == "b"
    assert scene.files.fetches == ["a", "b", "c"]  # on the disk it has stayed


def test_a_load_waits_for_a_model_that_is_in_use(scene: Scene) -> None:
    scene.container.room = 1
    scene.container.invoke_s = {b"slow": 0.3}
    slow = scene.begin("a", b"slow")
    until(lambda: any(one.body == b"slow" for one in scene.stage.instances[0].seen))
    assert scene.ask("b") == "b"
    assert slow.result().status == 200
    assert [scene.target_of(name) for name in scene.container.unloads] == ["a"]


def test_two_loads_into_memory_for_one_are_both_done(scene: Scene) -> None:
    scene.container.room = 1
    scene.container.load_s = 0.05
    answers = [scene.begin(target) for target in "abcabc"]
    assert [answer.result().status for answer in answers] == [200] * 6


def test_a_model_that_never_fits_is_told_with_the_container_s_words(scene: Scene) -> None:
    scene.container.room = 0
    with pytest.raises(ModelLoadError, match="no memory") as caught:
        scene.ask("a")
    assert caught.value.status == 507
    assert scene.metric("Invocation5XXErrors") == [(1, 1.0)]


def test_what_does_not_fit_on_the_disk_replaces_what_is_there(scene: Scene) -> None:
    scene.files.room = 2
    for target in "abc":
        assert scene.ask(target) == target
    assert [scene.target_of(name) for name in scene.container.unloads] == ["a"]
    assert len(scene.files.on_disk) == 2


def test_the_volume_bounds_what_lies_on_the_disk(scene: Scene) -> None:
    scene.files.archives = {"a": "x" * 60, "b": "y" * 60, "c": "z" * 200}
    scene.up("i-2", container := ManyModelsContainer(), limit_bytes=100)
    scene.stage.router.drain("i-1")
    assert [scene.ask("a"), scene.ask("b")] == ["a", "b"]
    assert [scene.target_of(name) for name in container.unloads] == ["a"]
    with pytest.raises(ModelLoadError, match="volume"):
        scene.ask("c")
    assert len(scene.files.on_disk) == 0


def test_a_replaced_archive_is_another_model_and_the_old_one_goes(scene: Scene) -> None:
    scene.ask("a")
    (old,) = scene.container.models
    scene.files.archives["a"] = "changed"
    assert scene.ask("a") == "a"
    until(lambda: old in scene.container.unloads)
    until(lambda: old not in scene.files.on_disk)
    assert len(scene.container.models) == 1


def test_a_model_whose_archive_is_gone_is_served_from_memory(scene: Scene) -> None:
    scene.ask("a")
    del scene.files.archives["a"], scene.files.archives["b"]
    assert scene.ask("a") == "a"
    with pytest.raises(ModelMissingError):
        scene.ask("b")


def test_a_model_that_the_container_has_lost_is_loaded_anew(scene: Scene) -> None:
    scene.ask("a")
    scene.container.models.clear()
    assert scene.ask("a") == "a"
    assert len(scene.container.loads) == 2


def test_without_a_cache_a_model_goes_after_its_call(scene: Scene) -> None:
    scene.up("i-2", container := ManyModelsContainer(), is_cached=False)
    scene.stage.router.drain("i-1")
    assert scene.ask("a") == "a"
    until(lambda: len(container.unloads) == 1 and not scene.files.on_disk)
    assert scene.ask("a") == "a"


def test_the_instance_that_holds_a_model_is_asked_unless_it_has_too_much_to_do(
    scene: Scene,
) -> None:
    scene.up("i-2", other := ManyModelsContainer())
    scene.ask("a")
    holder, idle = sorted([scene.container, other], key=lambda one: len(one.loads), reverse=True)
    assert [scene.ask("a") for _ in range(3)] == ["a"] * 3
    assert not idle.loads
    holder.invoke_s = {b"slow": 0.5}
    slow = [scene.begin("a", b"slow") for _ in range(HOT_MODEL)]
    until(lambda: sum(scene.stage.router.in_flight(f"i-{n}") for n in (1, 2)) == HOT_MODEL)
    assert scene.ask("a") == "a"
    assert len(idle.loads) == 1
    assert {one.result().status for one in slow} == {200}


def test_a_load_that_takes_too_long_goes_on_without_its_caller() -> None:
    scene = Scene(timeout_s=0.3)
    try:
        scene.container.load_s = 0.6
        with pytest.raises(ModelNotReadyError):
            scene.ask("a")
        until(lambda: len(scene.container.loads) == 1)
        assert scene.ask("a") == "a"
        assert len(scene.container.loads) == 1
    finally:
        scene.stage.close()


def test_an_instance_that_dies_while_it_loads_is_replaced_by_another(scene: Scene) -> None:
    scene.container.load_s = 5.0
    asked = scene.begin("a")
    until(lambda: bool(scene.stage.instances[0].seen[1:]))
    other = ManyModelsContainer()
    scene.up("i-2", other)
    scene.stage.instances[0].close()
    assert asked.result(10).status == 200
    assert len(other.loads) == 1


def test_another_router_finds_what_is_loaded(scene: Scene) -> None:
    scene.ask("a")
    again = Stage(model_files=scene.files)
    try:
        again.add("i-1", scene.stage.instances[0].port, models=SOURCE)
        again.wait_for("i-1", Health.HEALTHY)
        again.router.direct("digits", [Route(1, "main", 1.0)])
        assert again.invoke(target_model="a").status == 200
        assert len(scene.container.loads) == 1
        assert again.router.loaded_models("i-1") == 1
    finally:
        again.close()


def test_a_target_is_for_endpoints_of_many_models_alone(scene: Scene) -> None:
    with pytest.raises(TargetMissingError):
        scene.stage.invoke()
    scene.stage.up("j-1", endpoint="single")
    with pytest.raises(TargetNotSupportedError):
        scene.stage.invoke(endpoint="single", target_model="a")
    assert scene.metric("Invocation4XXErrors") == [(1, 1.0), (1, 1.0)]


@pytest.mark.parametrize(
    ("room", "disk", "is_cached"), [(3, 100, True), (1, 1, True), (2, 3, False), (100, 2, True)]
)
def test_whatever_is_short_and_changes_every_request_is_answered(
    room: int, disk: int, is_cached: bool
) -> None:
    targets = [f"t{number}" for number in range(8)]
    files = FakeModelFiles(dict.fromkeys(targets, "x"), disk)
    container = ManyModelsContainer(room)
    container.load_s, container.invoke_s = 0.002, {b"slow": 0.005}
    stage = Stage(model_files=files, timeout_s=20.0)
    chance = random.Random(room)
    try:
        source = ModelSource(SOURCE.prefix, SOURCE.folder, is_cached)
        stage.up("i-1", container.answer, models=source)
        calls = []
        for number in range(200):
            body, target = chance.choice([b"slow", b"fast"]), chance.choice(targets)
            invocation = Invocation("/invocations", {}, body, target_model=target)
            calls.append(stage.begin(stage.router.invoke("digits", invocation)))
            if number % 7 == 0:
                files.archives[chance.choice(targets)] = str(number)
            if number % 5 == 0:
                time.sleep(0.003)
            if number % 50 == 49:
                calls.pop().cancel()
        assert {call.result(20).status for call in calls} == {200}
        until(lambda: stage.router.loaded_models("i-1") == len(container.models))
        assert len(files.on_disk) <= disk
    finally:
        stage.close()
