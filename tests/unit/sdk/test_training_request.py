"""What each argument becomes in CreateTrainingJob."""

from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.estimator import Estimator
from intermodal.inputs import FileSystemInput, TrainingInput
from intermodal.instance_group import InstanceGroup
from intermodal.mxnet import MXNet
from intermodal.pytorch import PyTorch
from tests.helpers.fake_aws import ROLE_ARN, FakeAws


def request(aws: FakeAws, session: Session, inputs: Any = None, **options: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"instance_count": 1, "instance_type": "ml.m5.large", **options}
    Estimator("image:1", ROLE_ARN, sagemaker_session=session, **arguments).fit(inputs, wait=False)
    return aws.params("CreateTrainingJob")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (
            {"use_spot_instances": True, "max_run": 60, "max_wait": 90},
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
            },
        ),
        (
            {"checkpoint_s3_uri": "s3://b/c", "checkpoint_local_path": "/opt/ml/c"},
            {"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/c"}},
        ),
        (
            {"subnets": ["s-1"], "security_group_ids": ["g-1"]},
            {"VpcConfig": {"Subnets": ["s-1"], "SecurityGroupIds": ["g-1"]}},
        ),
        (
            {"output_path": "s3://b/o", "output_kms_key": "k", "disable_output_compression": True},
            {
                "OutputDataConfig": {
                    "S3OutputPath": "s3://b/o",
                    "KmsKeyId": "k",
                    "CompressionType": "NONE",
                }
            },
        ),
        ({"environment": {"A": "1"}}, {"Environment": {"A": "1"}}),
        ({"tags": {"team": "a"}}, {"Tags": [{"Key": "team", "Value": "a"}]}),
        ({"max_retry_attempts": 2}, {"RetryStrategy": {"MaximumRetryAttempts": 2}}),
        ({"enable_network_isolation": True}, {"EnableNetworkIsolation": True}),
        (
            {"encrypt_inter_container_traffic": True},
            {"EnableInterContainerTrafficEncryption": True},
        ),
        ({"enable_remote_debug": True}, {"RemoteDebugConfig": {"EnableRemoteDebug": True}}),
        ({"enable_infra_check": True}, {"InfraCheckConfig": {"EnableInfraCheck": True}}),
        (
            {"hyperparameters": {"a": True, "b": None, "c": 0.1, "d": "x"}},
            {"HyperParameters": {"a": "True", "b": "None", "c": "0.1", "d": "x"}},
        ),
        (
            {"debugger_hook_config": {"S3OutputPath": "s3://b/d"}},
            {"DebugHookConfig": {"S3OutputPath": "s3://b/d"}},
        ),
        (
            {
                "instance_count": None,
                "instance_type": None,
                "instance_groups": [InstanceGroup("cpu", "ml.m5.large", 2)],
            },
            {
                "ResourceConfig": {
                    "VolumeSizeInGB": 30,
                    "InstanceGroups": [
                        {
                            "InstanceGroupName": "cpu",
                            "InstanceType": "ml.m5.large",
                            "InstanceCount": 2,
                        }
                    ],
                }
            },
        ),
        (
            {"keep_alive_period_in_seconds": 60, "volume_size": 5, "volume_kms_key": "k"},
            {
                "ResourceConfig": {
                    "VolumeSizeInGB": 5,
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeKmsKeyId": "k",
                    "KeepAlivePeriodInSeconds": 60,
                }
            },
        ),
        (
            {
                "metric_definitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
                "container_entry_point": ["bash", "-c"],
                "container_arguments": "run.sh",
                "training_repository_access_mode": "Vpc",
                "training_repository_credentials_provider_arn": "arn:x",
                "input_mode": "FastFile",
            },
            {
                "AlgorithmSpecification": {
                    "TrainingInputMode": "FastFile",
                    "TrainingImage": "image:1",
                    "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
                    "ContainerEntrypoint": ["bash", "-c"],
                    "ContainerArguments": ["run.sh"],
                    "TrainingImageConfig": {
                        "TrainingRepositoryAccessMode": "Vpc",
                        "TrainingRepositoryAuthConfig": {
                            "TrainingRepositoryCredentialsProviderArn": "arn:x"
                        },
                    },
                }
            },
        ),
    ],
)
def test_an_option_becomes_its_part_of_the_request(
    options: dict[str, Any], part: dict[str, Any], aws: FakeAws, session: Session
) -> None:
    sent = request(aws, session, **options)

    assert {name: sent[name] for name in part} == part


def test_the_local_instance_type_has_a_name_on_the_wire(aws: FakeAws, session: Session) -> None:
    sent = request(aws, session, instance_type="local_gpu")

    assert sent["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"


def test_every_kind_of_input_becomes_a_channel(aws: FakeAws, session: Session) -> None:
    sent = request(
        aws,
        session,
        {
            "plain": "s3://b/k",
            "rich": TrainingInput(
                "s3://b/manifest",
                s3_data_type="AugmentedManifestFile",
                attribute_names=["image"],
                record_wrapping="RecordIO",
                compression="Gzip",
                input_mode="Pipe",
                instance_groups=["cpu"],
            ),
            "disk": FileSystemInput("fs-0123456789a", "EFS", "/data"),
        },
        model_uri="s3://b/pretrained.tar.gz",
    )

    assert sent["InputDataConfig"] == [
        {
            "ChannelName": "plain",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": "s3://b/k",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        },
        {
            "ChannelName": "rich",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "AugmentedManifestFile",
                    "S3Uri": "s3://b/manifest",
                    "S3DataDistributionType": "FullyReplicated",
                    "InstanceGroupNames": ["cpu"],
                    "AttributeNames": ["image"],
                }
            },
            "CompressionType": "Gzip",
            "RecordWrapperType": "RecordIO",
            "InputMode": "Pipe",
        },
        {
            "ChannelName": "disk",
            "DataSource": {
                "FileSystemDataSource": {
                    "FileSystemId": "fs-0123456789a",
                    "FileSystemType": "EFS",
                    "DirectoryPath": "/data",
                    "FileSystemAccessMode": "ro",
                }
            },
        },
        {
            "ChannelName": "model",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": "s3://b/pretrained.tar.gz",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
            "ContentType": "application/x-sagemaker-model",
            "InputMode": "File",
        },
    ]


def test_an_isolated_job_gets_its_code_through_a_channel(
    aws: FakeAws, session: Session, script: Path
) -> None:
    request(
        aws,
        session,
        entry_point=str(script),
        enable_network_isolation=True,
        code_location="s3://mybucket/code",
    )

    sent = aws.params("CreateTrainingJob")
    channel = sent["InputDataConfig"][0]
    place = f"code/{sent['TrainingJobName']}/source/sourcedir.tar.gz"
    assert channel["ChannelName"] == "code"
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"s3://mybucket/{place}"
    assert ("mybucket", place) in aws.objects
    assert (
        sent["HyperParameters"]["sagemaker_submit_directory"]
        == '"/opt/ml/input/data/code/sourcedir.tar.gz"'
    )


def test_source_that_lies_in_s3_is_used_as_it_is(aws: FakeAws, session: Session) -> None:
    sent = request(
        aws, session, entry_point="train.py", source_dir="s3://mybucket/x/sourcedir.tar.gz"
    )

    assert "s3.PutObject" not in aws.operations()
    assert (
        sent["HyperParameters"]["sagemaker_submit_directory"]
        == '"s3://mybucket/x/sourcedir.tar.gz"'
    )


@pytest.mark.parametrize(
    ("distribution", "launch"),
    [
        (
            {"parameter_server": {"enabled": True}},
            {"sagemaker_parameter_server_enabled": "true"},
        ),
        (
            {"mpi": {"enabled": True, "processes_per_host": 4, "custom_mpi_options": "-x A"}},
            {
                "sagemaker_mpi_enabled": "true",
                "sagemaker_mpi_num_of_processes_per_host": "4",
                "sagemaker_mpi_custom_mpi_options": '"-x A"',
            },
        ),
    ],
)
def test_a_distribution_tells_the_training_program_how_to_launch(
    distribution: dict[str, Any],
    launch: dict[str, str],
    aws: FakeAws,
    session: Session,
    script: Path,
) -> None:
    MXNet(
        str(script),
        framework_version="1.9.0",
        role=ROLE_ARN,
        instance_count=2,
        instance_type="ml.m5.large",
        distribution=distribution,
        sagemaker_session=session,
    ).fit(wait=False)

    sent = aws.params("CreateTrainingJob")["HyperParameters"]
    assert {name: value for name, value in sent.items() if name in launch} == launch


@pytest.mark.parametrize(
    ("version", "kind", "image"),
    [
        ("2.2.0", "ml.m5.large", "pytorch-training:2.2.0-cpu-py310"),
        ("2.6.0", "ml.g5.xlarge", "pytorch-training:2.6.0-gpu-py312"),
        ("1.13.1", "ml.p3.2xlarge", "pytorch-training:1.13.1-gpu-py39"),
        ("2.13.0", "local", "pytorch-training:2.13.0-cpu-py311"),
    ],
)
def test_the_image_follows_from_version_and_instance_type(
    version: str, kind: str, image: str, session: Session
) -> None:
    estimator = PyTorch(
        "train.py", framework_version=version, instance_type=kind, sagemaker_session=session
    )

    account = "763104351884.dkr.ecr.us-west-2.amazonaws.com"
    assert estimator.training_image_uri() == f"{account}/{image}"


def test_a_file_system_of_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="`file_system_type`: 'NFS' is none of `FSxLustre`, `EFS`"):
        FileSystemInput("fs-0123456789", "NFS", "/data")
    with pytest.raises(ValueError, match="`file_system_access_mode`: 'w' is none of `ro`, `rw`"):
        FileSystemInput("fs-0123456789", "EFS", "/data", "w")


def test_access_to_a_hubs_models_is_said_in_the_channel() -> None:
    data = TrainingInput(
        "s3://mybucket/m",
        hub_access_config={"HubContentArn": "arn:hub"},
        model_access_config={"AcceptEula": True},
    )

    source = data.config["DataSource"]["S3DataSource"]
    assert source["HubAccessConfig"] == {"HubContentArn": "arn:hub"}
    assert source["ModelAccessConfig"] == {"AcceptEula": True}
