"""Moves one instance's share of the objects through it, a few requests at a time, in order."""

import gzip
import os
import time
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from intermodal_engine.drivers.supervision.log import Log
from intermodal_engine.lifecycle.transform.plan import ObjectPart, Plan, read_objects
from intermodal_engine.lifecycle.transform.program.client import Client, InvocationError, Patience
from intermodal_engine.lifecycle.transform.program.filters import (
    FilterError,
    Processing,
    make_processing,
)
from intermodal_engine.lifecycle.transform.program.inference_ids import stamped
from intermodal_engine.lifecycle.transform.program.row import Invocable, Row
from intermodal_engine.lifecycle.transform.program.splitting import Batch, SplitError, Splitting

DEFAULT_PAYLOAD_MB = 6
_MB = 1 << 20
_CHUNK_BYTES = 1 << 20
_SAY_EVERY_S = 5.0


class _ObjectError(Exception):
    """Nothing can be made of an object."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How much goes to the container at once.

    Attributes:
        concurrency: requests.
        splitting: how objects are cut.
    """

    concurrency: int
    splitting: Splitting


def tune(plan: Plan, wishes: dict[str, Any], *, looks_inside: bool) -> Tuning:
    """The request's own values, else the container's wishes, else the defaults.

    Args:
        plan: what the request says.
        wishes: what `/execution-parameters` answered.
        looks_inside: records are filtered or joined.
    """
    strategy = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}
    wanted = plan.strategy or strategy.get(str(wishes.get("BatchStrategy"))) or "MultiRecord"
    payload_mb = plan.max_payload_mb
    if payload_mb is None:
        payload_mb = _number(wishes.get("MaxPayloadInMB"), DEFAULT_PAYLOAD_MB)
    return Tuning(
        plan.concurrency or max(1, _number(wishes.get("MaxConcurrentTransforms"), 1)),
        Splitting(
            plan.split_type,
            wanted == "MultiRecord",
            payload_mb * _MB if payload_mb else None,
            looks_inside,
        ),
    )


class Output:
    """What the model makes of one object, until it is whole.

    Args:
        folder: the `moved` folder.
        number: the object's.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.failure: str | None = None
        self._path = folder / f"{number}.out"
        self._failed = folder / f"{number}.failed"
        self._making = folder / f"{number}.new"
        self._file = self._making.open("wb")

    def write(self, data: bytes) -> None:
        """Appends one answer."""
        if self.failure is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.fail(f"its output cannot be written: {error}")

    def fail(self, reason: str) -> None:
        """Nothing will come of it; the first reason counts."""
        if self.failure is None:
            self.failure = reason

    def close(self) -> None:
        """Leaves it unfinished."""
        self._file.close()

    def finish(self) -> None:
        """Makes it known, durably."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        if self.failure is None:
            self._making.rename(self._path)
            return
        self._making.write_text(self.failure, encoding="utf-8")
        self._making.rename(self._failed)


class Mover:
    """One run over an instance's share; what an earlier run has finished is left alone.

    Args:
        plan: what is to be done.
        folder: the `moved` folder.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        Path(plan.log).parent.mkdir(parents=True, exist_ok=True)
        self._log = Log(plan.log)
        self._client = _client(plan)
        self._processing: Processing | None = make_processing(
            plan.content_type,
            plan.split_type,
            input_filter=plan.input_filter,
            output_filter=plan.output_filter,
            join_source=plan.join_source,
        )
        self._window: deque[tuple[Output, ObjectPart, Batch | None, Future[bytes] | None]] = deque()
        self._headers = {
            name: value
            for name, value in (("Content-Type", plan.content_type), ("Accept", plan.accept))
            if value
        }
        self._unfinished: list[Output] = []
        self._said_at = 0.0
        self._settled = 0

    def run(self) -> None:
        """Moves everything that is not settled yet.

        Raises:
            NotHealthyError: the container never became healthy.
            InstanceLostError: the container is gone.
        """
        try:
            self._move()
        finally:
            for output in self._unfinished:
                output.close()
            self._client.close()
            os.close(self._log.fd)

    def _move(self) -> None:
        self._client.wait_until_healthy(self._plan.health_timeout_s)
        wishes = self._client.execution_parameters()
        tuning = tune(self._plan, wishes, looks_inside=self._processing is not None)
        with ThreadPoolExecutor(tuning.concurrency) as pool:
            for part in read_objects(self._folder):
                if not self._is_settled(part):
                    self._begin(part, tuning, pool)
            while self._window:
                self._settle()

    def _is_settled(self, part: ObjectPart) -> bool:
        names = (f"{part.number}.{kind}" for kind in ("out", "failed", "published"))
        return any((self._folder / name).exists() for name in names)

    def _begin(self, part: ObjectPart, tuning: Tuning, pool: ThreadPoolExecutor) -> None:
        """Hands an object's batches to the pool, never further ahead than the window."""
        output = Output(self._folder, part.number)
        self._unfinished.append(output)
        try:
            with self._opened(part) as source:
                for batch in tuning.splitting.batches(source):
                    if output.failure is not None:
                        break
                    job = pool.submit(self._transform, part, batch)
                    self._window.append((output, part, batch, job))
                    while len(self._window) > 2 * tuning.concurrency:
                        self._settle()
        except (SplitError, _ObjectError, OSError, EOFError, zlib.error) as error:
            output.fail(f"ClientError: {part.uri}: {error}")
        self._window.append((output, part, None, None))

    def _settle(self) -> None:
        """Takes the oldest of the window to its end."""
        output, part, batch, job = self._window.popleft()
        if job is None or batch is None:
            output.finish()
            self._unfinished.remove(output)
            self._say(part, output.failure)
            return
        try:
            output.write(job.result())
        except (FilterError, _ObjectError) as error:
            output.fail(f"ClientError: {part.uri}, byte {batch.offset}: {error}")
        except InvocationError as error:
            output.fail(f"AlgorithmError: {part.uri}, byte {batch.offset}: {error}")
        except (OSError, EOFError, zlib.error) as error:
            output.fail(f"ClientError: {part.uri}: {error}")

    def _transform(self, part: ObjectPart, batch: Batch) -> bytes:
        """In the pool: one request and what is kept of its answer."""
        if batch.data is None:
            with self._opened(part) as source:
                return self._ended(*self._client.invoke(_chunks(source), self._headers))
        processing = self._processing
        body = batch.data if processing is None else processing.request(batch.data)
        answer, kind = self._client.invoke(body, self._headers)
        if processing is not None:
            answer, kind = processing.answer(batch.data, answer), processing.format
        return self._ended(answer, kind)

    def _ended(self, answer: bytes, kind: str) -> bytes:
        if self._plan.inference_time is not None:
            kind = kind or self._plan.accept or ""
            answer = stamped(answer, kind, self._plan.inference_time)
        if self._plan.assemble_with == "Line" and answer and not answer.endswith(b"\n"):
            return answer + b"\n"
        return answer

    @contextmanager
    def _opened(self, part: ObjectPart) -> Iterator[IO[bytes]]:
        """The object as it was when the job began, decompressed.

        Raises:
            _ObjectError: it was replaced.
            OSError: it cannot be read.
        """
        with Path(part.path).open("rb") as file:
            status = os.fstat(file.fileno())
            version = (status.st_size, status.st_mtime_ns, status.st_ino)
            if version != (part.size_bytes, part.mtime_ns, part.inode):
                raise _ObjectError("it was replaced after the job had started")
            if not self._plan.is_gzip:
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("IO[bytes]", unpacked)

    def _say(self, part: ObjectPart, failure: str | None) -> None:
        """In the data log: every failure, and now and then how far it is."""
        self._settled += 1
        if failure is not None:
            self._log.write(failure.replace("\n", " ").encode())
        elif time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            self._log.write(f"{part.uri} is transformed; {self._settled} objects so far".encode())


def _client(plan: Plan) -> Invocable:
    patience = Patience(plan.timeout_s, plan.retries)
    if plan.row:
        return Row([(name, Client(host, port, patience)) for name, host, port in plan.row])
    return Client(plan.host, plan.port, patience)


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


def _number(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise
