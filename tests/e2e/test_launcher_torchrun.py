"""torchrun on two instances of a real engine, asked for with boto3 alone."""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from tests.helpers.script_mode import BUCKET, job_request, log_lines, run_job, wait_for_line

pytestmark = pytest.mark.e2e

TORCHRUN = {"sagemaker_torch_distributed_enabled": "true"}
TWO_INSTANCES = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}

CULPRITS = pytest.mark.parametrize(("rank", "host"), [(0, "algo-1"), (1, "algo-2")])

# Each rank starts from weights of its own and has data of its own, so only the exchange of
# parameters and gradients can make them equal.
TRAIN = """
import argparse, os, socket, sys
import torch
import torch.distributed as dist

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
steps = parser.parse_args().steps
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
torch.manual_seed(rank)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(steps):
    optimizer.zero_grad()
    data = torch.randn(16, 8)
    (model(data) - data.sum(1, keepdim=True)).pow(2).mean().backward()
    optimizer.step()
own = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
everyones = [torch.zeros_like(own) for _ in range(world)]
dist.all_gather(everyones, own)
def say(line):
    sys.stdout.write(line + "\\n")  # one write, since two ranks share a log

say(f"rank {rank} of {world} host {os.environ['SM_CURRENT_HOST']}")
say(f"equal {all(torch.equal(own, other) for other in everyones)}")
interfaces = [name for _, name in socket.if_nameindex()]
say(f"interface is there {os.environ['SM_NETWORK_INTERFACE_NAME'] in interfaces}")
torch.save(model.module.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], f"{rank}.pt"))
dist.destroy_process_group()
# Threads of PyTorch's may abort the process while Python shuts down, one time in ten or so under
# load ("terminate called without an active exception"): nothing of ours, so it ends without.
sys.stdout.flush()
os._exit(0)
"""

ONE_RANK_FAILS = """
import os, sys
import torch, torch.distributed as dist

def step():
    if dist.get_rank() == int(sys.argv[-1]):
        raise ValueError("batch 7 has no labels")

dist.init_process_group("gloo")
dist.barrier()
step()
dist.all_reduce(torch.ones(10))
"""

ONE_RANK_EXITS = """
import os, sys, time
print("ready")
if os.environ["RANK"] == sys.argv[-1]:
    sys.exit(37)
time.sleep(60)
"""

WAITS = """
import os, signal, sys, time

def stop(number, frame):
    sys.stdout.write(f"rank {os.environ['RANK']} saves\\n")
    if os.environ["LOCAL_RANK"] == "1":
        time.sleep(1)
    with open(os.path.join(os.environ["SM_MODEL_DIR"], os.environ["RANK"]), "w") as file:
        file.write("saved")
    sys.exit(143)

signal.signal(signal.SIGTERM, stop)
sys.stdout.write(f"rank {os.environ['RANK']} is ready\\n")
time.sleep(60)
"""


def torchrun_job(clients: Mapping[str, Any], name: str, script: str, **values: Any) -> Any:
    values = {**TORCHRUN, **{key: json.dumps(value) for key, value in values.items()}}
    return job_request(
        name, script, clients["s3"], ResourceConfig=TWO_INSTANCES, HyperParameters=values
    )


def model_members(clients: Mapping[str, Any], name: str) -> list[str]:
    key = f"output/{name}/output/model.tar.gz"
    body = clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return sorted(archive.getnames())


def test_two_instances_end_with_equal_weights(clients: Mapping[str, Any]) -> None:
    job = run_job(clients["sagemaker"], torchrun_job(clients, "torchrun-equal", TRAIN, steps=5))
    lines = log_lines(clients["logs"], "torchrun-equal")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason", "") + "\n".join(lines)
    assert {"rank 0 of 2 host algo-1", "rank 1 of 2 host algo-2"} <= set(lines)
    assert lines.count("equal True") == 2
    assert lines.count("interface is there True") == 2
    assert {"0.pt", "1.pt"} <= set(model_members(clients, "torchrun-equal"))


def test_several_processes_an_instance_make_one_group(clients: Mapping[str, Any]) -> None:
    option = {"sagemaker_torch_distributed_process_count_per_node": 2}
    request = torchrun_job(clients, "torchrun-four", TRAIN, steps=1, **option)
    job = run_job(clients["sagemaker"], request)
    lines = log_lines(clients["logs"], "torchrun-four")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason", "") + "\n".join(lines)
    assert lines.count("equal True") == 4
    assert {"rank 0 of 4 host algo-1", "rank 3 of 4 host algo-2"} <= set(lines)


def test_instances_of_other_groups_run_the_script_beside_the_launcher(
    clients: Mapping[str, Any],
) -> None:
    script = (
        "import os, sys\n"
        "world = os.environ.get('WORLD_SIZE', 'no')\n"
        "sys.stdout.write(f\"{os.environ['SM_CURRENT_HOST']} has {world} ranks\\n\")\n"
    )
    request = torchrun_job(
        clients, "torchrun-groups", script, sagemaker_distribution_instance_groups=["trainers"]
    )
    entries = [("loaders", "ml.c5.xlarge", 1), ("trainers", "ml.m5.large", 2)]
    names = ("InstanceGroupName", "InstanceType", "InstanceCount")
    groups = [dict(zip(names, entry, strict=True)) for entry in entries]
    request["ResourceConfig"] = {"InstanceGroups": groups, "VolumeSizeInGB": 1}
    job = run_job(clients["sagemaker"], request)
    lines = log_lines(clients["logs"], "torchrun-groups")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason", "") + "\n".join(lines)
    assert {"algo-1 has no ranks", "algo-2 has 2 ranks", "algo-3 has 2 ranks"} <= set(lines)


@CULPRITS
def test_the_reason_is_the_failing_ranks_own_exception(
    clients: Mapping[str, Any], rank: int, host: str
) -> None:
    name = f"torchrun-raise-{rank}"
    job = run_job(clients["sagemaker"], torchrun_job(clients, name, ONE_RANK_FAILS, rank=rank))
    assert job["TrainingJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert reason.startswith("AlgorithmError: ValueError: batch 7 has no labels")
    assert f"exit code 1 of rank {rank} on {host}" in reason
    assert "elastic" not in reason
    assert "ChildFailedError" not in reason


def test_a_ranks_exit_code_is_kept(clients: Mapping[str, Any]) -> None:
    request = torchrun_job(clients, "torchrun-exit", ONE_RANK_EXITS, rank=0)
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Failed"
    assert "exit code 37 of rank 0 on algo-1" in job["FailureReason"]


def test_a_stop_reaches_every_rank_and_each_may_save(clients: Mapping[str, Any]) -> None:
    option = {"sagemaker_torch_distributed_process_count_per_node": 2}
    clients["sagemaker"].create_training_job(
        **torchrun_job(clients, "torchrun-stop", WAITS, **option)
    )
    for rank in range(4):
        wait_for_line(clients["logs"], "torchrun-stop", f"rank {rank} is ready")
    clients["sagemaker"].stop_training_job(TrainingJobName="torchrun-stop")
    waiter = clients["sagemaker"].get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="torchrun-stop", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    lines = log_lines(clients["logs"], "torchrun-stop")
    assert len([line for line in lines if line.endswith("saves")]) == 4
    assert model_members(clients, "torchrun-stop") == ["0", "1", "2", "3"]


def test_a_shell_script_is_refused_by_name(clients: Mapping[str, Any]) -> None:
    request = torchrun_job(clients, "torchrun-shell", "")
    request["HyperParameters"]["sagemaker_program"] = json.dumps("run.sh")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("run.sh"))
    uri = json.loads(request["HyperParameters"]["sagemaker_submit_directory"])
    key = uri.removeprefix(f"s3://{BUCKET}/")
    clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=archive.getvalue())
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Failed"
    assert "`run.sh` is no `.py` file" in job["FailureReason"]
