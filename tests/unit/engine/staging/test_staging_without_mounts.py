"""Whether inputs are mounted or copied follows what the driver says that it can."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import InstanceSpec
from tests.helpers.lifecycle import make_world, training_request
from tests.helpers.processing import cluster, processing_request, s3_input

LARGE = b"x" * (33 << 20)
"""More than is copied where it can be mounted."""


def started(
    tmp_path: Path, operation: str, request: dict[str, Any], *, can_mount: bool
) -> list[InstanceSpec]:
    """The specs of a job that shares out objects among its hosts."""
    world = make_world(tmp_path / "home", can_mount=can_mount)
    for bucket in ("results", "data"):
        world.backends.objects.create_bucket(bucket)
    for key in ("one", "two"):
        world.backends.objects.put_bytes("data", key, LARGE)
    world.call(operation, **request)
    world.settle()
    return world.driver.started


def is_through_the_bucket(spec: InstanceSpec) -> bool:
    return any(".objects" in mount.target for mount in spec.mounts)


@pytest.mark.parametrize("can_mount", [True, False])
def test_training_channels(tmp_path: Path, can_mount: bool) -> None:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://data/",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    request = training_request(InputDataConfig=[channel])
    request["ResourceConfig"]["InstanceCount"] = 2
    specs = started(tmp_path, "CreateTrainingJob", request, can_mount=can_mount)
    assert [is_through_the_bucket(spec) for spec in specs] == [can_mount] * 2


@pytest.mark.parametrize("can_mount", [True, False])
def test_processing_inputs(tmp_path: Path, can_mount: bool) -> None:
    request = processing_request(
        ProcessingInputs=[
            s3_input("in", "s3://data/", S3DataDistributionType="ShardedByS3Key"),
        ],
        ProcessingResources=cluster(2),
    )
    specs = started(tmp_path, "CreateProcessingJob", request, can_mount=can_mount)
    assert [is_through_the_bucket(spec) for spec in specs] == [can_mount] * 2
