"""MXNet, which the engine's own interpreter never has: trained and served through boto3 alone.

The images are the vendor's names of a version that exists nowhere any more; the environment is made
by the first job, as for a person who has just installed the engine.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sklearn.datasets import load_digits

from intermodal_contract.catalogue import nearest
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    BUCKET,
    PATIENCE,
    ROLE,
    ended_job,
    input_channel,
    job_request,
    log_lines,
    settled_endpoint,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
TRAINING_IMAGE = f"{REGISTRY}/mxnet-training:1.4.1-cpu-py3"
INFERENCE_IMAGE = f"{REGISTRY}/mxnet-inference:1.4.1-cpu-py3"
RELEASE = nearest("mxnet", "1.4.1")
JOBS = ("digits-by-mxnet", "digits-by-mxnet-too")

HANDLERS = """
import json
import os

import mxnet as mx

def model_fn(model_dir):
    path = os.path.join(model_dir, "digits")
    return mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")

def input_fn(body, content_type):
    return mx.nd.array(json.loads(body)) / 16

def predict_fn(images, network):
    return network(images).argmax(axis=1).astype("int32").asnumpy().tolist()

def output_fn(digits, accept):
    return json.dumps(digits)
"""

TRAIN = f"""
import os, pathlib

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

mx.random.seed(1)
np.random.seed(1)
rows = np.loadtxt(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "digits.csv"), delimiter=",")
images = mx.nd.array(rows[:, 1:]) / 16
labels = mx.nd.array(rows[:, 0])
network = gluon.nn.HybridSequential()
network.add(gluon.nn.Dense(64, activation="relu"), gluon.nn.Dense(10))
network.initialize(mx.init.Xavier())
network.hybridize()
trainer = gluon.Trainer(network.collect_params(), "adam", {{"learning_rate": 0.01}})
loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
data = gluon.data.DataLoader(gluon.data.ArrayDataset(images, labels), 64, shuffle=True)
for epoch in range(10):
    for some, truth in data:
        with autograd.record():
            loss = loss_of(network(some), truth)
        loss.backward()
        trainer.step(len(some))
accuracy = (network(images).argmax(axis=1) == labels).mean().asscalar()
print(f"mxnet={{mx.__version__}} numpy={{np.__version__}} accuracy={{accuracy:.4f}}")
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
network.export(str(model / "digits"))
(model / "code").mkdir()
(model / "code" / "inference.py").write_text({HANDLERS!r})
"""


# Each worker pushes gradients of its own; the servers add them up before anyone pulls.
DIST_SYNC = """
import mxnet as mx

store = mx.kv.create("dist_sync")
store.init("weight", mx.nd.zeros((3,)))
for step in range(4):
    store.push("weight", mx.nd.ones((3,)) * (store.rank + 1) * (step + 1))
    weight = mx.nd.zeros((3,))
    store.pull("weight", out=weight)
    weight.wait_to_read()
print(f"rank {store.rank} of {store.num_workers} weight {weight.asnumpy().tolist()}")
"""


@dataclass(frozen=True, slots=True)
class Trained:
    """Two jobs that were created at the same moment, and what they printed."""

    jobs: list[dict[str, Any]]
    logs: list[list[str]]


@pytest.fixture(scope="module")
def trained(mxnet_can_be_had: None, clients: dict[str, Any]) -> Trained:
    sagemaker, s3 = clients["sagemaker"], clients["s3"]
    digits = load_digits()
    rows = zip(digits.target.tolist(), digits.data.tolist(), strict=True)
    text = "\n".join(",".join(map(str, [label, *image])) for label, image in rows)
    s3.put_object(Bucket=BUCKET, Key="digits/digits.csv", Body=text.encode())
    for name in JOBS:
        request = job_request(
            name,
            TRAIN,
            s3,
            AlgorithmSpecification={"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"},
            InputDataConfig=[input_channel("train", f"s3://{BUCKET}/digits/")],
        )
        sagemaker.create_training_job(**request)
    jobs = [ended_job(sagemaker, name) for name in JOBS]
    return Trained(jobs, [log_lines(clients["logs"], name) for name in JOBS])


def test_a_gluon_training_on_real_digits_completes_and_learns(trained: Trained) -> None:
    for job, log in zip(trained.jobs, trained.logs, strict=True):
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        result = next(line for line in log if line.startswith("mxnet="))
        found = re.fullmatch(r"mxnet=(\S+) numpy=(\S+) accuracy=([\d.]+)", result)
        assert found is not None
        assert found[1] == RELEASE.version
        assert f"numpy=={found[2]}" in RELEASE.requires
        assert float(found[3]) > 0.97


def test_the_log_says_which_version_runs_and_how_its_environment_was_made_once(
    trained: Trained, engine: RunningEngine
) -> None:
    environments = engine.home / "environments"
    [folder] = [path for path in environments.iterdir() if path.is_dir()]
    note = f"intermodal: asked for mxnet 1.4.1, runs on mxnet {RELEASE.version} in {folder}"
    assert [log.count(note) for log in trained.logs] == [1, 1]
    told = [line for log in trained.logs for line in log if line.startswith("intermodal: ")]
    making = [line for line in told if "making an environment for mxnet" in line]
    ready = [line for line in told if "the environment is ready after" in line]
    assert (len(making), len(ready)) == (1, 1)


@pytest.fixture
def endpoint(trained: Trained, clients: dict[str, Any]) -> Iterator[str]:
    sagemaker, name = clients["sagemaker"], "digits-by-mxnet"
    container = {
        "Image": INFERENCE_IMAGE,
        "ModelDataUrl": trained.jobs[0]["ModelArtifacts"]["S3ModelArtifacts"],
    }
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 2,
        "InstanceType": "ml.m5.xlarge",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    description = settled_endpoint(sagemaker, name)
    assert description["EndpointStatus"] == "InService", description.get("FailureReason")
    yield name
    sagemaker.delete_endpoint(EndpointName=name)
    waiter = sagemaker.get_waiter("endpoint_deleted")
    waiter.wait(EndpointName=name, WaiterConfig=PATIENCE)


def test_its_model_is_served_by_two_instances_and_knows_digits(
    endpoint: str, clients: dict[str, Any]
) -> None:
    digits = load_digits()
    body = json.dumps(digits.data[:100].tolist())
    answer = clients["sagemaker-runtime"].invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=body
    )
    predicted = json.loads(answer["Body"].read())
    right = sum(int(a) == int(b) for a, b in zip(predicted, digits.target[:100], strict=True))
    assert right >= 95


def test_two_instances_agree_through_the_parameter_server(
    trained: Trained, clients: dict[str, Any]
) -> None:
    request = job_request(
        "kvstore",
        DIST_SYNC,
        clients["s3"],
        AlgorithmSpecification={"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"},
        HyperParameters={"sagemaker_parameter_server_enabled": "true"},
        ResourceConfig={
            "InstanceType": "ml.m5.large",
            "InstanceCount": 2,
            "VolumeSizeInGB": 1,
        },
    )
    clients["sagemaker"].create_training_job(**request)
    job = ended_job(clients["sagemaker"], "kvstore")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    told = [line for line in log_lines(clients["logs"], "kvstore") if line.startswith("rank")]
    # Without an optimizer the store holds the last sum: (1 + 2) * 4.
    assert sorted(told) == [f"rank {rank} of 2 weight [12.0, 12.0, 12.0]" for rank in (0, 1)]


def test_a_further_job_starts_without_making_anything(
    trained: Trained, clients: dict[str, Any]
) -> None:
    script = "import numpy\nprint('numpy', numpy.__version__)\n"
    image = {"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"}
    request = job_request("third", script, clients["s3"], AlgorithmSpecification=image)
    began = time.monotonic()
    clients["sagemaker"].create_training_job(**request)
    job = ended_job(clients["sagemaker"], "third")
    took_s = time.monotonic() - began
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    log = log_lines(clients["logs"], "third")
    assert not any("making an environment" in line for line in log)
    assert took_s < 10
