"""The workload's model as each peer loads it: by the `model_fn` that `serve` calls too."""

import importlib.util
import os
from pathlib import Path
from typing import Any

CONTENT_TYPE = os.environ["BENCH_CONTENT_TYPE"]
MAX_BATCH = int(os.environ["BENCH_MAX_BATCH"])
WORKERS = int(os.environ["BENCH_WORKERS"])
PORT = int(os.environ["BENCH_PORT"])
KIND = os.environ["BENCH_KIND"]
"""What is served: `echo`, `mlp` or `mean`."""


def load() -> Any:
    """The network, ready to be called; None where there is none."""
    folder = Path(os.environ["BENCH_MODEL"])
    spec = importlib.util.spec_from_file_location("inference", folder / "code" / "inference.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} has no code")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if KIND == "mlp":
        import torch

        torch.set_num_threads(1)
    return module.model_fn(str(folder))
