"""What is wrong with a training job is named within seconds, by the service or by the job's end."""

import contextlib
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.script_mode import (
    BUCKET,
    job_request,
    log_lines,
    run_job,
    tar_gz,
)

pytestmark = pytest.mark.e2e

WITHIN_S = 15.0
TORCHRUN = {"sagemaker_torch_distributed_enabled": "true"}
MPI = {"sagemaker_mpi_enabled": "true"}
NEVER_RUN = "print('the script ran')\n"


def failed(
    clients: dict[str, Any], name: str, source: dict[str, str] | bytes, **changes: Any
) -> str:
    """Runs a job that must fail in time and before its script runs; returns its FailureReason."""
    request = job_request(name, NEVER_RUN, clients["s3"], **changes)
    body = source if isinstance(source, bytes) else tar_gz(source)
    clients["s3"].put_object(Bucket=BUCKET, Key=f"source/{name}/sourcedir.tar.gz", Body=body)
    began = time.monotonic()
    job = run_job(clients["sagemaker"], request)
    assert time.monotonic() - began < WITHIN_S
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    # A job that never got as far as an instance has no log, and the first of all jobs no group.
    with contextlib.suppress(clients["logs"].exceptions.ResourceNotFoundException):
        assert "the script ran" not in log_lines(clients["logs"], name)
    return str(job["FailureReason"])


def refused(clients: dict[str, Any], name: str, **changes: Any) -> str:
    """Asks for a job that must not be taken; returns the message."""
    request = job_request(name, NEVER_RUN, clients["s3"], **changes)
    with pytest.raises(ClientError) as error:
        clients["sagemaker"].create_training_job(**request)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    return str(error.value.response["Error"]["Message"])


@pytest.mark.parametrize(
    ("values", "culprits"),
    [
        (
            {**TORCHRUN, "sagemaker_torch_distributed_nodes": "2"},
            ["`sagemaker_torch_distributed_nodes` is no option of a launcher"],
        ),
        (
            {"sagemaker_distributed_dataparallel_enabled": "true"},
            ["`sagemaker_distributed_dataparallel_enabled`, a distributed launcher that"],
        ),
        (
            {**TORCHRUN, **MPI},
            ["2 launchers at once", *TORCHRUN, *MPI],
        ),
        (
            {**TORCHRUN, "sagemaker_torch_distributed_process_count_per_node": "1000"},
            ["asks for 1000 processes on a host that has", "vCPUs (`ml.m5.large`)"],
        ),
        (
            {**TORCHRUN, "sagemaker_torch_distributed_process_count_per_node": '"many"'},
            ["`many`, which is no number of processes"],
        ),
    ],
    ids=["unknown-key", "unknown-launcher", "two-launchers", "too-many-processes", "no-number"],
)
def test_what_no_launcher_can_do_is_named(
    clients: dict[str, Any],
    request: pytest.FixtureRequest,
    values: dict[str, str],
    culprits: list[str],
) -> None:
    name = request.node.callspec.id
    reason = failed(clients, name, {"train.py": NEVER_RUN}, HyperParameters=values)
    assert reason.startswith("AlgorithmError: ")
    assert [culprit for culprit in culprits if culprit not in reason] == [], reason


@pytest.mark.parametrize(
    ("name", "body"),
    [("no-archive", b"not an archive"), ("cut-short", tar_gz({"train.py": NEVER_RUN})[:60])],
)
def test_a_source_that_cannot_be_unpacked_is_named(
    clients: dict[str, Any], name: str, body: bytes
) -> None:
    reason = failed(clients, name, body)
    assert reason.startswith("AlgorithmError: ")
    assert f"s3://{BUCKET}/source/{name}/sourcedir.tar.gz" in reason


def test_a_requirement_that_does_not_exist_is_named_in_pips_words(clients: dict[str, Any]) -> None:
    source = {"train.py": NEVER_RUN, "requirements.txt": "no-such-distribution==9.9\n"}
    # Without an index pip asks nobody.
    reason = failed(clients, "no-requirement", source, Environment={"PIP_NO_INDEX": "1"})
    assert "no-such-distribution==9.9" in reason


def test_a_name_in_a_manifest_that_leaves_its_channel_is_named(clients: dict[str, Any]) -> None:
    clients["s3"].put_object(Bucket=BUCKET, Key="inside/../outside.csv", Body=b"1")
    manifest = [{"prefix": f"s3://{BUCKET}/inside/"}, "../outside.csv"]
    clients["s3"].put_object(
        Bucket=BUCKET, Key="lists/leaves.manifest", Body=json.dumps(manifest).encode()
    )
    source = {"S3DataType": "ManifestFile", "S3Uri": f"s3://{BUCKET}/lists/leaves.manifest"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    reason = failed(clients, "leaves", {"train.py": NEVER_RUN}, InputDataConfig=[channel])
    assert reason.startswith("ClientError: ")
    assert "`inside/../outside.csv` leads out of its channel" in reason
    assert "lists/leaves.manifest" in reason


def test_a_bucket_for_the_output_that_does_not_exist_is_named(clients: dict[str, Any]) -> None:
    request = job_request(
        "no-bucket", "pass\n", clients["s3"], OutputDataConfig={"S3OutputPath": "s3://not-there/x"}
    )
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Failed"
    assert "the bucket `not-there` of `OutputDataConfig.S3OutputPath`" in job["FailureReason"]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("many-values", {f"h{number}": "1" for number in range(99)}, "less than or equal to 100"),
        ("long-value", {"epochs": "1" * 2501}, "less than or equal to 2500"),
        ("long-name", {"e" * 257: "1"}, "less than or equal to 256"),
    ],
)
def test_hyperparameters_beyond_the_limits_are_refused_in_the_services_words(
    clients: dict[str, Any], name: str, values: dict[str, str], words: str
) -> None:
    message = refused(clients, name, HyperParameters=values)
    assert "validation error detected: " in message
    assert "at 'hyperParameters" in message
    assert words in message


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (
            "many-channels",
            {
                "InputDataConfig": [
                    {
                        "ChannelName": f"c{number}",
                        "DataSource": {
                            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/x"}
                        },
                    }
                    for number in range(21)
                ]
            },
            "less than or equal to 20",
        ),
        (
            "many-variables",
            {"Environment": {f"V{number}": "1" for number in range(101)}},
            "less than or equal to 100",
        ),
        ("long-variable", {"Environment": {"V": "1" * 513}}, "less than or equal to 512"),
        (
            "unknown-file-system",
            {
                "InputDataConfig": [
                    {
                        "ChannelName": "train",
                        "DataSource": {
                            "FileSystemDataSource": {
                                "FileSystemId": "fs-0123456789abcdef0",
                                "FileSystemType": "FSxLustre",
                                "FileSystemAccessMode": "ro",
                                "DirectoryPath": "/train",
                            }
                        },
                    }
                ]
            },
            "`--file-system fs-0123456789abcdef0=/local/path`",
        ),
        (
            "wait-without-spot",
            {"StoppingCondition": {"MaxRuntimeInSeconds": 5, "MaxWaitTimeInSeconds": 9}},
            "Invalid MaxWaitTimeInSeconds",
        ),
    ],
)
def test_what_the_service_refuses_is_refused_at_create(
    clients: dict[str, Any], name: str, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(clients, name, **changes)


@pytest.mark.parametrize(
    ("name", "end", "words"),
    [
        ("exit-code", "sys.exit(37)", "exit code: 37"),
        ("killed", "os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("aborts", "os.abort()", "SIGABRT"),
        ("raises", "raise KeyError('label')", "KeyError: 'label'"),
        (
            "wrote-why",
            "open('/opt/ml/output/failure', 'w').write('no labels'); sys.exit(1)",
            "no l",
        ),
    ],
)
def test_each_way_to_die_has_its_own_words(
    clients: dict[str, Any], name: str, end: str, words: str
) -> None:
    script = f"import os, signal, sys\nprint('last words', flush=True)\n{end}\n"
    job = run_job(clients["sagemaker"], job_request(f"dies-{name}", script, clients["s3"]))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert words in job["FailureReason"]
    assert "last words" in log_lines(clients["logs"], f"dies-{name}")
