"""How fast two local instances of one job exchange gradients."""

import contextlib
import io
import re
import tempfile
from pathlib import Path

from benchmarks.estimators import estimator
from benchmarks.figures import RUNS, Figure
from benchmarks.local_engine import running_engine

_BYTES = 4 << 20
_SCRIPT = f"""
import os, statistics, time
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
tensor = torch.ones({_BYTES} // 4)
for _ in range(10):
    dist.all_reduce(tensor)
times = []
for _ in range(50):
    dist.barrier()
    began = time.perf_counter()
    dist.all_reduce(tensor)
    times.append(time.perf_counter() - began)
if dist.get_rank() == 0:
    print(f"ALLREDUCE {{statistics.median(times)!r}}", flush=True)
dist.destroy_process_group()
# Threads of PyTorch's may abort the process while Python shuts down.
os._exit(0)
"""


def measure() -> list[Figure]:
    """The median of 50 all-reduces, in five jobs of two instances each."""
    samples = []
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        Path(folder, "reduce.py").write_text(_SCRIPT)
        for _ in range(RUNS):
            job = estimator(
                session,
                Path(folder, "reduce.py"),
                distribution={"torch_distributed": {"enabled": True}},
                instance_count=2,
                instance_type="ml.g5.xlarge",
            )
            with contextlib.redirect_stdout(io.StringIO()) as output:
                job.fit()
            found = re.search(r"ALLREDUCE ([\d.e-]+)", output.getvalue())
            if found is None:
                raise RuntimeError(f"the job printed no figure:\n{output.getvalue()}")
            samples.append(float(found[1]) * 1000)
    return [Figure("all-reduce of 4 MB between two local instances", "ms", 8.0, samples)]
