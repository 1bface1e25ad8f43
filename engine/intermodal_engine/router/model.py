"""One model of a multi-model endpoint's instance, where it comes from, and who gets it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from intermodal_contract.serving_http import MODELS_PATH

if TYPE_CHECKING:
    import asyncio

Ask = Callable[[str, str, bytes, float], Awaitable[tuple[int, bytes]]]
"""`(method, path, body, time-out)` of a request to the container, to its answer's status and body.
"""

Record = Callable[[str, float], None]
"""Adds a value of a metric."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the models of one instance come from, and where they go.

    Attributes:
        prefix: S3 URI that the targets of requests are relative to.
        folder: the host's folder that the container sees as `/opt/ml/models`.
        is_cached: whether a model stays after a call.
        limit_bytes: what all models may take on disk; None: what the disk has.
    """

    prefix: str
    folder: str
    is_cached: bool = True
    limit_bytes: int | None = None


class ModelFiles(Protocol):
    """Gets the archives of models, and unpacks them. Methods may take time, and run in threads."""

    def find(self, source: ModelSource, target: str) -> str:
        """The name of a target's model as it is in S3 now: its `family`, `-`, its content's.

        Raises:
            InvalidTargetError: there can be no such model.
            ModelMissingError: there is none.
        """

    def family(self, target: str) -> str:
        """What the names of all models of a target begin with."""

    def fetch(self, source: ModelSource, target: str, name: str) -> int:
        """Puts the files of a model into the folder; returns their size in bytes.

        Raises:
            InvalidTargetError: the archive is none.
            ModelMissingError: it is gone.
            ModelChangedError: it is another by now.
            NoRoomError: the disk is full.
        """

    def present(self, source: ModelSource) -> dict[str, int]:
        """The names of the models whose files are there, and their sizes in bytes."""

    def drop(self, source: ModelSource, name: str) -> None:
        """Removes the files of a model."""


@dataclass(slots=True, eq=False)
class Model:
    """One model of one instance.

    Attributes:
        name: what the container knows it by.
        users: requests that need it.
        used_at: number of the last request that did.
        size_bytes: of its files; None where they are not there.
        is_loaded: whether the container has it in memory.
        is_stale: there is a newer one of the same target.
        is_waiting: its load waits until something else is unloaded.
        work: its load or unload, while one is under way.
    """

    name: str
    users: int = 0
    used_at: int = 0
    size_bytes: int | None = None
    is_loaded: bool = False
    is_stale: bool = False
    is_waiting: bool = False
    work: "asyncio.Task[None] | None" = None

    @property
    def family(self) -> str:
        """The same for all models of a target."""
        return self.name.partition("-")[0]

    @property
    def path(self) -> str:
        """Where the container tells of it."""
        return f"{MODELS_PATH}/{self.name}"

    @property
    def is_idle(self) -> bool:
        """Whether it may go."""
        return self.users == 0 and self.work is None
