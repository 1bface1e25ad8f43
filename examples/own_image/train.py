"""Fits a line to points, in an image that brings this script and the package that it needs.

The image's `train` runs it: hyperparameters come as arguments, and what it saves in SM_MODEL_DIR
becomes model.tar.gz.
"""

import argparse
import os
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn


def train(arguments: argparse.Namespace) -> nn.Linear:
    """Finds y = 2x + 1 again."""
    torch.manual_seed(1)
    x = torch.linspace(-1, 1, 100).reshape(-1, 1)
    y = 2 * x + 1
    line = nn.Linear(1, 1)
    loss_of = nn.MSELoss()
    optimizer = torch.optim.SGD(line.parameters(), lr=arguments.learning_rate)
    for _ in range(arguments.steps):
        optimizer.zero_grad()
        loss = loss_of(line(x), y)
        loss.backward()
        optimizer.step()
    found = [("slope", 2, line.weight.item()), ("intercept", 1, line.bias.item())]
    print(tabulate(found, headers=["parameter", "true", "found"], floatfmt=".3f"))
    return line


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--learning-rate", type=float, default=0.3)
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "model"))
    chosen = parser.parse_args()
    folder = Path(chosen.model_dir)
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.save(torch.jit.script(train(chosen)), folder / "model.pth")
