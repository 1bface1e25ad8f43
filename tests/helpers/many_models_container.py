"""A container that serves many models, by AWS's contract, with room for so many; and its files."""

import asyncio
import errno
import hashlib
import json
import threading
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from intermodal_engine.router.errors import ModelMissingError, NoRoomError
from intermodal_engine.router.model import ModelSource
from tests.helpers.http_instance import Reply, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping


class ManyModelsContainer:
    """Answers as a multi-model container does.

    Args:
        room: how many models fit into its memory.
    """

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.models: dict[str, str] = {}
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.load_s = 0.0
        self.invoke_s: Mapping[bytes, float] = {}
        self.refuses_with: int | None = None

    async def answer(self, seen: Seen) -> Reply:
        """One request."""
        method_path = PurePosixPath(seen.path.partition("?")[0]).parts[1:]
        if method_path == ("models",):
            return await self._load(seen.body) if seen.body else self._list()
        name = method_path[1]
        if name not in self.models:
            return Reply(b"no such model", 404)
        if method_path[2:] == ("invoke",):
            await asyncio.sleep(self.invoke_s.get(seen.body, 0.0))
            return Reply(f"{name} {seen.body.decode()}".encode())
        return self._one(name, seen)

    def _list(self) -> Reply:
        models = [{"modelName": name, "modelUrl": url} for name, url in self.models.items()]
        return Reply(json.dumps({"models": models}).encode())

    async def _load(self, body: bytes) -> Reply:
        asked = json.loads(body)
        if self.refuses_with is not None:
            return Reply(b"cannot", self.refuses_with)
        if asked["model_name"] in self.models:
            return Reply(status=409)
        if len(self.models) >= self.room:
            return Reply(b"no memory", 507)
        await asyncio.sleep(self.load_s)
        self.models[asked["model_name"]] = asked["url"]
        self.loads.append(asked["model_name"])
        return Reply()

    def _one(self, name: str, seen: Seen) -> Reply:
        if seen.method == "DELETE":
            del self.models[name]
            self.unloads.append(name)
        return Reply()


class FakeModelFiles:
    """Archives in memory: their content by target.

    Args:
        archives: content by target.
        room: how many unpacked models the disk takes.
    """

    def __init__(self, archives: dict[str, str], room: int = 100) -> None:
        self.archives = archives
        self.room = room
        self.on_disk: dict[str, int] = {}
        self.fetches: list[str] = []
        self._lock = threading.Lock()

    def find(self, source: ModelSource, target: str) -> str:
        """The name of the model that is there now."""
        if target not in self.archives:
            raise ModelMissingError(f"no {source.prefix}{target}")
        return f"{self.family(target)}-{_digest(self.archives[target])}"

    def family(self, target: str) -> str:
        """What the names of a target's models begin with."""
        return _digest(target)

    def fetch(self, source: ModelSource, target: str, name: str) -> int:
        """Puts a model on the disk."""
        with self._lock:
            if len(self.on_disk) >= self.room:
                raise NoRoomError("disk full") from OSError(errno.ENOSPC, "full")
            self.fetches.append(target)
            self.on_disk[name] = len(self.archives[target])
            return self.on_disk[name]

    def present(self, source: ModelSource) -> dict[str, int]:
        """What is on the disk."""
        return dict(self.on_disk)

    def drop(self, source: ModelSource, name: str) -> None:
        """Removes a model from the disk."""
        self.on_disk.pop(name, None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
