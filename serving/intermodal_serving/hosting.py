"""The models that one worker of a multi-model container holds in memory.

What exists is in the registry, which all workers share; a worker loads its own copy of a model when
it is first asked for it, and drops it once the registry says so. Loads of one worker come one after
the other, on the model's thread like everything of a model: plain handlers of other models wait
meanwhile in that worker; `async` handlers, `/ping` and `/models` do not.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

from intermodal_serving import addresses, capacity, hosted_model
from intermodal_serving.board import Board, Row
from intermodal_serving.errors import (
    BadRequestError,
    BrokenModelError,
    InsufficientMemoryError,
    ModelExistsError,
    ModelNotFoundError,
)
from intermodal_serving.hosted_model import Failure, Held
from intermodal_serving.pipeline import LoadedModel
from intermodal_serving.registry import Claim, Entry, Registry, Removed
from intermodal_serving.runner import Runner
from intermodal_serving.settings import EVICT_MODELS, MIB, Settings

logger = logging.getLogger("serve")

LOAD_ALLOWANCE_S = 300.0
"""A load may take so much longer than an invocation before its worker counts as hanging: with the
60 s of an invocation, the 360 s that the platform waits (page invoke-multi-model-endpoint)."""

RECLAIM_TIMEOUT_S = 10.0
"""So long an unload waits for requests to the model that have begun, in all workers."""

RETRY_AFTER_S = 5.0
"""A model that a worker could not load is not tried again there before that."""

ASK_S = 0.005
TOUCH_S = 1.0


class Host:
    """The models of one worker; all methods are called on the loop.

    Args:
        settings: how they are run.
        runner: runs them.
        board: what all workers hold.
        row: what this one holds.
        registry: which models there are.
        tell: lets the other workers look at the registry.
        models_in_use: the models of invocations that have not ended.
    """

    def __init__(
        self,
        settings: Settings,
        runner: Runner,
        board: Board,
        row: Row,
        registry: Registry,
        tell: Callable[[], None],
        models_in_use: Callable[[], Iterable[LoadedModel]],
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._board = board
        self._row = row
        self._registry = registry
        self._tell = tell
        self._models_in_use = models_in_use
        self._held: dict[str, Held] = {}
        self._loading: dict[str, asyncio.Task[Held]] = {}
        self._failed: dict[str, tuple[float, tuple[str, str | None]]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, name: str) -> Held | None:
        """A model, if it is in this worker's memory and still wanted."""
        held = self._held.get(name)
        if held is None or not held.claim.is_current:
            return None
        if self._settings.evict_models:
            now = monotonic()
            if now - held.touched_at > TOUCH_S:
                held.touched_at = now
                held.claim.touch()
        return held

    async def load(self, name: str) -> None:
        """Load a model that is known; `find` has it then, unless it is unloaded at once.

        Raises:
            ModelNotFoundError: there is none of that name.
            BrokenModelError: it cannot be loaded.
            InsufficientMemoryError: there is no room for it here.
        """
        self.look()
        task = self._loading.get(name)
        if task is None:
            self._raise_if_it_failed(name)
            claim = self._registry.claim(name)
            if claim is None:
                raise not_found(name)
            task = self._begin(name, self._load_known(claim))
        await asyncio.shield(task)

    async def add(self, name: str, url: str) -> Entry:
        """Load a model and let all workers know of it.

        Raises:
            BadRequestError: the URL is none that a model may have.
            ModelExistsError: there is one of that name.
            BrokenModelError: it cannot be loaded.
            InsufficientMemoryError: there is no room for it.
        """
        while (task := self._loading.get(name)) is not None:
            await asyncio.wait([task])
        if self._registry.find(name) is not None:
            raise _exists(name)
        self._failed.pop(name, None)
        return (await asyncio.shield(self._begin(name, self._load_new(name, url)))).claim.entry

    async def remove(self, name: str) -> Entry:
        """Unload a model from all workers.

        Raises:
            ModelNotFoundError: there is none of that name.
        """
        removed = self._registry.remove(name)
        if removed is None:
            raise not_found(name)
        logger.info("unloading the model `%s`", name)
        await self._reclaim(removed)
        return removed.entry

    def look(self) -> None:
        """Drop what the registry no longer has."""
        for name, held in list(self._held.items()):
            if not held.claim.is_current:
                del self._held[name]
                self._spawn(self._drop(held))
        for name in list(self._failed):
            if self._registry.find(name) is None:
                del self._failed[name]

    # Loading.

    def _begin(self, name: str, load: Coroutine[Any, Any, Held]) -> "asyncio.Task[Held]":
        """Whoever else asks for the model meanwhile waits for the same load."""
        task = asyncio.get_running_loop().create_task(load)
        self._loading[name] = task

        def end(task: "asyncio.Task[Held]") -> None:
            del self._loading[name]
            if not task.cancelled():
                task.exception()  # all who asked may have left

        task.add_done_callback(end)
        return task

    async def _load_known(self, claim: Claim) -> Held:
        name, base_dir = claim.entry.name, self._settings.base_dir
        claim.touch()
        try:
            folder, size_bytes = await asyncio.to_thread(
                addresses.find_model, claim.entry.url, base_dir
            )
            held = await self._load(claim, folder, size_bytes, others=0)
        except BaseException as error:
            claim.release()
            if isinstance(error, BadRequestError | BrokenModelError):
                self._failed[name] = monotonic() + RETRY_AFTER_S, (error.message, error.hint)
                self._raise_if_it_failed(name)
            raise
        if not held.claim.is_current:
            await self._drop(held)
            raise not_found(name)
        self._keep(held)
        return held

    async def _load_new(self, name: str, url: str) -> Held:
        base_dir = self._settings.base_dir
        folder, size_bytes = await asyncio.to_thread(addresses.find_model, url, base_dir)
        draft = self._registry.draft(Entry(name, url, size_bytes))
        try:
            held = await self._load(draft, folder, size_bytes, others=self._board.wanted - 1)
        except BaseException:
            self._registry.discard(draft)
            draft.release()
            raise
        if not self._registry.publish(draft):
            self._registry.discard(draft)
            await self._drop(held)
            raise _exists(name)
        self._keep(held)
        return held

    def _keep(self, held: Held) -> None:
        self.look()  # the one before of that name, if it is still there
        self._held[held.claim.entry.name] = held

    async def _load(self, claim: Claim, folder: Path, size_bytes: int, *, others: int) -> Held:
        name = claim.entry.name
        settings = hosted_model.settings_for(self._settings, name, folder)
        async with self._one_at_a_time:
            while True:
                await self._make_room(name, size_bytes, others)
                self._row.loading_bytes = capacity.MODEL_FACTOR * size_bytes
                try:
                    loaded = await self._runner.call(
                        functools.partial(self._load_here, claim, size_bytes, settings)
                    )
                finally:
                    self._row.loading_bytes = 0.0
                if isinstance(loaded, Held):
                    self._row.count_load()
                    self._row.model_bytes += size_bytes
                    return loaded
                if not loaded.is_shortage:
                    raise BrokenModelError(
                        f"the model `{name}` cannot be loaded: {loaded.message}", hint=loaded.hint
                    )
                if not await self._evict_one(name):
                    raise InsufficientMemoryError(
                        f"memory ran out while the model `{name}` was loaded: {loaded.message}",
                        hint=_HINT,
                    )

    def _load_here(self, claim: Claim, size_bytes: int, settings: Settings) -> Held | Failure:
        """On the model's thread."""
        self._row.extend(LOAD_ALLOWANCE_S)
        return hosted_model.load(claim, size_bytes, settings, self._runner.wait_for)

    def _raise_if_it_failed(self, name: str) -> None:
        if name in self._failed:
            until, (message, hint) = self._failed[name]
            if monotonic() < until:
                raise BrokenModelError(message, hint=hint)
            del self._failed[name]

    # Memory.

    async def _make_room(self, name: str, size_bytes: int, others: int) -> None:
        """See to it that a model fits.

        Args:
            name: of the model.
            size_bytes: of its files.
            others: how many more workers will hold it sooner or later.
        """
        needed = capacity.MODEL_FACTOR * size_bytes
        if not self._settings.evict_models:
            needed += others * size_bytes + (self._promised_bytes() if others else 0)
        while True:
            needed_now = needed + int(sum(row.loading_bytes for row in self._board))
            available = capacity.available_bytes()
            if needed_now <= available:
                return
            held = int(sum(row.model_bytes for row in self._board))
            can_help = needed_now <= available + held
            if not (can_help and await self._evict_one(name)):
                raise InsufficientMemoryError(
                    f"the model `{name}` needs {needed_now / MIB:.0f} MiB of memory, "
                    f"and {available / MIB:.0f} MiB are available",
                    hint=_HINT,
                )

    def _promised_bytes(self) -> int:
        """What workers will take for models that are known and that they do not hold yet."""
        total = self._registry.total_bytes
        workers = [row for row in self._board if row.pid]
        return int(sum(max(0.0, total - row.model_bytes) for row in workers))

    async def _evict_one(self, wanted: str) -> bool:
        """Throw the least recently used model out of all workers, if that is asked for."""
        if not self._settings.evict_models:
            return False
        entry = self._registry.least_recently_used(but=wanted)
        removed = self._registry.renew(entry.name) if entry is not None else None
        if entry is None or removed is None:
            return False
        logger.info("memory is short: throwing out the model `%s`", entry.name)
        self._row.count_eviction()
        return await self._reclaim(removed)

    # Dropping.

    async def _reclaim(self, removed: Removed) -> bool:
        """Wait until all workers have let go of a model; False if that takes too long."""
        self.look()
        self._tell()
        try:
            # A lock that another process holds cannot be awaited, only asked for.
            ends_at = monotonic() + RECLAIM_TIMEOUT_S
            while not removed.is_free:
                if monotonic() > ends_at:
                    logger.warning(
                        "requests to the model `%s` go on: it leaves memory after them",
                        removed.entry.name,
                    )
                    return False
                await asyncio.sleep(ASK_S)
            return True
        finally:
            removed.close()

    async def _drop(self, held: Held) -> None:
        """Let a model go, once the last request to it has ended."""
        while any(model is held.model for model in self._models_in_use()):
            await asyncio.sleep(ASK_S)
        await self._runner.call(functools.partial(hosted_model.forget, held))
        self._row.model_bytes -= held.size_bytes
        held.claim.release()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_HINT = (
    f"unload another model, or let the least recently used one be thrown out: {EVICT_MODELS}=true"
)


def not_found(name: str) -> ModelNotFoundError:
    """That there is no model of that name."""
    return ModelNotFoundError(f"no model `{name}` is loaded", hint="POST /models loads one")


def _exists(name: str) -> ModelExistsError:
    return ModelExistsError(
        f"a model `{name}` is loaded already", hint=f"DELETE /models/{name} unloads it"
    )
