"""Reading a FastFile channel in a job, against reading the object's own file there and then."""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

from benchmarks.estimators import estimator
from benchmarks.figures import RUNS, Figure
from benchmarks.local_engine import running_engine

_GIB = 2**30
_SCRIPT = """
import os, time

def read_s(path):
    buffer = bytearray(1 << 20)
    with open(path, "rb", buffering=0) as file:
        began = time.perf_counter()
        while file.readinto(buffer):
            pass
        return time.perf_counter() - began

channel = os.path.join(os.environ["SM_CHANNEL_TRAIN"], "one.bin")
began = time.perf_counter()
with open(channel, "rb") as file:
    file.read(1)
print("FIRST", repr(time.perf_counter() - began))
read_s(os.environ["OBJECT"])  # both from the page cache
for _ in range(3):
    print("SHARE", repr(read_s(os.environ["OBJECT"]) / read_s(channel) * 100))
"""


def measure() -> list[Figure]:
    """One job a run; the script itself reads both and prints the ratio."""
    from intermodal.inputs import TrainingInput

    first, share = [], []
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        with (data / "one.bin").open("wb") as file:
            file.truncate(_GIB)
        code = Path(folder, "code")
        code.mkdir()
        (code / "read.py").write_text(_SCRIPT)
        uri = session.upload_data(str(data), key_prefix="bench/fast")
        bucket = session.default_bucket()
        home = Path(os.environ["INTERMODAL_HOME"])
        for _ in range(RUNS):
            job = estimator(
                session,
                code / "read.py",
                environment={"OBJECT": str(home / "s3" / bucket / "bench/fast/one.bin")},
            )
            with contextlib.redirect_stdout(io.StringIO()) as output:
                job.fit({"train": TrainingInput(uri, input_mode="FastFile")})
            first += [float(one) for one in re.findall(r"FIRST ([\d.e-]+)", output.getvalue())]
            share += [float(one) for one in re.findall(r"SHARE ([\d.e-]+)", output.getvalue())]
    return [
        Figure("FastFile: first byte of a 1 GiB channel", "s", 0.2, first),
        Figure(
            "FastFile: sequential read, of reading the file itself", "%", 90.0, share, at_least=True
        ),
    ]
