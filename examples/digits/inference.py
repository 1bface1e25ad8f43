"""Serves the digits model: the handlers that a SageMaker serving container looks for."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import network


def model_fn(model_dir: str) -> torch.nn.Module:
    """Loads what train.py saved."""
    model = network()
    model.load_state_dict(torch.load(Path(model_dir) / "model.pth", weights_only=True))
    torch.set_num_threads(1)  # two instances share this machine; one image needs one thread
    return model.eval()


def input_fn(body: Any, content_type: str) -> torch.Tensor:
    """Rows of 64 brightnesses (0 to 16), as CSV, JSON (both come as text) or NPY (as bytes)."""
    if content_type == "text/csv":
        rows = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)
    elif content_type == "application/json":
        rows = np.array(json.loads(body))
    elif content_type == "application/x-npy":
        rows = np.load(io.BytesIO(body), allow_pickle=False)
    else:
        raise ValueError(
            f"this model takes text/csv, application/json or application/x-npy, not {content_type}"
        )
    return torch.from_numpy(rows.astype(np.float32).reshape(-1, 64)) / 16


def predict_fn(images: torch.Tensor, model: torch.nn.Module) -> dict[str, list[object]]:
    """The most likely digit of each row, and how sure the model is of it."""
    with torch.inference_mode():
        confidence, digit = model(images).softmax(dim=1).max(dim=1)
    return {"digits": digit.tolist(), "confidence": confidence.tolist()}


def output_fn(prediction: dict[str, list[object]], accept: str) -> str:
    """JSON, whatever the client accepts."""
    del accept
    return json.dumps(prediction)
