"""1 GiB into the local S3 and out again with boto3, beside `dd` in the same run."""

import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import RUNS, Figure, seconds_of
from benchmarks.local_engine import engine_pid, forget_peak, resident_mib, running_engine

_GIB = 2**30
_CHUNK_BYTES = 2**20
_KEY = "bench/one.bin"


def measure() -> list[Figure]:
    """Interleaves boto3 and dd, so that a slow moment of the disk hits both.

    Both write a new file and only then give up the old one, as a store must: overwriting in place
    would let dd have the memory that truncating has just freed, which a virtual machine may have
    to ask of its host otherwise. Reading is compared with an empty page cache for both sides, and
    both throw the bytes away.
    """
    writes: list[_Pair] = []
    session_writes: list[float] = []
    reads: list[_Pair] = []
    warm_reads, growth_mib = [], []
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        plain = session.boto_session.client("s3", endpoint_url=session.engine.endpoint_url)
        client = session.client("s3")
        bucket = session.default_bucket()
        stored = Path(os.environ["INTERMODAL_HOME"], "s3", bucket, _KEY)
        source, copy = Path(folder, "source"), Path(folder, "copy")
        _dd(f"if=/dev/urandom of={source} bs=1M count=1024")
        pid = engine_pid()
        forget_peak(pid)
        before_mib = resident_mib(pid)

        def get() -> None:
            body = client.get_object(Bucket=bucket, Key=_KEY)["Body"]
            received = sum(len(chunk) for chunk in body.iter_chunks(_CHUNK_BYTES))
            if received != _GIB:
                raise EOFError(f"got {received} bytes of {_GIB}")

        for _ in range(RUNS):
            dd_s = seconds_of(lambda: _dd_anew(source, copy))
            put_s = seconds_of(lambda: plain.upload_file(str(source), bucket, _KEY))
            writes.append(_Pair(dd_s, put_s))
            session_writes.append(
                _mb_per_s(seconds_of(lambda: client.upload_file(str(source), bucket, _KEY)))
            )
            _drop_from_cache(stored)
            dd_s = seconds_of(lambda: _dd(f"if={stored} of=/dev/null bs=1M"))
            _drop_from_cache(stored)
            reads.append(_Pair(dd_s, seconds_of(get)))
            warm_reads.append(_mb_per_s(seconds_of(get)))
            growth_mib.append(resident_mib(pid, peak=True) - before_mib)
    return [
        _figure("put 1 GiB with boto3, of dd with fsync", 40, writes),
        _figure("get 1 GiB with boto3, of dd, cache empty", 60, reads),
        Figure("put 1 GiB with the client of LocalSession", "MB/s", None, session_writes),
        Figure("get 1 GiB with boto3, from the page cache", "MB/s", None, warm_reads),
        Figure("engine: memory that these added at most", "MiB", 64, [max(growth_mib)]),
    ]


class _Pair(NamedTuple):
    """Seconds of the same work, done by dd and by boto3 right after it."""

    dd_s: float
    boto3_s: float


def _figure(what: str, must: float, pairs: list[_Pair]) -> Figure:
    boto3_mb_per_s = _mb_per_s(statistics.median(pair.boto3_s for pair in pairs))
    dd_mb_per_s = _mb_per_s(statistics.median(pair.dd_s for pair in pairs))
    percent = [100 * pair.dd_s / pair.boto3_s for pair in pairs]
    note = f"{boto3_mb_per_s:.0f} MB/s, dd {dd_mb_per_s:.0f} MB/s"
    return Figure(what, "%", must, percent, at_least=True, note=note)


def _dd_anew(source: Path, target: Path) -> None:
    new = target.with_suffix(".new")
    _dd(f"if={source} of={new} bs=1M conv=fsync")
    new.rename(target)


def _dd(operands: str) -> None:
    subprocess.run(["dd", "status=none", *operands.split()], check=True)


def _drop_from_cache(file: Path) -> None:
    _dd(f"of={file} oflag=nocache conv=notrunc,fdatasync count=0")


def _mb_per_s(seconds: float) -> float:
    return _GIB / 1e6 / seconds
