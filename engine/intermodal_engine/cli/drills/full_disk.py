"""`drill disk-full`: nothing can be written for a while, and nothing that was written is lost."""

import contextlib
import itertools
import os
import threading
import time
from typing import Any

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.drills.cost import Instances
from intermodal_engine.cli.drills.load import Call
from intermodal_engine.cli.drills.stage import Engine
from intermodal_engine.cli.main import UnavailableError
from intermodal_engine.drivers.supervision.processes import start_ticks
from intermodal_engine.wire.client import CallError, Client

_BODY_BYTES = 32 << 10

_PREFIX = "intermodal-drill-"
"""Of buckets; pid and start of the process whose drill it is follow."""


class FullDiskDrill:
    """Clients put objects into a bucket of the drill's own; each is read again in the end.

    Args:
        engine: which one.
        seconds: for how long.
    """

    name = "disk-full"

    def __init__(self, engine: Engine, seconds: float) -> None:
        self.target = str(engine.settings.home)
        self._engine = engine
        self._seconds = seconds
        self._s3 = engine.client("s3")
        self._bucket = f"{_PREFIX}{os.getpid()}-{_start(os.getpid())}"
        self._numbers = itertools.count()
        self._acknowledged: dict[str, bytes] = {}
        self._refused: list[str] = []
        self._lock = threading.Lock()
        self._fault: str | None = None
        self._over_at = 0.0
        _clear_leftovers(self._s3)
        self._s3.call("CreateBucket", Bucket=self._bucket)

    @property
    def call(self) -> Call:
        """Puts an object under a key of its own."""
        return self._put

    def begin(self) -> list[str]:
        """Has the engine's writes fail."""
        begun = self._engine.ask("drills/begin", kind=self.name, seconds=self._seconds)
        self._fault = begun["fault"]
        self._over_at = time.monotonic() + self._seconds
        return [f"let the engine's writes to its home fail with ENOSPC for {self._seconds:g} s"]

    def is_over(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self._over_at

    def instances(self) -> Instances:
        """There are none."""
        return []

    def end(self) -> None:
        """Ends the fault, and takes the bucket away once it was looked at."""
        if self._fault is not None:
            with contextlib.suppress(UnavailableError):
                self._engine.ask("drills/end", fault=self._fault)
        self._kept, self._phantoms = self._look()
        with contextlib.suppress(CallError):
            _remove_bucket(self._s3, self._bucket)

    def facts(self) -> dict[str, Any]:
        """What became of the objects.

        Raises:
            IntermodalError: something was lost, or is there that was refused.
        """
        told, kept, phantoms = len(self._acknowledged), self._kept, self._phantoms
        if kept != told or phantoms:
            raise IntermodalError(
                f"of {told} objects that were acknowledged, {kept} are there as they were put; "
                f"{phantoms} that were refused are there",
                hint="this is a fault of the engine; `engine.log` in its home may say more",
            )
        refused = len(self._refused)
        return {
            "objects": {"acknowledged": told, "kept": kept, "refused": refused},
            "did": [
                f"{told} objects were acknowledged, and all are there byte for byte; {refused} "
                "were refused, and none of these is there"
            ],
        }

    def _put(self) -> int:
        with self._lock:
            key = f"{next(self._numbers)}"
        body = os.urandom(_BODY_BYTES)
        try:
            reply = self._s3.call("PutObject", Bucket=self._bucket, Key=key, Body=body)
        except CallError:
            with self._lock:
                self._refused.append(key)
            raise
        with self._lock:
            self._acknowledged[key] = body
        return reply.retries

    def _look(self) -> tuple[int, int]:
        """How many acknowledged objects are as they were put, how many refused ones are there."""
        kept = sum(self._read(key) == body for key, body in self._acknowledged.items())
        return kept, sum(self._read(key) is not None for key in self._refused)

    def _read(self, key: str) -> bytes | None:
        try:
            return bytes(self._s3.call("GetObject", Bucket=self._bucket, Key=key).result["Body"])
        except CallError:
            return None


def _clear_leftovers(s3: Client) -> None:
    """Removes the buckets of drills that were killed."""
    for one in s3.call("ListBuckets").result["Buckets"]:
        name = one["Name"]
        pid, _, ticks = name.removeprefix(_PREFIX).partition("-")
        is_drill = name.startswith(_PREFIX) and pid.isdecimal() and ticks.isdecimal()
        if is_drill and _start(int(pid)) != int(ticks):
            _remove_bucket(s3, name)


def _start(pid: int) -> int:
    """When a process started; 0 for none, and where the machine does not say."""
    return start_ticks(pid) or 0


def _remove_bucket(s3: Client, bucket: str) -> None:
    while found := s3.call("ListObjectsV2", Bucket=bucket).result.get("Contents"):
        for one in found:
            s3.call("DeleteObject", Bucket=bucket, Key=one["Key"])
    s3.call("DeleteBucket", Bucket=bucket)
