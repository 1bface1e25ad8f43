"""A user's script: one number is the model, and it doubles what it is asked."""

import argparse
import os
import sys
from pathlib import Path

import torch


def model_fn(model_dir: str) -> torch.Tensor:
    weight: torch.Tensor = torch.load(Path(model_dir, "weight.pt"))
    return weight


def predict_fn(numbers: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    print("scoring", tuple(numbers.shape), flush=True)
    return numbers * weight


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    files = [file.name for file in Path(os.environ["SM_CHANNEL_TRAIN"]).iterdir()]
    print("channel", files, arguments.epochs)
    hook = getattr(sys.modules.get("sitecustomize"), "__file__", None)
    print("hook", hook, "INTERMODAL_ENDPOINT_URL" in os.environ)
    torch.save(torch.tensor(2.0), Path(os.environ["SM_MODEL_DIR"], "weight.pt"))
