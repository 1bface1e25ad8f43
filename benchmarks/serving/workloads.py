"""What is asked of each server: a model folder, a request, and the answer that is right.

Every server loads a model by the same `model_fn` and computes the same with it; how bytes become
its input is the server's own way.
"""

import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.figures import NotMeasuredError
from benchmarks.serving.choice import chosen

JSON = "application/json"
NPY = "application/x-npy"

_SEED = 4
_NPY_SHAPE = (1000, 1000)

_ECHO = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""

_MLP = """
import os
import torch

def model_fn(model_dir):
    layers = []
    for inputs, outputs in zip({sizes}, {sizes}[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    weights = os.path.join(model_dir, "weights.pth")
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()
"""

_MEAN = """
def model_fn(model_dir):
    return None

def predict_fn(data, model):
    return [float(data.mean())]
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """One model and one request.

    Attributes:
        name: as the table has it.
        title: what it is.
        content_type: of the request's body.
        code: the user's `inference.py`.
        body: the request's body.
        sizes: widths of a torch MLP, from input to output; empty if there is none.
        max_batch: most rows that a server may predict together.
    """

    name: str
    title: str
    content_type: str
    code: str
    body: bytes
    sizes: tuple[int, ...] = ()
    max_batch: int = 1

    def lay_out(self, base: Path) -> None:
        """Writes the model folder below a folder that stands for `/opt/ml`."""
        code = base / "model" / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(self.code)
        (base / "request").write_bytes(self.body)
        if self.sizes:
            _write_weights(self.sizes, base / "model" / "weights.pth")

    def expected(self, base: Path) -> Any:
        """The right answer, computed without any server."""
        if self.sizes:
            import torch

            names: dict[str, Any] = {}
            exec(self.code, names)
            with torch.inference_mode():
                rows = torch.tensor(json.loads(self.body), dtype=torch.float32)
                return names["model_fn"](str(base / "model"))(rows).tolist()
        if self.content_type == NPY:
            import numpy as np

            return [float(np.load(io.BytesIO(self.body)).mean())]
        return json.loads(self.body)


def workloads() -> list[Workload]:
    """Those that `BENCH_WORKLOADS` names, or all."""
    return [make() for make in chosen("BENCH_WORKLOADS", _ALL)]


def echo() -> Workload:
    """A request that costs the server nothing but HTTP."""
    return Workload("W0", "echo", JSON, _ECHO, b'{"instances": [[1.0, 2.0, 3.0, 4.0]]}')


def small_mlp() -> Workload:
    """A model so small that the server is what is measured."""
    return _mlp("W1", (64, 128, 10), max_batch=1)


def large_mlp() -> Workload:
    """A model that earns several times as much from rows that are predicted together."""
    return _mlp("W2", (1024, 4096, 4096, 1000), max_batch=32)


def large_body() -> Workload:
    """A body that is dear to copy, and an answer of a few bytes."""
    import numpy as np

    body = io.BytesIO()
    array = np.random.default_rng(_SEED).random(_NPY_SHAPE, dtype=np.float32)
    np.save(body, array, allow_pickle=False)
    return Workload("W3", "4 MB NPY body, small JSON out", NPY, _MEAN, body.getvalue())


def check(workload: Workload, answer: bytes, expected: Any) -> None:
    """Compares an answer with the right one.

    Raises:
        NotMeasuredError: it is another.
    """
    try:
        value = json.loads(answer)
    except ValueError:
        raise NotMeasuredError(f"the answer is no JSON: {answer[:80]!r}") from None
    if not _is_close(value, expected):
        raise NotMeasuredError(f"{workload.name} is answered wrongly: {answer[:80]!r}")


def _mlp(name: str, sizes: tuple[int, ...], *, max_batch: int) -> Workload:
    numbers = random.Random(_SEED)
    row = [numbers.gauss(0, 1) for _ in range(sizes[0])]
    shape = "-".join(str(size) for size in sizes)
    batching = f", batching to {max_batch}" if max_batch > 1 else ""
    return Workload(
        name=name,
        title=f"torch MLP {shape}, one JSON row{batching}",
        content_type=JSON,
        code=_MLP.format(sizes=sizes),
        body=json.dumps([row]).encode(),
        sizes=sizes,
        max_batch=max_batch,
    )


_ALL: dict[str, Callable[[], Workload]] = {
    "W0": echo,
    "W1": small_mlp,
    "W2": large_mlp,
    "W3": large_body,
}


def _write_weights(sizes: tuple[int, ...], path: Path) -> None:
    import torch

    torch.manual_seed(_SEED)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    torch.save(torch.nn.Sequential(*layers[:-1]).state_dict(), path)


def _is_close(value: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(map(_is_close, value, expected))
        )
    if isinstance(expected, float):
        return isinstance(value, int | float) and math.isclose(
            value, expected, rel_tol=1e-3, abs_tol=1e-4
        )
    return bool(value == expected)
