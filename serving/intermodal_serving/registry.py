"""Which models a container has, as all of its workers see it: one file per model in one folder.

The files outlive any worker. A worker that holds a model keeps its file open and locked (shared),
so two questions need no messages, and a worker that is killed leaves nothing behind:

    is what I hold still wanted?       the open file has a name (its link count is not 0)
    has everybody let go of it?        the file, by now without a name, can be locked exclusively

A model is unloaded by removing its file, and thrown out of memory by replacing the file with a
copy: either way the workers' open files lose their name, but what was thrown out is still known.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_SUFFIX = ".json"
_DRAFT = "draft"
_COPY = "copy"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model.

    Attributes:
        name: the platform's name for it.
        url: where it lies, as the platform said it.
        size_bytes: of its files.
    """

    name: str
    url: str
    size_bytes: int


class Claim:
    """That this process holds a model, or is about to.

    Args:
        entry: which one.
        descriptor: its file, open and locked; closed by `release`.
    """

    def __init__(self, entry: Entry, descriptor: int) -> None:
        self.entry = entry
        self._descriptor = descriptor

    @property
    def is_current(self) -> bool:
        """Whether the model is still wanted."""
        return os.fstat(self._descriptor).st_nlink > 0

    def touch(self) -> None:
        """The model was used just now."""
        os.utime(self._descriptor)

    def release(self) -> None:
        """The model is no longer held."""
        # Processes that the user's code has forked may have inherited the file.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


class Removed:
    """A model whose file is gone, and which workers may still hold.

    Args:
        entry: which one.
        descriptor: its file, open; closed by `close`.
    """

    def __init__(self, entry: Entry, descriptor: int) -> None:
        self.entry = entry
        self._descriptor = descriptor

    @property
    def is_free(self) -> bool:
        """Whether no worker holds it any more."""
        return _lock_now(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Nobody will ask any more."""
        os.close(self._descriptor)


class Registry:
    """The models of one container.

    Args:
        folder: on a local file system; shared by all workers, empty at first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Entry | None:
        """A model by its name."""
        try:
            return _parse(self._path(name).read_bytes())
        except FileNotFoundError:
            return None

    def page(self, limit: int, after: str = "") -> tuple[list[Entry], str | None]:
        """So many models, and the token of the last one if there are more.

        Args:
            limit: at least 1.
            after: token of the page before.
        """
        tokens = [token for token in self._tokens() if token > after]
        found = []
        for token in tokens[:limit]:
            with contextlib.suppress(FileNotFoundError):  # unloaded meanwhile
                found.append(_parse((self._folder / f"{token}{_SUFFIX}").read_bytes()))
        return found, tokens[limit - 1] if len(tokens) > limit else None

    @property
    def total_bytes(self) -> int:
        """The size of the files of all models."""
        return sum(entry.size_bytes for entry in self.page(len(self._tokens()) or 1)[0])

    def claim(self, name: str) -> Claim | None:
        """Say that this process loads a model; None if there is none of that name."""
        while True:
            try:
                descriptor = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            if _lock_now(descriptor, fcntl.LOCK_SH) and os.fstat(descriptor).st_nlink:
                return Claim(_parse(_read(descriptor)), descriptor)
            os.close(descriptor)  # removed or replaced between the two calls

    def draft(self, entry: Entry) -> Claim:
        """Say that this process loads a model that nobody knows until `publish`."""
        descriptor = self._write(entry, _DRAFT)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return Claim(entry, descriptor)

    def publish(self, draft: Claim) -> bool:
        """Let everybody know; False if a model of that name is there by now."""
        path = self._path(draft.entry.name)
        with self._exclusively():
            if path.exists():
                return False
            self._unpublished(draft.entry.name, _DRAFT).rename(path)
            return True

    def discard(self, draft: Claim) -> None:
        """The model of a draft is not to be."""
        self._unpublished(draft.entry.name, _DRAFT).unlink(missing_ok=True)

    def remove(self, name: str) -> Removed | None:
        """Unload a model; None if there is none of that name."""
        with self._exclusively():
            removed = self._open(name)
            if removed is not None:
                self._path(name).unlink()
            return removed

    def renew(self, name: str) -> Removed | None:
        """Let all workers drop a model that stays known; None if there is none of that name."""
        with self._exclusively():
            removed = self._open(name)
            if removed is not None:
                os.close(self._write(removed.entry, _COPY))
                self._unpublished(name, _COPY).rename(self._path(name))
            return removed

    def least_recently_used(self, but: str) -> Entry | None:
        """Among the models that any worker holds, the one whose last use is the longest ago."""
        ages = []
        for token in self._tokens():
            path = self._folder / f"{token}{_SUFFIX}"
            with contextlib.suppress(FileNotFoundError):
                if path != self._path(but):
                    ages.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(ages):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                if not _lock_now(descriptor, fcntl.LOCK_EX):
                    return _parse(_read(descriptor))
            finally:
                os.close(descriptor)
        return None

    def _tokens(self) -> list[str]:
        names = os.listdir(self._folder)  # noqa: PTH208 - names are all that is needed, fast
        return sorted(name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX))

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()}{_SUFFIX}"

    def _unpublished(self, name: str, why: str) -> Path:
        return self._path(name).with_suffix(f".{why}-{os.getpid()}")

    def _write(self, entry: Entry, why: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(self._unpublished(entry.name, why), flags, 0o600)
        os.write(descriptor, orjson.dumps(entry))
        return descriptor

    def _open(self, name: str) -> Removed | None:
        try:
            descriptor = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        return Removed(_parse(_read(descriptor)), descriptor)

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """No other process changes names meanwhile; held for a few system calls only."""
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _lock_now(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _parse(content: bytes) -> Entry:
    fields: dict[str, Any] = orjson.loads(content)
    return Entry(**fields)
