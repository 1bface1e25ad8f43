"""Fits a line on several instances at once: each has its share of the points, all agree.

torchrun starts it once on each instance, or on each GPU, and tells it who it is:

    distribution={"torch_distributed": {"enabled": True}}
"""

import argparse
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def train(arguments: argparse.Namespace) -> nn.Linear:
    """Finds y = 2x + 1 again; after every step all ranks have the same parameters."""
    rank, world = dist.get_rank(), dist.get_world_size()
    print(f"rank {rank} of {world} on {os.environ['SM_CURRENT_HOST']}", flush=True)
    torch.manual_seed(1)
    points = torch.linspace(-1, 1, 1000).reshape(-1, 1)[rank::world]
    line = nn.Linear(1, 1)
    shared = DistributedDataParallel(line)
    loss_of = nn.MSELoss()
    optimizer = torch.optim.SGD(shared.parameters(), lr=arguments.learning_rate)
    for epoch in range(1, arguments.epochs + 1):
        for batch in torch.split(points, 50):
            optimizer.zero_grad()
            loss = loss_of(shared(batch), 2 * batch + 1)
            loss.backward()
            optimizer.step()
        print(f"epoch={epoch} loss={loss.item():.6f}", flush=True)
    return line


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "model"))
    chosen = parser.parse_args()
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    model = train(chosen)
    if dist.get_rank() == 0:  # what all instances save becomes one model.tar.gz
        torch.jit.save(torch.jit.script(model), Path(chosen.model_dir) / "model.pth")
    dist.destroy_process_group()
    # Threads of PyTorch's may abort the process while Python shuts down:
    # "terminate called without an active exception". All is done, so it does not.
    sys.stdout.flush()
    os._exit(0)
