"""Bad input: each gives one clear message that names the cause, and nothing stored is lost."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import (
    BUCKET,
    ECHO,
    TRAINING_IMAGE,
    create_configuration,
    create_endpoint,
    input_channel,
    job_request,
    log_lines,
    run_job,
    settled_endpoint,
    store_model,
)

pytestmark = pytest.mark.e2e
NOTHING = "pass\n"


def failed(clients: dict[str, Any], name: str, script: str, **changes: Any) -> str:
    """Runs a job that must fail; returns its FailureReason."""
    request = job_request(name, script, clients["s3"], **changes)
    job = run_job(clients["sagemaker"], request)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["SecondaryStatus"] == "Failed"
    # The source that was uploaded for it is still there.
    clients["s3"].head_object(Bucket=BUCKET, Key=f"source/{name}/sourcedir.tar.gz")
    return str(job["FailureReason"])


def refused(clients: dict[str, Any], name: str, **changes: Any) -> str:
    """Asks for a job that must not be taken; returns the message."""
    request = job_request(name, NOTHING, clients["s3"], **changes)
    with pytest.raises(ClientError) as error:
        clients["sagemaker"].create_training_job(**request)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match="not found"):
        clients["sagemaker"].describe_training_job(TrainingJobName=name)
    return str(error.value.response["Error"]["Message"])


def test_a_hyperparameter_that_is_no_string_is_refused_by_the_client_with_its_name(
    clients: dict[str, Any],
) -> None:
    request = job_request("typed", NOTHING, clients["s3"], HyperParameters={"epochs": 10})
    with pytest.raises(ParamValidationError, match=r"HyperParameters.*epochs"):
        clients["sagemaker"].create_training_job(**request)


def test_a_hyperparameter_of_the_wrong_kind_ends_the_job_with_the_scripts_own_words(
    clients: dict[str, Any],
) -> None:
    script = (
        "import argparse\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--epochs', type=int)\n"
        "parser.parse_args()\n"
    )
    reason = failed(clients, "wrong-kind", script, HyperParameters={"epochs": '"ten"'})
    assert reason.startswith("AlgorithmError: ")
    assert "argument --epochs: invalid int value: 'ten'" in reason


def test_a_hyperparameter_that_is_too_long_is_refused_in_the_services_words(
    clients: dict[str, Any],
) -> None:
    message = refused(clients, "too-long", HyperParameters={"epochs": "1" * 2501})
    assert message.startswith("1 validation error detected: ")
    assert "length less than or equal to 2500" in message


def test_a_missing_entry_point_is_named_together_with_what_is_there(
    clients: dict[str, Any],
) -> None:
    reason = failed(
        clients, "no-entry", NOTHING, HyperParameters={"sagemaker_program": '"tarin.py"'}
    )
    assert "tarin.py" in reason
    assert "train.py" in reason


def test_a_channel_without_objects_names_the_channel_and_the_prefix(
    clients: dict[str, Any],
) -> None:
    channels = [input_channel("train", f"s3://{BUCKET}/nothing/here")]
    reason = failed(clients, "no-data", NOTHING, InputDataConfig=channels)
    assert reason.startswith("ClientError: ")
    assert f"s3://{BUCKET}/nothing/here" in reason


def test_a_missing_source_archive_is_named(clients: dict[str, Any]) -> None:
    uri = f"s3://{BUCKET}/source/gone/sourcedir.tar.gz"
    reason = failed(
        clients, "no-source", NOTHING, HyperParameters={"sagemaker_submit_directory": f'"{uri}"'}
    )
    assert uri in reason


def test_an_unknown_image_is_refused_with_advice(clients: dict[str, Any]) -> None:
    algorithm = {"TrainingImage": "example/own-image:7", "TrainingInputMode": "File"}
    request = job_request("own-image", NOTHING, clients["s3"], AlgorithmSpecification=algorithm)
    message = ""
    try:
        message = str(run_job(clients["sagemaker"], request).get("FailureReason"))
    except ClientError as error:
        message = str(error)
    assert "example/own-image:7" in message
    assert "docker" in message


def with_entry_point(*words: str) -> dict[str, Any]:
    return {
        "TrainingImage": TRAINING_IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": list(words),
    }


@pytest.mark.parametrize(
    ("name", "changes", "culprit"),
    [
        (
            "no-program",
            {"AlgorithmSpecification": with_entry_point("/no/such/program")},
            "cannot execute `/no/such/program`: No such file or directory",
        ),
        (
            "no-executable",
            {"AlgorithmSpecification": with_entry_point("/etc/passwd")},
            "cannot execute `/etc/passwd`: Permission denied",
        ),
        ("bad-path", {"Environment": {"PATH": "/nowhere"}}, "which sets it to `/nowhere`"),
    ],
)
def test_a_program_that_cannot_be_executed_is_the_requests_fault(
    clients: dict[str, Any], name: str, changes: dict[str, Any], culprit: str
) -> None:
    reason = failed(clients, name, NOTHING, **changes)
    assert reason.startswith("AlgorithmError: CannotStartContainerError: cannot execute `")
    assert culprit in reason
    assert "\nhint: " in reason


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc", "cannot start with the following reserved path: ["),
        ("/usr/../proc/x/", "cannot start with the following reserved path: ["),
        ("/opt/ml/input/data", "cannot start with the following reserved path: ["),
        ("/opt/ml", "cannot be or hold /opt/ml/code"),
        ("/opt/ml/model", "cannot be or hold /opt/ml/model"),
        ("/", "cannot be or hold /opt/ml/code"),
        ("checkpoints", "must be an absolute path"),
    ],
)
def test_a_checkpoint_folder_that_would_hide_what_the_job_needs_is_refused(
    clients: dict[str, Any], path: str, words: str
) -> None:
    checkpoints = {"S3Uri": f"s3://{BUCKET}/checkpoints", "LocalPath": path}
    message = refused(clients, "bad-folder", CheckpointConfig=checkpoints)
    assert message.startswith('"LocalPath" of "CheckpointConfig" ')
    assert words in message


def test_a_checkpoint_folder_that_hides_the_engines_home_is_told(
    clients: dict[str, Any], engine: RunningEngine
) -> None:
    path = str(engine.home.parent)
    checkpoints = {"S3Uri": f"s3://{BUCKET}/checkpoints", "LocalPath": path}
    reason = failed(clients, "hides-home", NOTHING, CheckpointConfig=checkpoints)
    assert reason.startswith(f"ClientError: `{path}` cannot be mounted: it would hide `")


def test_a_nul_character_is_told_with_what_has_it(clients: dict[str, Any]) -> None:
    reason = failed(clients, "nul", NOTHING, HyperParameters={"x": "a\0b"})
    assert reason.startswith("AlgorithmError: the hyperparameter 'x' has a NUL character")
    assert "variable GREETING has a NUL character" in refused(
        clients, "nul-variable", Environment={"GREETING": "a\0b"}
    )
    assert "container argument 'a\\x00b' has a NUL character" in refused(
        clients, "nul-argument", AlgorithmSpecification=with_entry_point("echo", "a\0b")
    )


def test_a_reason_does_nothing_to_the_terminal_that_shows_it(clients: dict[str, Any]) -> None:
    script = "raise ValueError('\\x1b[31mred\\x1b[0m\\t\\x1b]0;title\\x07\\x07end')\n"
    reason = failed(clients, "colours", script)
    assert reason.startswith("AlgorithmError: ValueError: red\t\\x07end\n")


def test_a_script_that_dies_by_a_signal_is_told_with_the_signals_name(
    clients: dict[str, Any],
) -> None:
    script = (
        "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    reason = failed(clients, "dies", script)
    assert reason.startswith("AlgorithmError: ")
    assert "SIGSEGV" in reason
    assert "last words" in log_lines(clients["logs"], "dies")


def test_an_exception_becomes_the_reason_and_its_whole_traceback_is_in_the_log(
    clients: dict[str, Any],
) -> None:
    reason = failed(clients, "raises", "raise ValueError('column `label` is missing')\n")
    assert "ValueError: column `label` is missing" in reason
    log = log_lines(clients["logs"], "raises")
    assert "Traceback (most recent call last):" in log
    assert "ValueError: column `label` is missing" in log


def test_a_name_that_is_taken_is_refused_and_the_first_job_is_untouched(
    clients: dict[str, Any],
) -> None:
    request = job_request("twice", NOTHING, clients["s3"])
    first = run_job(clients["sagemaker"], request)
    with pytest.raises(ClientError) as error:
        clients["sagemaker"].create_training_job(**request)
    assert error.value.response["Error"]["Code"] == "ResourceInUse"
    again = clients["sagemaker"].describe_training_job(TrainingJobName="twice")
    assert again["SecondaryStatusTransitions"] == first["SecondaryStatusTransitions"]


def test_a_corrupt_model_archive_fails_the_endpoint_and_is_named(clients: dict[str, Any]) -> None:
    clients["s3"].put_object(Bucket=BUCKET, Key="models/corrupt.tar.gz", Body=b"not an archive")
    uri = f"s3://{BUCKET}/models/corrupt.tar.gz"
    create_endpoint(clients["sagemaker"], "corrupt", uri)
    endpoint = settled_endpoint(clients["sagemaker"], "corrupt")
    assert endpoint["EndpointStatus"] == "Failed"
    assert uri in endpoint["FailureReason"]


def test_a_missing_model_archive_is_named(clients: dict[str, Any]) -> None:
    uri = f"s3://{BUCKET}/models/gone.tar.gz"
    try:
        create_endpoint(clients["sagemaker"], "gone", uri)
        message = settled_endpoint(clients["sagemaker"], "gone")["FailureReason"]
    except ClientError as error:
        message = str(error)
    assert uri in message


def test_a_model_that_cannot_be_loaded_fails_the_endpoint_with_its_last_words(
    clients: dict[str, Any],
) -> None:
    handlers = "def model_fn(model_dir):\n    raise RuntimeError('weights of another layer')\n"
    uri = store_model(clients["s3"], "unloadable", handlers)
    create_endpoint(clients["sagemaker"], "unloadable", uri)
    endpoint = settled_endpoint(clients["sagemaker"], "unloadable")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "weights of another layer" in endpoint["FailureReason"]
    assert "/aws/sagemaker/Endpoints/unloadable" in endpoint["FailureReason"]


def test_a_bad_update_leaves_the_old_model_in_service(clients: dict[str, Any]) -> None:
    sagemaker, s3 = clients["sagemaker"], clients["s3"]
    create_endpoint(sagemaker, "steady", store_model(s3, "steady"))
    assert settled_endpoint(sagemaker, "steady")["EndpointStatus"] == "InService"
    handlers = "def model_fn(model_dir):\n    raise RuntimeError('no')\n"
    create_configuration(sagemaker, "steady-bad", store_model(s3, "steady-bad", handlers))
    sagemaker.update_endpoint(EndpointName="steady", EndpointConfigName="steady-bad")
    endpoint = settled_endpoint(sagemaker, "steady")
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == "steady"
    answer = clients["sagemaker-runtime"].invoke_endpoint(
        EndpointName="steady", ContentType="text/plain", Body="still"
    )
    assert answer["Body"].read() == b"still 3.14"
    sagemaker.delete_endpoint(EndpointName="steady")


def test_a_handler_that_fails_answers_a_model_error_without_a_traceback(
    clients: dict[str, Any],
) -> None:
    handlers = (
        "def model_fn(model_dir):\n    return None\n\n"
        "def transform_fn(model, body, content_type, accept):\n    return [][1]\n"
    )
    create_endpoint(clients["sagemaker"], "broken", store_model(clients["s3"], "broken", handlers))
    assert settled_endpoint(clients["sagemaker"], "broken")["EndpointStatus"] == "InService"
    with pytest.raises(ClientError) as error:
        clients["sagemaker-runtime"].invoke_endpoint(EndpointName="broken", Body=b"1")
    answer = error.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 500
    assert "Traceback" not in str(answer)
    clients["sagemaker"].delete_endpoint(EndpointName="broken")


def test_a_busy_port_is_named_together_with_what_to_do(
    engine: RunningEngine, tmp_path: Path
) -> None:
    port = urlsplit(engine.endpoint_url).port
    command = [sys.executable, "-m", "intermodal_engine.cli", "up", "--detach"]
    done = subprocess.run(
        [*command, "--home", tmp_path / "other", "--port", str(port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_hangs_fails_its_endpoint_in_time_and_leaves_no_process() -> None:
    hangs = ECHO + "\nprint('loading the weights', flush=True)\nimport time\ntime.sleep(600)\n"
    with running_engine("--health-timeout=2", "--stop-grace=1") as engine:
        s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
        s3.create_bucket(Bucket=BUCKET)
        create_endpoint(sagemaker, "hangs", store_model(s3, "hangs", hangs), count=2)
        endpoint = settled_endpoint(sagemaker, "hangs")
        assert endpoint["EndpointStatus"] == "Failed"
        reason = endpoint["FailureReason"]
        assert "did not pass the ping health check within 2 s" in reason
        assert "loading the weights" in reason
        assert "/aws/sagemaker/Endpoints/hangs" in reason
        assert engine.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
        deadline = time.monotonic() + 45
        while engine.supervisors("endpoint", "hangs"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
