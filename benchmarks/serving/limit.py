"""What one core can do with no server at all: decode, predict and encode in a loop.

Run as a program, it prints one figure:

    python -m benchmarks.serving.limit FOLDER MAX_BATCH [SIZE ...]
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import NotMeasuredError
from benchmarks.serving.servers import Launch, start
from benchmarks.serving.workloads import Workload

_ROOT = Path(__file__).parent.parent.parent
_SECONDS = 2.0
_NPY_HEADER_BYTES = 128
_PATIENCE_S = 60


def requests_per_s(workload: Workload, base: Path, core: int) -> float:
    """The limit for a workload, in a process of its own on one core.

    Raises:
        NotMeasuredError: the program failed.
    """
    launch = Launch(
        [sys.executable, "-m", "benchmarks.serving.limit", str(base), str(workload.max_batch)]
        + [str(size) for size in workload.sizes],
        {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
    )
    log = base / "limit.log"
    process = start(launch, core, log)
    try:
        code = process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    said = log.read_text().split()
    if code != 0 or not said:
        raise NotMeasuredError("the loop without a server failed")
    return float(said[-1])


def _rows_per_s(base: Path, max_batch: int) -> float:
    import numpy as np
    import orjson
    import torch

    names: dict[str, Any] = {}
    exec((base / "model" / "code" / "inference.py").read_text(), names)
    model, body = names["model_fn"](str(base / "model")), (base / "request").read_bytes()
    torch.set_num_threads(1)

    def predict() -> None:
        rows = [np.array(orjson.loads(body), dtype=np.float32) for _ in range(max_batch)]
        answers = model(torch.from_numpy(np.concatenate(rows))).numpy()
        for answer in answers:
            orjson.dumps([answer], option=orjson.OPT_SERIALIZE_NUMPY)

    with torch.inference_mode():
        return _per_s(predict) * max_batch


def _bodies_per_s(base: Path) -> float:
    import numpy as np
    import orjson

    body = (base / "request").read_bytes()

    def predict() -> None:
        array = np.frombuffer(body, dtype=np.float32, offset=_NPY_HEADER_BYTES)
        orjson.dumps([float(array.mean())])

    return _per_s(predict)


def _per_s(action: Any) -> float:
    for _ in range(5):
        action()
    calls, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < _SECONDS:
        action()
        calls += 1
    return calls / passed


if __name__ == "__main__":
    folder, batch, *sizes = sys.argv[1:]
    print(_rows_per_s(Path(folder), int(batch)) if sizes else _bodies_per_s(Path(folder)))
