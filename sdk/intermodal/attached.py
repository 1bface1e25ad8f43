"""An estimator's arguments, read back from DescribeTrainingJob."""

import json
from collections.abc import Mapping
from typing import Any

from intermodal.instance_group import InstanceGroup
from intermodal.names import base_from_name


def estimator_arguments(description: Mapping[str, Any]) -> dict[str, Any]:
    """What an estimator must be given to describe the same job; what is empty is left out."""
    algorithm = description["AlgorithmSpecification"]
    output, resources = description["OutputDataConfig"], description["ResourceConfig"]
    stopping, vpc = description["StoppingCondition"], description.get("VpcConfig", {})
    checkpoints = description.get("CheckpointConfig", {})
    groups = [
        InstanceGroup(group["InstanceGroupName"], group["InstanceType"], group["InstanceCount"])
        for group in resources.get("InstanceGroups") or []
    ]
    arguments = {
        "role": description["RoleArn"],
        "image_uri": algorithm.get("TrainingImage"),
        "input_mode": algorithm.get("TrainingInputMode"),
        "metric_definitions": algorithm.get("MetricDefinitions"),
        "container_entry_point": algorithm.get("ContainerEntrypoint"),
        "container_arguments": algorithm.get("ContainerArguments"),
        "enable_sagemaker_metrics": algorithm.get("EnableSageMakerMetricsTimeSeries"),
        "instance_count": resources.get("InstanceCount"),
        "instance_type": resources.get("InstanceType"),
        "instance_groups": groups,
        "volume_size": resources.get("VolumeSizeInGB"),
        "volume_kms_key": resources.get("VolumeKmsKeyId"),
        "output_path": output["S3OutputPath"],
        "output_kms_key": output.get("KmsKeyId"),
        "max_run": stopping.get("MaxRuntimeInSeconds"),
        "max_wait": stopping.get("MaxWaitTimeInSeconds"),
        "use_spot_instances": description.get("EnableManagedSpotTraining"),
        "subnets": vpc.get("Subnets"),
        "security_group_ids": vpc.get("SecurityGroupIds"),
        "enable_network_isolation": description.get("EnableNetworkIsolation"),
        "encrypt_inter_container_traffic": description.get("EnableInterContainerTrafficEncryption"),
        "checkpoint_s3_uri": checkpoints.get("S3Uri"),
        "checkpoint_local_path": checkpoints.get("LocalPath"),
        "environment": description.get("Environment"),
        "base_job_name": base_from_name(description["TrainingJobName"]),
        **_script(description.get("HyperParameters", {})),
    }
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {})}


def _script(sent: Mapping[str, str]) -> dict[str, Any]:
    """The user's script and its hyperparameters; without a script they stay text."""
    if "sagemaker_program" not in sent:
        return {"hyperparameters": dict(sent)}
    values = {name: _decoded(value) for name, value in sent.items()}
    return {
        "entry_point": values["sagemaker_program"],
        "source_dir": values.get("sagemaker_submit_directory"),
        "container_log_level": values.get("sagemaker_container_log_level"),
        "hyperparameters": {
            name: value for name, value in values.items() if not name.startswith("sagemaker_")
        },
    }


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        # Another client may have sent plain text.
        return value
