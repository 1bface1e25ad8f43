"""The defaults file: where it lies, what wins over what, and what is wrong with it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.defaults import Defaults, load_defaults
from intermodal.errors import DefaultsError, MissingDependencyError
from intermodal.estimator import Estimator
from intermodal.model import Model
from intermodal.network import NetworkConfig
from intermodal.processing import ProcessingInput, Processor
from intermodal.transformer import Transformer
from tests.helpers.fake_aws import FakeAws

ROLE = ("TrainingJob", "RoleArn")


def file_of(folder: Path, **training_job: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    keys = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in training_job.items())
    path.write_text(f"SchemaVersion: '1.0'\nSageMaker:\n  TrainingJob:\n{keys}")
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without files, and no variable that names one."""
    for name in ("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", "SAGEMAKER_USER_CONFIG_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path


def test_without_files_there_are_no_defaults() -> None:
    assert load_defaults().get(*ROLE) is None


def test_the_users_file_wins_over_the_administrators(home: Path) -> None:
    file_of(home / "etc" / "sagemaker", RoleArn="admin", Environment={"A": "1", "B": "1"})
    file_of(home / "home" / "sagemaker", RoleArn="user", Environment={"B": "2"})

    defaults = load_defaults()

    assert defaults.get(*ROLE) == "user"
    assert defaults.get("TrainingJob", "Environment") == {"A": "1", "B": "2"}


def test_a_variable_names_another_file_or_its_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(home / "own", RoleArn="own")
    for place in (path, path.parent):
        monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(place))
        assert load_defaults().get(*ROLE) == "own"


def test_a_file_in_s3_is_read_by_the_session(
    aws: FakeAws, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.objects["mybucket", "defaults/config.yaml"] = b"SageMaker: {TrainingJob: {RoleArn: s3}}"
    monkeypatch.setenv("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", "s3://mybucket/defaults")

    assert session.defaults.get(*ROLE) == "s3"


def test_a_file_that_a_variable_names_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", "/nowhere/config.yaml")

    with pytest.raises(DefaultsError, match=r"`/nowhere/config\.yaml` cannot be read") as raised:
        load_defaults()
    assert "SAGEMAKER_USER_CONFIG_OVERRIDE names it" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "is no mapping; its first key has to be `SageMaker`"),
        ("SageMaker: [\n", "is no YAML: "),
        ("SageMaker: here\n", "`SageMaker` is a str, not keys"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    path = home / "config.yaml"
    path.write_text(text)
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(path))

    with pytest.raises(DefaultsError, match=f"`{path}`") as raised:
        load_defaults()
    assert words in str(raised.value)


def test_a_value_in_the_place_of_keys_is_told_with_its_place() -> None:
    defaults = Defaults({"SageMaker": {"TrainingJob": {"VpcConfig": "vpc-1"}}})

    with pytest.raises(DefaultsError, match=r"`TrainingJob.VpcConfig` is a str, not keys"):
        defaults.get("TrainingJob", "VpcConfig", "Subnets")


def test_json_needs_no_package_and_yaml_says_which_one_it_needs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    folder = home / "home" / "sagemaker"
    folder.mkdir(parents=True)

    (folder / "config.yaml").write_text('{"SageMaker": {"TrainingJob": {"RoleArn": "json"}}}')
    assert load_defaults().get(*ROLE) == "json"
    file_of(folder, RoleArn="yaml")
    with pytest.raises(MissingDependencyError, match="PyYAML is needed for the defaults in") as no:
        load_defaults()
    assert "intermodal[config]" in (no.value.hint or "")


def test_what_is_said_in_code_wins(home: Path, aws: FakeAws) -> None:
    file_of(
        home / "home" / "sagemaker",
        RoleArn="arn:aws:iam::123456789012:role/Default",
        EnableNetworkIsolation=True,
        Environment={"A": "1"},
        Tags=[{"Key": "team", "Value": "x"}, {"Key": "a", "Value": "default"}],
    )
    session = Session(aws.boto_session())

    Estimator("image:1", None, 1, "ml.m5.large", sagemaker_session=session).fit(wait=False)
    first = aws.params("CreateTrainingJob")
    Estimator(
        "image:1",
        "arn:aws:iam::123456789012:role/Own",
        1,
        "ml.m5.large",
        enable_network_isolation=False,
        environment={"B": "2"},
        tags={"a": "own"},
        sagemaker_session=session,
    ).fit(wait=False)
    second = aws.params("CreateTrainingJob")

    assert first["RoleArn"].endswith("/Default")
    assert first["EnableNetworkIsolation"] is True
    assert first["Tags"] == [{"Key": "team", "Value": "x"}, {"Key": "a", "Value": "default"}]
    assert second["RoleArn"].endswith("/Own")
    assert "EnableNetworkIsolation" not in second
    assert second["Environment"] == {"B": "2"}
    assert second["Tags"] == [{"Key": "a", "Value": "own"}, {"Key": "team", "Value": "x"}]


def test_the_defaults_of_a_session_do_without_files(aws: FakeAws) -> None:
    values = {"SageMaker": {"Model": {"ExecutionRoleArn": "arn:aws:iam::123456789012:role/M"}}}
    session = Session(aws.boto_session(), sagemaker_config=values)

    Model("image", "s3://mybucket/m.tar.gz", sagemaker_session=session).create()

    assert aws.params("CreateModel")["ExecutionRoleArn"].endswith("/M")


@pytest.mark.parametrize(
    ("default", "given", "sent"),
    [
        (
            {"Athena": {"KmsKeyId": "k"}},
            {"Athena": {"Catalog": "c"}},
            {"Catalog": "c", "KmsKeyId": "k"},
        ),
        ({"Athena": {"KmsKeyId": "k"}}, {"Athena": {"KmsKeyId": "own"}}, {"KmsKeyId": "own"}),
        ({"Athena": {"KmsKeyId": "k"}}, {"Redshift": {"ClusterId": "c"}}, {"ClusterId": "c"}),
        ({}, {"Redshift": {"ClusterId": "c"}}, {"ClusterId": "c"}),
    ],
)
def test_a_data_sets_default_is_taken_where_it_is_of_the_same_kind(
    default: dict[str, Any], given: dict[str, Any], sent: dict[str, Any]
) -> None:
    def entry(kinds: dict[str, Any]) -> dict[str, Any]:
        return {f"{kind}DatasetDefinition": value for kind, value in kinds.items()}

    one = ProcessingInput(dataset_definition=entry(given))

    assert one.over({"DatasetDefinition": entry(default)}).dataset_definition == entry(
        dict.fromkeys(given, sent)
    )


def test_the_defaults_of_data_sets_are_for_the_inputs_in_the_same_places(aws: FakeAws) -> None:
    keys = [
        {"DatasetDefinition": {"AthenaDatasetDefinition": {"KmsKeyId": key}}} for key in "ABCDE"
    ]
    values = {"SageMaker": {"ProcessingJob": {"ProcessingInputs": keys}}}
    athena = {
        "Catalog": "catalog",
        "Database": "database",
        "QueryString": "select 1",
        "OutputS3Uri": "s3://mybucket/rows",
        "OutputFormat": "PARQUET",
    }
    processor = Processor(
        "arn:aws:iam::123456789012:role/P",
        "image:1",
        1,
        "ml.m5.large",
        sagemaker_session=Session(aws.boto_session(), sagemaker_config=values),
    )

    processor.run(
        [
            ProcessingInput(dataset_definition={"AthenaDatasetDefinition": athena}),
            ProcessingInput("s3://mybucket/d", "/opt/ml/processing/input/d"),
            ProcessingInput(dataset_definition={"AthenaDatasetDefinition": athena}),
        ],
        wait=False,
    )

    first, s3, last = aws.params("CreateProcessingJob")["ProcessingInputs"]
    assert first["DatasetDefinition"]["AthenaDatasetDefinition"] == {**athena, "KmsKeyId": "A"}
    assert "DatasetDefinition" not in s3
    assert last["DatasetDefinition"]["AthenaDatasetDefinition"]["KmsKeyId"] == "C"


def test_a_network_that_was_given_stays_as_it_is(aws: FakeAws) -> None:
    network = {"EnableNetworkIsolation": True, "VpcConfig": {"Subnets": ["subnet-1"]}}
    values = {"SageMaker": {"ProcessingJob": {"NetworkConfig": network}}}
    given = NetworkConfig(enable_network_isolation=False)

    processor = Processor(
        network_config=given,
        sagemaker_session=Session(aws.boto_session(), sagemaker_config=values),
    )

    assert given == NetworkConfig(enable_network_isolation=False)
    assert processor.network_config == NetworkConfig(
        enable_network_isolation=False, subnets=["subnet-1"]
    )


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ({"DestinationS3Uri": "s3://mybucket/c"}, "default"),
        ({"DestinationS3Uri": "s3://mybucket/c", "KmsKeyId": "own"}, "own"),
    ],
)
def test_what_a_transform_job_captures_has_the_defaults_key(
    aws: FakeAws, given: dict[str, str] | None, sent: str | None
) -> None:
    values = {"SageMaker": {"TransformJob": {"DataCaptureConfig": {"KmsKeyId": "default"}}}}
    session = Session(aws.boto_session(), sagemaker_config=values)
    transformer = Transformer(
        "m", 1, "ml.m5.large", base_transform_job_name="t", sagemaker_session=session
    )

    transformer.transform("s3://mybucket/d", batch_data_capture_config=given, wait=False)

    capture = aws.params("CreateTransformJob").get("DataCaptureConfig", {})
    assert capture.get("KmsKeyId") == sent
