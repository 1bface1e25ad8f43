"""Multi-model endpoints: which models an instance holds, loaded at the first call to each.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
The container knows a model by a name that is made of the target and of the archive's content, so an
archive that was replaced is another model, and an engine that has just started asks the container
what it holds. One load a model and instance is under way at once; whoever wants the model waits for
it, nobody else does. Used on the event loop only; files are a matter of threads.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from intermodal_contract.serving_http import MODELS_PATH
from intermodal_engine.router.connection import ConnectionPool
from intermodal_engine.router.errors import (
    ConnectFailedError,
    ConnectionLostError,
    ModelChangedError,
    ModelLoadError,
    ModelMissingError,
    NoRoomError,
    RouterError,
)
from intermodal_engine.router.heads import request_head
from intermodal_engine.router.model import Ask, Model, ModelFiles, ModelSource, Record

LOAD_TIMEOUT_S = 360.0
"""A load goes on for so long, whoever has given up waiting for it. AWS page:
invoke-multi-model-endpoint."""

UNLOAD_TIMEOUT_S = 60.0
PAGE = 1000
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(slots=True, eq=False)
class InstanceModels:
    """The models of one instance.

    Attributes:
        source: where they come from.
        files: gets them.
        ask: asks the container.
        record: adds a value of a metric.
    """

    source: ModelSource
    files: ModelFiles
    ask: Ask
    record: Record
    _models: dict[str, Model] = field(default_factory=dict)
    _uses: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _known: "asyncio.Task[None] | None" = None

    def has(self, target: str) -> bool:
        """Whether it has a model of that target in memory, or is loading one."""
        family = self.files.family(target)
        return any(
            one.family == family and (one.is_loaded or one.work) for one in self._models.values()
        )

    @property
    def count(self) -> int:
        """How many it has in memory. From any thread."""
        return sum(one.is_loaded for one in list(self._models.values()))

    async def take(self, target: str) -> Model:
        """A target's model, in memory until `give_back`.

        Raises:
            InvalidTargetError, ModelMissingError: there is no such model.
            ModelLoadError: the container does not take it.
            ConnectFailedError: the container is not there.
        """
        began = time.perf_counter()
        await self._know()
        while True:
            model = await self._newest(target)
            is_hit = model.is_loaded
            try:
                await self._hold(model, target)
            except ModelChangedError:
                continue
            break
        self.record("ModelCacheHit", float(is_hit))
        if not is_hit:
            self.record("ModelLoadingWaitTime", (time.perf_counter() - began) * 1e6)
        return model

    def give_back(self, model: Model) -> None:
        """A request needs a model no more."""
        model.users -= 1
        is_wanted = self.source.is_cached and not model.is_stale
        if model.is_idle and model.is_loaded and not is_wanted:
            self._begin(model, self._unload(model, drops=True))
        self._notify(model)

    async def has_lost(self, model: Model) -> bool:
        """Whether the container, asked anew, does not know a model that it had."""
        status, _ = await self.ask("GET", model.path, b"", UNLOAD_TIMEOUT_S)
        if status != HTTPStatus.NOT_FOUND:
            return False
        model.is_loaded = False
        return True

    async def _hold(self, model: Model, target: str) -> None:
        """Has it loaded, and kept there."""
        model.users += 1
        try:
            while not model.is_loaded:
                work = model.work or self._begin(model, self._load(model, target))
                await asyncio.shield(work)
        except BaseException:
            self.give_back(model)
            raise
        self._uses += 1
        model.used_at = self._uses

    # What there is.

    async def _know(self) -> None:
        """Finds out, once, what an earlier engine has loaded and fetched."""
        if self._known is None or (self._known.done() and _has_failed(self._known)):
            self._known = asyncio.ensure_future(self._find_out())
        if not self._known.done():
            await asyncio.shield(self._known)

    async def _find_out(self) -> None:
        present = await asyncio.to_thread(self.files.present, self.source)
        for name, size_bytes in present.items():
            self._models.setdefault(name, Model(name)).size_bytes = size_bytes
        async for name in self._listed():
            if name in self._models:
                self._models[name].is_loaded = True

    async def _listed(self) -> AsyncIterator[str]:
        token = ""
        while True:
            query = f"?limit={PAGE}" + (f"&next_page_token={token}" if token else "")
            with _as_unreachable():
                status, body = await self.ask("GET", f"{MODELS_PATH}{query}", b"", UNLOAD_TIMEOUT_S)
            content = _json(body) if status == HTTPStatus.OK else {}
            for one in content.get("models", ()):
                yield one.get("modelName")
            token = str(content.get("nextPageToken") or "")
            if not token:
                return

    async def _newest(self, target: str) -> Model:
        """The model of what is in S3 now; where that is gone, the one that is in memory still."""
        try:
            name = await asyncio.to_thread(self.files.find, self.source, target)
        except ModelMissingError:
            family = self.files.family(target)
            held = [one for one in self._models.values() if one.family == family and one.is_loaded]
            if not held:
                raise
            return max(held, key=lambda one: one.used_at)
        model = self._models.setdefault(name, Model(name))
        if model.is_stale:  # an archive was put back
            model.is_stale = False
            self._retire_older(model)
        return model

    # Work.

    def _begin(self, model: Model, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Does one piece of work on a model, for all who wait for it."""
        model.work = asyncio.ensure_future(self._do(model, work))
        model.work.add_done_callback(_take_note)  # all who asked may have left
        return model.work

    async def _do(self, model: Model, work: Coroutine[Any, Any, None]) -> None:
        """The work is over before its task is: who awaits a task that is done does not pause."""
        try:
            await work
        finally:
            model.work = None
            self._notify(model)

    async def _load(self, model: Model, target: str) -> None:
        await self._fetch(model, target)
        began = time.perf_counter()
        url = f"/opt/ml/models/{model.name}/model"
        body = json.dumps({"model_name": model.name, "url": url}).encode()
        while True:
            with _as_unreachable():
                status, text = await self.ask("POST", MODELS_PATH, body, LOAD_TIMEOUT_S)
            if status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.CONFLICT:
                break
            is_short = status == HTTPStatus.INSUFFICIENT_STORAGE
            if not (is_short and await self._make_room(model, on_disk=False)):
                raise ModelLoadError(status, text.decode("utf-8", "replace"))
        model.is_loaded = True
        self.record("ModelLoadingTime", (time.perf_counter() - began) * 1e6)
        self._retire_older(model)

    async def _fetch(self, model: Model, target: str) -> None:
        """Gets the files, unless they are there."""
        if model.size_bytes is None:
            began = time.perf_counter()
            model.size_bytes = await self._fetched(model, target)
            self.record("ModelDownloadingTime", (time.perf_counter() - began) * 1e6)
        limit = self.source.limit_bytes
        while limit is not None and self._size_bytes() > limit:
            if not await self._make_room(model, on_disk=True):
                await self._drop(model)
                raise ModelLoadError(
                    HTTPStatus.INSUFFICIENT_STORAGE,
                    f"the models that are in use leave no room on the instance's volume of {limit} "
                    "bytes",
                )

    async def _fetched(self, model: Model, target: str) -> int:
        while True:
            try:
                return await asyncio.to_thread(self.files.fetch, self.source, target, model.name)
            except NoRoomError as error:
                if not await self._make_room(model, on_disk=True):
                    raise ModelLoadError(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from error

    def _size_bytes(self) -> int:
        return sum(one.size_bytes or 0 for one in self._models.values())

    def _retire_older(self, model: Model) -> None:
        """Whoever uses an older model of the target goes on with it; then it goes."""
        for one in list(self._models.values()):
            if one.family == model.family and one is not model:
                one.is_stale = True
                if one.is_idle:
                    self._begin(one, self._unload(one, drops=True))

    async def _unload(self, model: Model, *, drops: bool) -> None:
        """Has the container forget a model; one that is not there is forgotten already."""
        if model.is_loaded:
            model.is_loaded = False
            began = time.perf_counter()
            with contextlib.suppress(RouterError):
                await self.ask("DELETE", model.path, b"", UNLOAD_TIMEOUT_S)
            self.record("ModelUnloadingTime", (time.perf_counter() - began) * 1e6)
        if drops:
            await self._drop(model)

    async def _drop(self, model: Model) -> None:
        model.size_bytes = None
        await asyncio.to_thread(self.files.drop, self.source, model.name)

    # Room.

    async def _make_room(self, model: Model, *, on_disk: bool) -> bool:
        """Lets the model go that was used last the longest ago, of those that nobody needs now.

        Where all are needed it waits for one, unless none is there to wait for.

        Args:
            model: what the room is for.
            on_disk: whether room on disk is short; else it is in memory.

        Returns:
            Whether it is worth another try.
        """
        has_waited = False
        while True:
            others = [one for one in self._models.values() if one is not model]
            idle = list(_that_may_go(others, on_disk=on_disk))
            if idle:
                oldest = min(idle, key=lambda one: (on_disk and one.is_loaded, one.used_at))
                await asyncio.shield(self._begin(oldest, self._unload(oldest, drops=on_disk)))
                return True
            if not any(one.is_loaded or (one.work and not one.is_waiting) for one in others):
                return has_waited
            await self._wait(model)
            has_waited = True

    async def _wait(self, model: Model) -> None:
        """Until something has changed, and that may be that somebody else waits too."""
        changed = self._changed
        model.is_waiting = True
        try:
            await changed.wait()
        finally:
            model.is_waiting = False

    def _notify(self, model: Model) -> None:
        """Something about a model has changed; one of which nothing is there is forgotten."""
        if model.is_idle and not model.is_loaded and model.size_bytes is None:
            self._models.pop(model.name, None)
        self._changed.set()
        self._changed = asyncio.Event()


def asker(pool: ConnectionPool, host: str) -> Ask:
    """Asks what is behind a pool, over connections of its own.

    Args:
        pool: makes them.
        host: for the `Host` header.
    """

    async def ask(method: str, path: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        head = request_head(method, path, host, _JSON if body else {}, len(body))
        connection = await pool.acquire(fresh=True)
        answer = await connection.exchange(head, body, timeout_s)
        if isinstance(answer.body, bytes):
            return answer.status, answer.body
        return answer.status, b"".join([chunk async for chunk in answer.body])

    return ask


def _that_may_go(models: Iterable[Model], *, on_disk: bool) -> Iterator[Model]:
    for one in models:
        if one.is_idle and (one.is_loaded or (on_disk and one.size_bytes is not None)):
            yield one


def _take_note(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()


def _has_failed(task: "asyncio.Task[None]") -> bool:
    return task.cancelled() or task.exception() is not None


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def _as_unreachable() -> Iterator[None]:
    """Of the request itself nothing was sent yet, so it may go to another instance."""
    try:
        yield
    except ConnectionLostError as error:
        raise ConnectFailedError(str(error)) from error
