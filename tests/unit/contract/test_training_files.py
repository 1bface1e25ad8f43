"""What lies below /opt/ml."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_contract import serving_http
from intermodal_contract.channel import Channel, S3Uri
from intermodal_contract.errors import IntermodalError
from intermodal_contract.training_files import (
    FAILURE_LIMIT,
    ContractFileError,
    InstanceGroup,
    ResourceConfig,
    TrainingPaths,
    read_failure,
    read_hyperparameters,
    read_input_data_config,
    read_resource_config,
    write_training_input,
)


@pytest.fixture
def paths(tmp_path: Path) -> TrainingPaths:
    return TrainingPaths(tmp_path / "ml")


def test_the_layout_is_the_services() -> None:
    paths = TrainingPaths()
    assert str(paths.hyperparameters_file) == "/opt/ml/input/config/hyperparameters.json"
    assert str(paths.input_data_config_file) == "/opt/ml/input/config/inputdataconfig.json"
    assert str(paths.resource_config_file) == "/opt/ml/input/config/resourceconfig.json"
    assert str(paths.checkpoint_config_file) == "/opt/ml/input/config/checkpointconfig.json"
    assert str(paths.channel("train")) == "/opt/ml/input/data/train"
    assert str(paths.model) == "/opt/ml/model"
    assert str(paths.output_data) == "/opt/ml/output/data"
    assert str(paths.output_intermediate) == "/opt/ml/output/intermediate"
    assert str(paths.failure_file) == "/opt/ml/output/failure"
    assert str(paths.success_file) == "/opt/ml/output/success"
    assert str(paths.checkpoints) == "/opt/ml/checkpoints"
    assert str(paths.code) == "/opt/ml/code"


def test_another_root_is_honoured_and_an_empty_one_is_none() -> None:
    assert TrainingPaths.from_environment({"SAGEMAKER_BASE_DIR": "/x"}).model == Path("/x/model")
    assert TrainingPaths.from_environment({"SAGEMAKER_BASE_DIR": ""}) == TrainingPaths()


def test_what_is_written_is_read_again(paths: TrainingPaths) -> None:
    resources = ResourceConfig(
        current_host="algo-2",
        hosts=("algo-1", "algo-2"),
        current_instance_type="ml.m5.xlarge",
        current_group_name="homogeneousCluster",
        instance_groups=(
            InstanceGroup("homogeneousCluster", "ml.m5.xlarge", ("algo-1", "algo-2")),
        ),
    )
    channels = [
        Channel("train", S3Uri("bucket", "x"), input_mode="FastFile", content_type="text/csv"),
        Channel("stream", S3Uri("bucket", "y"), input_mode="Pipe", record_wrapper="RecordIO"),
    ]
    checkpoint = {"LocalPath": "/opt/ml/checkpoints", "S3Uri": "s3://bucket/c"}
    hyperparameters = {"epochs": "3", "name": '"ü"'}
    write_training_input(
        paths,
        hyperparameters=hyperparameters,
        channels=channels,
        resources=resources,
        checkpoint=checkpoint,
    )
    assert read_hyperparameters(paths) == hyperparameters
    assert read_resource_config(paths) == resources
    assert read_input_data_config(paths) == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "text/csv",
        },
        "stream": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "RecordIO",
        },
    }
    assert json.loads(paths.checkpoint_config_file.read_text()) == checkpoint
    folders = (paths.model, paths.output_data, paths.checkpoints, paths.channel("train"))
    assert all(folder.is_dir() for folder in folders)
    assert not paths.channel("stream").exists()


@given(st.dictionaries(st.text(), st.text()))
def test_every_hyperparameter_survives(
    tmp_path_factory: pytest.TempPathFactory, hyperparameters: dict[str, str]
) -> None:
    paths = TrainingPaths(tmp_path_factory.getbasetemp() / "hyperparameters")
    write_training_input(
        paths, hyperparameters=hyperparameters, channels=[], resources=ResourceConfig()
    )
    assert read_hyperparameters(paths) == hyperparameters


def test_missing_files_mean_an_empty_job_on_one_host(paths: TrainingPaths) -> None:
    assert read_hyperparameters(paths) == {}
    assert read_input_data_config(paths) == {}
    assert read_resource_config(paths) == ResourceConfig(current_host="algo-1", hosts=("algo-1",))


def test_values_that_are_no_strings_are_taken_as_json(paths: TrainingPaths) -> None:
    paths.input_config.mkdir(parents=True)
    paths.hyperparameters_file.write_text('{"a": 1, "b": true, "c": [1]}')
    assert read_hyperparameters(paths) == {"a": "1", "b": "true", "c": "[1]"}


@pytest.mark.parametrize("content", ["{", "[]", "null", '"text"', b"\xff"])
def test_a_broken_file_is_named_with_whom_to_blame(
    paths: TrainingPaths, content: str | bytes
) -> None:
    paths.input_config.mkdir(parents=True)
    paths.hyperparameters_file.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(ContractFileError) as caught:
        read_hyperparameters(paths)
    assert str(paths.hyperparameters_file) in caught.value.message
    assert "the platform" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        '{"current_host": "algo-3", "hosts": ["algo-1"]}',
        '{"hosts": "algo-1"}',
        '{"hosts": [1]}',
        '{"instance_groups": [{"hosts": 3}]}',
        '{"instance_groups": ["a"]}',
    ],
)
def test_hosts_that_cannot_be_are_refused(paths: TrainingPaths, content: str) -> None:
    paths.input_config.mkdir(parents=True)
    paths.resource_config_file.write_text(content)
    with pytest.raises(ContractFileError):
        read_resource_config(paths)


def test_a_channel_that_is_no_object_is_refused(paths: TrainingPaths) -> None:
    paths.input_config.mkdir(parents=True)
    paths.input_data_config_file.write_text('{"train": 1}')
    with pytest.raises(ContractFileError, match="`train`"):
        read_input_data_config(paths)


def test_of_a_failure_the_first_characters_are_read(paths: TrainingPaths) -> None:
    paths.output.mkdir(parents=True)
    assert read_failure(paths) is None
    paths.failure_file.write_text("  \n")
    assert read_failure(paths) is None
    paths.failure_file.write_text("ü" * 5000)
    assert read_failure(paths) == "ü" * FAILURE_LIMIT
    paths.failure_file.write_bytes(b"bad \xff byte")
    assert read_failure(paths) == "bad \ufffd byte"


def test_a_failure_that_is_no_plain_file_is_not_followed(paths: TrainingPaths) -> None:
    paths.output.mkdir(parents=True)
    secret = paths.root / "secret"
    secret.write_text("secret")
    paths.failure_file.symlink_to(secret)
    assert read_failure(paths) is None
    paths.failure_file.unlink()
    os.mkfifo(paths.failure_file)
    assert read_failure(paths) is None
    paths.failure_file.unlink()
    paths.failure_file.mkdir()
    assert read_failure(paths) is None


def test_an_error_shows_its_hint_on_a_line_of_its_own() -> None:
    assert str(IntermodalError("it broke", hint="mend it")) == "it broke\nhint: mend it"
    assert str(IntermodalError("it broke")) == "it broke"


def test_the_serving_contract_is_the_services() -> None:
    assert (serving_http.PORT, serving_http.PING_PATH) == (8080, "/ping")
    assert serving_http.INVOCATIONS_PATH == "/invocations"
    assert serving_http.MAX_PAYLOAD_BYTES == 26_214_400
