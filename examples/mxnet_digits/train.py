"""Trains a small convolutional network on handwritten digits with Gluon, on one host or several.

It reads and writes the folders of the SageMaker contract, so the same file runs on AWS, under
intermodal's engine, and by hand in an environment with MXNet:

    python train.py --train ./data --model-dir ./model

With a parameter server (`distributions={"parameter_server": {"enabled": True}}`) every host trains
on its share of the rows, and after every step all of them have the same parameters.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, nd


def network() -> gluon.nn.HybridSequential:
    """Rows of 64 brightnesses (0 to 16) in, a score for each of the ten digits out."""
    layers = gluon.nn.HybridSequential()
    layers.add(
        gluon.nn.HybridLambda(lambda ops, rows: ops.reshape(rows / 16, shape=(-1, 1, 8, 8))),
        gluon.nn.Conv2D(32, kernel_size=3, padding=1, activation="relu"),
        gluon.nn.MaxPool2D(2),
        gluon.nn.Dense(128, activation="relu"),
        gluon.nn.Dropout(0.25),
        gluon.nn.Dense(10),
    )
    return layers


def train(arguments: argparse.Namespace) -> None:
    """Trains on every CSV file of the channel (the label first), and saves the network."""
    # Workers that wait for each other's gradients; alone, there is nobody to wait for.
    store = mx.kv.create("dist_sync" if "DMLC_ROLE" in os.environ else "local")
    context = mx.gpu() if mx.context.num_gpus() else mx.cpu()
    print(f"mxnet {mx.__version__} on {context}, worker {store.rank} of {store.num_workers}")

    files = sorted(Path(arguments.train).glob("*.csv"))
    rows = np.concatenate([np.loadtxt(file, delimiter=",", dtype=np.float32) for file in files])
    # Shares of one size: a worker with a batch more than the others would wait for ever.
    share = rows[store.rank :: store.num_workers][: len(rows) // store.num_workers]
    labels = nd.array(share[:, 0], ctx=context)
    images = nd.array(share[:, 1:], ctx=context)
    print(f"{len(share)} of {len(rows)} images from {len(files)} file(s)")

    # The same on every host, so all begin with the same parameters. Nothing may be predicted before
    # the first step: that lays parameters out anew, and they would not reach the store in time.
    mx.random.seed(arguments.seed)
    np.random.seed(arguments.seed)
    model = network()
    model.initialize(mx.init.Xavier(), ctx=context)
    model.hybridize()
    trainer = gluon.Trainer(
        model.collect_params(), "adam", {"learning_rate": arguments.learning_rate}, kvstore=store
    )
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    size = arguments.batch_size
    for epoch in range(1, arguments.epochs + 1):
        started = time.monotonic()
        losses = []
        order = nd.array(np.random.permutation(len(share)), ctx=context)
        for start in range(0, len(share) - size + 1, size):  # whole batches; the rest has its turn
            batch = order[start : start + size]
            with autograd.record():
                loss = loss_of(model(images.take(batch)), labels.take(batch))
            loss.backward()
            trainer.step(size * store.num_workers)  # the store adds up the gradients of all workers
            losses.append(loss.mean().asscalar())
        took_s = time.monotonic() - started
        print(f"epoch={epoch} loss={np.mean(losses):.4f} seconds={took_s:.2f}")

    print(f"parameters={digest(model)}")
    if store.rank == 0:  # what all hosts save becomes one model.tar.gz
        save(model, Path(arguments.model_dir))


def digest(model: gluon.nn.HybridSequential) -> str:
    """The same on all hosts if, and only if, their parameters are the same to the last bit."""
    content = hashlib.sha256()
    for _, parameter in sorted(model.collect_params().items()):
        content.update(parameter.data().asnumpy().tobytes())
    return content.hexdigest()


def save(model: gluon.nn.HybridSequential, folder: Path) -> None:
    """Writes what serving images load without code: the network, its parameters, its input.

    Ours takes rows in any number and needs no `model-shapes.json`; the vendor's images insist on
    it, and on these three names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.export(str(folder / "model"))  # model-symbol.json and model-0000.params
    inputs = [{"name": "data", "shape": [1, 64]}]
    (folder / "model-shapes.json").write_text(json.dumps(inputs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAINING", "data"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "model"))
    train(parser.parse_args())
