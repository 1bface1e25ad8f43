"""`upload_data` beside the vendor's SDK v2, which has an environment below `.bench-peers/`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.figures import Figure, NotMeasuredError
from benchmarks.latency import far_away
from benchmarks.local_engine import running_engine
from benchmarks.serving.peers import Peer
from benchmarks.upload_program import BUCKET

if TYPE_CHECKING:
    from intermodal.local import Engine

VENDOR = Peer("the vendor's SDK v2", "vendor-sdk", ("sagemaker==2.257.7",))
_PROGRAM = Path(__file__).with_name("upload_program.py")
_FILES = 1000
_FILE_BYTES = 100_000
_ROUND_TRIP_S = 0.02
_PAIRS = 3
_FAR = f"upload {_FILES:,} files of 100 KB, {1000 * _ROUND_TRIP_S:.0f} ms away"
_NEAR = f"upload {_FILES:,} files of 100 KB, loopback"
_LARGE = "upload one file of 1 GiB, loopback"


def measure() -> list[Figure]:
    """Interleaves both SDKs, so that a slow moment hits both; a figure is v2's time over ours."""
    try:
        VENDOR.prepare()
    except NotMeasuredError as error:
        bounds = ((_FAR, 3.0), (_NEAR, 1.3), (_LARGE, 1.0))
        return [
            Figure(what, "times v2", must, at_least=True, note=str(error)) for what, must in bounds
        ]
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        session.client("s3").create_bucket(Bucket=BUCKET)
        port = urlsplit(session.engine.endpoint_url).port
        assert port is not None
        small, large = _small_files(Path(folder, "small")), _large_file(Path(folder, "large"))
        with far_away(port, _ROUND_TRIP_S) as far_port:
            far = _pairs(session.engine, "intermodal:Session", small, 1, far_port)
        near = _pairs(session.engine, "intermodal:LocalSession", small, _PAIRS, port)
        one = _pairs(session.engine, "intermodal:LocalSession", large, _PAIRS, port)
    return [_figure(_FAR, 3.0, far), _figure(_NEAR, 1.3, near), _figure(_LARGE, 1.0, one)]


def _pairs(
    engine: "Engine", session_class: str, path: Path, runs: int, port: int
) -> list[tuple[float, float]]:
    """Seconds of v2 and of ours, run by run."""
    return [
        (
            _upload(engine, VENDOR.python, "sagemaker:Session", path, port),
            _upload(engine, sys.executable, session_class, path, port),
        )
        for _ in range(runs)
    ]


def _upload(engine: "Engine", python: str, session_class: str, path: Path, port: int) -> float:
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": engine.access_key_id,
        "AWS_SECRET_ACCESS_KEY": engine.secret_access_key,
        "AWS_DEFAULT_REGION": engine.region,
        "NO_PROXY": "127.0.0.1",
    }
    command = [python, str(_PROGRAM), session_class, str(path), "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{session_class} could not upload: {done.stderr[-500:]}")
    return float(done.stdout.split()[-1])


def _small_files(folder: Path) -> Path:
    folder.mkdir()
    for index in range(_FILES):
        (folder / f"{index:04d}").write_bytes(os.urandom(_FILE_BYTES))
    return folder


def _large_file(path: Path) -> Path:
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(os.urandom(1 << 20))
    return path


def _figure(what: str, must: float, pairs: list[tuple[float, float]]) -> Figure:
    note = "; ".join(f"{theirs:.1f} s, ours {ours:.1f} s" for theirs, ours in pairs)
    ratios = [theirs / ours for theirs, ours in pairs]
    return Figure(what, "times v2", must, ratios, at_least=True, note=f"v2 {note}")
