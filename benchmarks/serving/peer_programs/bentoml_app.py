"""A BentoML service: a class whose methods are endpoints, batched where the workload is."""

import io
from typing import Any

import bentoml
import numpy as np

from benchmarks.serving.peer_programs.model import KIND, MAX_BATCH, WORKERS, load

_SETTINGS: dict[str, Any] = {
    "workers": WORKERS,
    "logging": {"access": {"enabled": False}},
    "traffic": {"timeout": 60},
}


class Echo:
    """Answers what it was sent."""

    @bentoml.api(route="/invocations")
    def invocations(self, body: dict[str, Any], /) -> dict[str, Any]:
        """The request itself."""
        return body


class Network:
    """A torch network over rows of JSON."""

    def __init__(self) -> None:
        self.network = load()

    @bentoml.api(
        route="/invocations",
        batchable=MAX_BATCH > 1,
        max_batch_size=max(MAX_BATCH, 2),
        max_latency_ms=10_000,
    )
    def invocations(self, rows: np.ndarray, /) -> np.ndarray:
        """One pass over all rows."""
        import torch

        with torch.inference_mode():
            answer: np.ndarray = self.network(torch.from_numpy(rows.astype(np.float32))).numpy()
        return answer


class Mean:
    """The mean of an array that comes as NPY."""

    @bentoml.api(route="/invocations")
    def invocations(self, body: bytes, /) -> list[float]:
        """One number."""
        return [float(np.load(io.BytesIO(body), allow_pickle=False).mean())]


Service = bentoml.service(**_SETTINGS)({"echo": Echo, "mlp": Network, "mean": Mean}[KIND])
