"""What else a training job's request can ask for, through boto3 against the process driver."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import (
    BUCKET,
    TRAINING_IMAGE,
    input_channel,
    job_request,
    log_lines,
    run_job,
    tar_gz,
)

pytestmark = pytest.mark.e2e

FILE_SYSTEM = "fs-0123456789abcdef0"

LOOKS_FOR_A_WAY_OUT = """
import os, socket, threading, time
rows = [line.split() for line in open("/proc/net/route").readlines()[1:]]
print("ways out", sum(row[1] == "00000000" for row in rows))
print("credentials", sorted(name for name in os.environ if name.startswith("AWS_")))
try:
    socket.create_connection(tuple(os.environ["ENGINE"].split(":")), 2).close()
    print("the engine is reached")
except OSError:
    print("the engine is out of reach")
if os.environ["SM_CURRENT_HOST"] == "algo-1":
    server = socket.create_server(("0.0.0.0", 9000))
    connection, _ = server.accept()
    print("heard", connection.recv(100).decode())
else:
    for _ in range(100):
        try:
            connection = socket.create_connection(("algo-1", 9000), 2)
            break
        except OSError:
            time.sleep(0.05)
    connection.send(b"algo-2")
"""

LEARNS = """
for epoch in range(1, 4):
    print(f"epoch={epoch} loss={1 / epoch:.4f} accuracy={epoch / 4}", flush=True)
print("loss=nan")
print("loss=inf")
"""


@pytest.fixture(scope="module")
def file_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for an EFS."""
    folder = tmp_path_factory.mktemp("efs")
    (folder / "train").mkdir()
    (folder / "train" / "shared.txt").write_text("from the file system")
    return folder


@pytest.fixture(scope="module")
def engine(file_system: Path) -> Iterator[RunningEngine]:
    with running_engine(f"--file-system={FILE_SYSTEM}={file_system}") as engine:
        yield engine


def test_an_isolated_jobs_instances_reach_each_other_and_nothing_else(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    clients["s3"].put_object(
        Bucket=BUCKET,
        Key="source/isolated/sourcedir.tar.gz",
        Body=tar_gz({"train.py": LOOKS_FOR_A_WAY_OUT}),
    )
    archive = "/opt/ml/input/data/code/sourcedir.tar.gz"
    request = job_request(
        "isolated",
        LOOKS_FOR_A_WAY_OUT,
        clients["s3"],
        EnableNetworkIsolation=True,
        InputDataConfig=[input_channel("code", f"s3://{BUCKET}/source/isolated")],
        HyperParameters={"sagemaker_submit_directory": json.dumps(archive)},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        Environment={"ENGINE": f"127.0.0.1:{engine.port}"},
    )
    job = run_job(clients["sagemaker"], request)
    if "network isolation was asked for" in job.get("FailureReason", ""):
        pytest.skip("this machine can give an instance no network of its own")
    lines = log_lines(clients["logs"], "isolated")
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), lines)
    assert lines.count("ways out 0") == 2
    assert lines.count("credentials []") == 2
    assert lines.count("the engine is out of reach") == 2
    assert "heard algo-2" in lines


def test_a_container_may_bring_its_own_entry_point_and_arguments(clients: dict[str, Any]) -> None:
    script = b'echo "greeting $GREETING"\nfor word in "$@"; do echo "word $word"; done\n'
    clients["s3"].put_object(Bucket=BUCKET, Key="own/code/run.sh", Body=script)
    run = "/opt/ml/input/data/code/run.sh"
    request = job_request(
        "own-entry",
        "",
        clients["s3"],
        AlgorithmSpecification={
            "TrainingImage": TRAINING_IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/sh", run],
            "ContainerArguments": ["two words", "--epochs", "3"],
        },
        InputDataConfig=[input_channel("code", f"s3://{BUCKET}/own/code/")],
        Environment={"GREETING": 'it\'s "quoted"\nand long'},
    )
    job = run_job(clients["sagemaker"], request)
    if "hint: " in job.get("FailureReason", "") and "docker" in job["FailureReason"]:
        pytest.skip("this machine can give an instance no /opt/ml of its own")
    lines = log_lines(clients["logs"], "own-entry")
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), lines)
    assert lines[-5:] == [
        'greeting it\'s "quoted"',
        "and long",
        "word two words",
        "word --epochs",
        "word 3",
    ]


def test_output_without_compression_comes_file_by_file(clients: dict[str, Any]) -> None:
    script = (
        "import os, pathlib\n"
        "model = pathlib.Path(os.environ['SM_MODEL_DIR'], 'deep')\n"
        "model.mkdir()\n"
        "(model / 'weights.bin').write_bytes(b'123')\n"
        "pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR'], 'curve.csv').write_text('1,2')\n"
    )
    output = {"S3OutputPath": f"s3://{BUCKET}/output", "CompressionType": "NONE"}
    request = job_request("uncompressed", script, clients["s3"], OutputDataConfig=output)
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    prefix = "output/uncompressed/output/"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/{prefix}model/"
    listed = clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert [one["Key"].removeprefix(prefix) for one in listed] == [
        "data/curve.csv",
        "model/deep/weights.bin",
    ]


def test_the_last_value_of_each_metric_is_told_with_the_job(clients: dict[str, Any]) -> None:
    request = job_request("metrics", LEARNS, clients["s3"])
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "train:loss", "Regex": r"loss=(\S+)"},
        {"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"},
        {"Name": "never", "Regex": "absent=(.*)"},
    ]
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    final = {one["MetricName"]: one for one in job["FinalMetricDataList"]}
    assert {name: one["Value"] for name, one in final.items()} == pytest.approx(
        {"train:loss": 0.3333, "accuracy": 0.75}
    )
    for one in final.values():
        assert job["TrainingStartTime"] <= one["Timestamp"] <= job["TrainingEndTime"]


@pytest.mark.parametrize(("mode", "written"), [("rw", True), ("ro", False)])
def test_a_local_folder_stands_for_a_file_system(
    clients: dict[str, Any], file_system: Path, mode: str, written: bool
) -> None:
    script = (
        "import os, pathlib\n"
        "folder = pathlib.Path(os.environ['SM_CHANNEL_TRAIN'])\n"
        "print((folder / 'shared.txt').read_text())\n"
        "try:\n"
        "    (folder / os.environ['NEW']).write_text('by the job')\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    source = {
        "FileSystemId": FILE_SYSTEM,
        "FileSystemType": "EFS",
        "FileSystemAccessMode": mode,
        "DirectoryPath": "/train",
    }
    channel = {"ChannelName": "train", "DataSource": {"FileSystemDataSource": source}}
    name = f"file-system-{mode}"
    request = job_request(
        name, script, clients["s3"], InputDataConfig=[channel], Environment={"NEW": name}
    )
    job = run_job(clients["sagemaker"], request)
    lines = log_lines(clients["logs"], name)
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), lines)
    assert "from the file system" in lines
    assert (file_system / "train" / name).exists() is written
    assert ("Read-only file system" in lines) is not written
