"""The HTTP surface of a container that serves many models.

AWS page: mms-container-apis.

    POST   /models                 {"model_name", "url"}: load one
    GET    /models                 all, page by page: `limit`, `next_page_token`
    GET    /models/{name}          one
    DELETE /models/{name}          unload it
    POST   /models/{name}/invoke   ask it
    POST   /invocations            the same, the name in X-Amzn-SageMaker-Target-Model
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import parse_qs

import orjson

from intermodal_contract.serving_http import MODELS_PATH, TARGET_MODEL_HEADER
from intermodal_serving import addresses, capacity
from intermodal_serving.app import JSON_HEADERS, App, Route
from intermodal_serving.board import Board, Row
from intermodal_serving.errors import (
    BadRequestError,
    InsufficientMemoryError,
    ModelTimeoutError,
    RequestError,
)
from intermodal_serving.hosting import Host, not_found
from intermodal_serving.messages import Answer, Request
from intermodal_serving.pipeline import LoadedModel
from intermodal_serving.registry import Entry, Registry
from intermodal_serving.runner import Runner
from intermodal_serving.settings import Settings

logger = logging.getLogger("serve")

_TARGET_MODEL = TARGET_MODEL_HEADER.lower().encode()
_PREFIX = f"{MODELS_PATH}/"


class MultiModelApp(App):
    """The application of one worker among those that serve many models.

    Args:
        settings: the limits.
        runner: runs the models.
        board: what all workers say.
        row: what this one says.
        registry: which models there are.
        tell: lets the other workers look at the registry.
    """

    def __init__(
        self,
        settings: Settings,
        runner: Runner,
        board: Board,
        row: Row,
        registry: Registry,
        tell: Callable[[], None],
    ) -> None:
        super().__init__(settings, runner, board, row)
        self._registry = registry
        self._host = Host(
            settings, runner, board, row, registry, tell,
            self._models_in_use,
        )  # fmt: skip
        self._routes[MODELS_PATH] = {"GET": self._list, "HEAD": self._list, "POST": self._load}
        self._model_routes: dict[str, Route] = {
            "GET": self._describe,
            "HEAD": self._describe,
            "DELETE": self._unload,
        }
        self._invoke_routes: dict[str, Route] = {"POST": self._invoke_by_path}

    def look(self) -> None:
        """The registry has changed."""
        self._host.look()

    def watch(self) -> None:
        """End what ran out of time, drop what is unloaded; called again and again."""
        super().watch()
        self._host.look()

    def _models_in_use(self) -> Iterator[LoadedModel]:
        streamed = (stream.invocation for stream in self._streams)
        return (invocation.model for invocation in (*self._in_flight, *streamed))

    def _find_route(self, path: str) -> dict[str, Route] | None:
        if not path.startswith(_PREFIX):
            return None
        name, slash, verb = path[len(_PREFIX) :].partition("/")
        if not name or (slash and verb != "invoke"):
            return None
        return self._invoke_routes if slash else self._model_routes

    def _list(self, request: Request) -> None:
        limit, token = addresses.read_page_request(parse_qs(request.query))
        entries, next_token = self._registry.page(limit, token)
        content: dict[str, Any] = {"models": [_describe(entry) for entry in entries]}
        if next_token is not None:
            content["nextPageToken"] = next_token
        self._reply(request, _json(content))

    def _load(self, request: Request) -> None:
        name, url = addresses.read_load_request(request.body)
        self._begin(request, self._load_model(request, name, url))

    def _describe(self, request: Request) -> None:
        name = _name_in(request)
        entry = self._registry.find(name)
        if entry is None:
            raise not_found(name)
        self._reply(request, _json(_describe(entry)))

    def _unload(self, request: Request) -> None:
        self._begin(request, self._unload_model(request, _name_in(request)))

    def _invoke(self, request: Request) -> None:
        target = request.header(_TARGET_MODEL)
        if target is None:
            raise BadRequestError(
                "this container serves many models, and the request names none",
                hint=f"send {TARGET_MODEL_HEADER}, or ask /models/NAME/invoke",
            )
        self._invoke_model(request, addresses.name_in_bytes(target))

    def _invoke_by_path(self, request: Request) -> None:
        self._invoke_model(request, _name_in(request))

    def _invoke_model(self, request: Request, name: str) -> None:
        held = self._host.find(name)
        if held is not None:
            self._submit(request, held.model, held.properties)
        else:
            self._begin(request, self._load_and_invoke(request, name))

    # What takes time.

    def _begin(self, request: Request, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(self._guard(request, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, request: Request, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RequestError as error:
            self._reply_error(request, error)
        except Exception as error:
            if capacity.is_shortage(error):  # no more files may be open, for one
                self._reply_error(request, InsufficientMemoryError(str(error)))
                return
            logger.exception("an error of the server itself")
            self._reply_error(request, RequestError("the server failed; its log tells why"), 500)

    async def _load_model(self, request: Request, name: str, url: str) -> None:
        entry = await self._host.add(name, url)
        self._reply(request, _json(_describe(entry)))

    async def _unload_model(self, request: Request, name: str) -> None:
        entry = await self._host.remove(name)
        self._reply(request, _json(_describe(entry)))

    async def _load_and_invoke(self, request: Request, name: str) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                # It may be unloaded, or thrown out, between two turns of the loop.
                while (held := self._host.find(name)) is None:
                    await self._host.load(name)
        except TimeoutError:
            raise ModelTimeoutError(
                f"the model `{name}` is still loading after {self._settings.timeout_s:g} s",
                hint="ask again: the load goes on",
            ) from None
        if request.connection.is_open:
            self._submit(request, held.model, held.properties)


def _name_in(request: Request) -> str:
    return addresses.name_in_path(request.path[len(_PREFIX) :].partition("/")[0])


def _describe(entry: Entry) -> dict[str, str]:
    return {"modelName": entry.name, "modelUrl": entry.url}


def _json(content: dict[str, Any]) -> Answer:
    return Answer(200, orjson.dumps(content), JSON_HEADERS)
