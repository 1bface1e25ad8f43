"""Trains a small convolutional network on handwritten digits.

It reads and writes the folders of the SageMaker contract, so the same file runs on AWS, under
intermodal's engine, and by hand:

    python train.py --train ./data --model-dir ./model
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from network import network
from torch import nn


def train(arguments: argparse.Namespace) -> nn.Sequential:
    """Trains on every CSV file of the channel: the label first, then 64 brightnesses."""
    torch.manual_seed(arguments.seed)
    # So small a network gains little from more threads, and loses much where others compute too.
    torch.set_num_threads(1)
    files = sorted(Path(arguments.train).glob("*.csv"))
    rows = np.concatenate([np.loadtxt(file, delimiter=",", dtype=np.float32) for file in files])
    labels = torch.from_numpy(rows[:, 0]).long()
    images = torch.from_numpy(rows[:, 1:]) / 16
    print(f"{len(images)} images from {len(files)} file(s)")

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.learning_rate)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(1, arguments.epochs + 1):
        started = time.monotonic()
        total_loss = 0.0
        for batch in torch.split(torch.randperm(len(images)), arguments.batch_size):
            optimizer.zero_grad()
            loss = loss_of(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(batch)
        took_s = time.monotonic() - started
        print(f"epoch={epoch} loss={total_loss / len(images):.4f} seconds={took_s:.2f}")
    return model


def save(model: nn.Module, folder: Path) -> None:
    """Writes the weights and, in `code`, the programs that serve them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "model.pth")
    code = folder / "code"
    code.mkdir(exist_ok=True)
    for name in ("inference.py", "network.py"):
        shutil.copy(Path(__file__).with_name(name), code)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN", "data"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "model"))
    chosen = parser.parse_args()
    save(train(chosen), Path(chosen.model_dir))
