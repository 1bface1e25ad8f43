"""Writes captured calls: every half second to files of the engine's own, and those to S3.

So a kill -9 loses at most the last half second, and a planned restart nothing.
"""

import logging
from pathlib import Path

from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.captures.lines import file_name, folder_of, line_of
from intermodal_engine.lifecycle.captures.spool import Place, SpoolFile, begin, left_over
from intermodal_engine.lifecycle.data_log import DataLog
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.router.captures import Captured, Captures
from intermodal_engine.store.objects import ObjectStore
from intermodal_engine.store.objects.errors import ObjectStoreError

GATHER_S = 0.5
PUBLISH_AFTER_S = 3.0
PUBLISH_BYTES = 8 << 20
"""A file goes to S3 when it is this old, or this long."""

RETRY_S = 10.0
KEEP_S = 3600.0
"""How long a file is kept whose bucket cannot be written to."""

SAY_EVERY_S = 60.0
SPOOL_LIMIT_BYTES = 256 << 20
"""What may lie in files that are not in S3; beyond it nothing more is captured."""

_QUEUE_KIND = "captures"
_log = logging.getLogger(__name__)


class CaptureWriter:
    """Takes what the router keeps to where its configuration says.

    Args:
        captures: what the router keeps.
        objects: S3.
        data_log: where people are told what could not be written.
        queue: keeps the time.
        clock: tells it.
        folder: for files that are not in S3 yet.
    """

    def __init__(
        self,
        *,
        captures: Captures,
        objects: ObjectStore,
        data_log: DataLog,
        queue: WorkQueue,
        clock: Clock,
        folder: Path,
    ) -> None:
        self._captures = captures
        self._objects = objects
        self._data_log = data_log
        self._queue = queue
        self._clock = clock
        self._folder = folder
        self._open: dict[tuple[str, str], SpoolFile] = {}
        self._ready: list[SpoolFile] = []
        self._retry_at = 0.0
        self._lost = 0
        self._said: dict[tuple[str, str], float] = {}
        captures.encode = line_of
        captures.on_first = lambda: queue.wake(_QUEUE_KIND, "all")
        queue.register(_QUEUE_KIND, self._look)

    def begin(self) -> None:
        """Takes up what an earlier engine left."""
        self._ready += left_over(self._folder)
        self._queue.wake(_QUEUE_KIND, "all")

    def flush(self) -> None:
        """Writes everything that there is by now."""
        self._gather()
        self._ready += self._open.values()
        self._open.clear()
        self._publish()

    def _look(self, _name: str) -> float | None:
        now = self._clock.now()
        has_more = self._gather()
        for key, file in list(self._open.items()):
            if now - file.began_at >= PUBLISH_AFTER_S or file.size_bytes >= PUBLISH_BYTES:
                self._ready.append(self._open.pop(key))
        if now >= self._retry_at:
            self._publish()
        looks = [file.began_at + PUBLISH_AFTER_S for file in self._open.values()]
        if self._ready:
            looks.append(self._retry_at)
        if has_more:
            looks.append(now + GATHER_S)
        return min(looks, default=None)

    def _gather(self) -> bool:
        """From memory to files; says whether there was anything."""
        taken = self._captures.take()
        batches: dict[tuple[str, str], list[Captured]] = {}
        for one in taken:
            batches.setdefault((one.rule.bucket, folder_of(one)), []).append(one)
        for key, batch in batches.items():
            self._append(key, batch)
        self._tell_of_lost(taken)
        return bool(taken)

    def _append(self, key: tuple[str, str], batch: list[Captured]) -> None:
        if self._spooled_bytes() > SPOOL_LIMIT_BYTES:
            self._captures.lost += len(batch)
            return
        try:
            file = self._open.get(key)
            if file is None:
                file = self._open[key] = begin(self._folder, _place(key, batch[0]), self._now())
            file.append(one.line or line_of(one) for one in batch)
        except OSError as error:
            self._captures.lost += len(batch)
            self._say(batch[0].backend.endpoint, batch[0].backend.variant, f"not captured: {error}")

    def _publish(self) -> None:
        """From files to S3. What cannot be put there waits, and is let go when it is too old."""
        files, self._ready = self._ready, []
        for file in files:
            try:
                self._put(file)
            except (ObjectStoreError, OSError) as error:
                self._retry_at = self._now() + RETRY_S
                self._wait(file, error)

    def _put(self, file: SpoolFile) -> None:
        if file.size_bytes and file.path.exists():
            self._objects.put_file(file.place.bucket, file.place.key, file.path)
        file.remove()

    def _wait(self, file: SpoolFile, error: Exception) -> None:
        place = file.place
        where = f"s3://{place.bucket}/{place.key}"
        if self._now() - file.began_at < KEEP_S:
            self._ready.append(file)
            self._say(place.endpoint, place.variant, f"{where} waits: {_reason(error)}")
        else:
            file.remove()
            self._say(place.endpoint, place.variant, f"{where} is lost: {_reason(error)}")

    def _tell_of_lost(self, taken: list[Captured]) -> None:
        lost, self._lost = self._captures.lost - self._lost, self._captures.lost
        if lost and taken:
            backend = taken[-1].backend
            why = "more was asked than could be written"
            self._say(backend.endpoint, backend.variant, f"{lost} calls are not captured: {why}")

    def _say(self, endpoint: str, variant: str, message: str) -> None:
        """Into the endpoint's log, in a stream of its own; now and then."""
        now, key = self._now(), (endpoint, variant)
        if now - self._said.get(key, 0.0) < SAY_EVERY_S:
            return
        self._said[key] = now
        _log.warning("data capture of `%s`: %s", endpoint, message)
        self._data_log.say(endpoint, variant, f"data capture: {message}")

    def _spooled_bytes(self) -> int:
        return sum(file.size_bytes for file in (*self._open.values(), *self._ready))

    def _now(self) -> float:
        return self._clock.now()


def _place(key: tuple[str, str], first: Captured) -> Place:
    bucket, folder = key
    backend = first.backend
    return Place(bucket, f"{folder}/{file_name(first.at)}", backend.endpoint, backend.variant)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
