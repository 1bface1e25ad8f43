"""MPI on two instances of a real engine, without sshd."""

import importlib.util
import json
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from tests.helpers.script_mode import job_request, log_lines, run_job, wait_for_line

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None,
        reason="MPI IS NOT TESTED: needs `apt-get install openmpi-bin` and `pip install mpi4py`",
    ),
]

MPI = {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "2"}
TWO_INSTANCES = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}

ALL_GATHER = """
import os, sys
from mpi4py import MPI

world = MPI.COMM_WORLD
found = world.allgather((world.Get_rank(), os.environ["SM_CURRENT_HOST"]))
# One write a line: mpirun mixes the ranks' output.
sys.stdout.write(f"gathered {found}\\n")
sys.stdout.write(f"option {os.environ.get('DEMO')}\\n")
"""

ONE_RANK_RAISES = """
from mpi4py import MPI

world = MPI.COMM_WORLD
world.barrier()
if world.Get_rank() == 3:
    raise ValueError("batch 7 has no labels")
world.barrier()
"""

ONE_RANK_EXITS = """
import sys
from mpi4py import MPI

world = MPI.COMM_WORLD
world.barrier()
if world.Get_rank() == 0:
    sys.exit(37)
world.barrier()
"""

WAITS = """
import signal, sys, time
from mpi4py import MPI

def stop(number, frame):
    sys.stdout.write(f"rank {MPI.COMM_WORLD.Get_rank()} saves\\n")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
MPI.COMM_WORLD.barrier()
sys.stdout.write(f"rank {MPI.COMM_WORLD.Get_rank()} is ready\\n")
time.sleep(60)
"""


def mpi_job(clients: Mapping[str, Any], name: str, script: str, **values: str) -> Any:
    return job_request(
        name,
        script,
        clients["s3"],
        ResourceConfig=TWO_INSTANCES,
        HyperParameters={**MPI, **values},
    )


def test_all_ranks_of_two_instances_gather_the_same(clients: Mapping[str, Any]) -> None:
    options = {"sagemaker_mpi_custom_mpi_options": json.dumps("-x DEMO='two words'")}
    job = run_job(clients["sagemaker"], mpi_job(clients, "mpi-gather", ALL_GATHER, **options))
    lines = log_lines(clients["logs"], "mpi-gather")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason", "") + "\n".join(lines)
    everyone = [(0, "algo-1"), (1, "algo-1"), (2, "algo-2"), (3, "algo-2")]
    assert len([line for line in lines if line.endswith(f"gathered {everyone}")]) == 4
    assert len([line for line in lines if line.endswith("option two words")]) == 4


def test_the_reason_is_the_failing_ranks_own_exception(clients: Mapping[str, Any]) -> None:
    job = run_job(clients["sagemaker"], mpi_job(clients, "mpi-raise", ONE_RANK_RAISES))
    assert job["TrainingJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert "ValueError: batch 7 has no labels" in reason
    assert "exit code 1 of rank 3 on algo-2" in reason
    assert "MPI_ABORT" not in reason


def test_a_ranks_exit_code_is_kept(clients: Mapping[str, Any]) -> None:
    job = run_job(clients["sagemaker"], mpi_job(clients, "mpi-exit", ONE_RANK_EXITS))
    assert job["TrainingJobStatus"] == "Failed"
    assert "exit code 37 of rank 0 on algo-1" in job["FailureReason"]


def test_a_stop_reaches_every_rank(clients: Mapping[str, Any]) -> None:
    clients["sagemaker"].create_training_job(**mpi_job(clients, "mpi-stop", WAITS))
    for rank in range(4):
        tag = f"[1,{rank}]<stdout>:"
        wait_for_line(clients["logs"], "mpi-stop", f"{tag}rank {rank} is ready")
    clients["sagemaker"].stop_training_job(TrainingJobName="mpi-stop")
    waiter = clients["sagemaker"].get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="mpi-stop", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    lines = log_lines(clients["logs"], "mpi-stop")
    assert len([line for line in lines if line.endswith("saves")]) == 4
