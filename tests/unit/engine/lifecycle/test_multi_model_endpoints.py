"""Models of many models: what is accepted, and what an instance of them gets."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.router.model import ModelSource
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import endpoint_world, make_healthy, member_ids
from tests.helpers.lifecycle import ROLE, World

CONTAINER = {"Image": "img:many", "Mode": "MultiModel", "ModelDataUrl": "s3://models/many/"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return endpoint_world(tmp_path)


def create_model(world: World, **container: Any) -> None:
    world.call(
        "CreateModel",
        ModelName="many",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={**CONTAINER, **container},
    )


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (
            {"Mode": "SingleModel", "MultiModelConfig": {"ModelCacheSetting": "Disabled"}},
            "`MultiModelConfig` needs",
        ),
        ({"ModelDataUrl": None}, "needs `ModelDataUrl`"),
        (
            {
                "ModelDataSource": {
                    "S3DataSource": {
                        "S3Uri": "s3://models/many/",
                        "S3DataType": "S3Prefix",
                        "CompressionType": "None",
                    }
                }
            },
            "`ModelDataSource` with `Mode` `MultiModel`",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    world: World, container: dict[str, Any], words: str
) -> None:
    whole = {name: one for name, one in {**CONTAINER, **container}.items() if one is not None}
    with pytest.raises(ServiceError, match=words):
        world.call("CreateModel", ModelName="many", PrimaryContainer=whole)


def test_an_instance_gets_a_folder_for_models_and_is_told_that_it_serves_many(
    world: World,
) -> None:
    create_model(world, MultiModelConfig={"ModelCacheSetting": "Disabled"})
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "many",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
        "VolumeSizeInGB": 2,
    }
    world.call("CreateEndpointConfig", EndpointConfigName="many", ProductionVariants=[variant])
    world.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="many")
    world.settle()
    make_healthy(world)
    (member,) = member_ids(world)
    (spec,) = world.driver.started
    assert spec.environment["SAGEMAKER_MULTI_MODEL"] == "true"
    assert not spec.mounts
    folder = spec.ml / "models"
    assert folder.is_dir()
    source = world.router.backends[member].models
    assert source == ModelSource("s3://models/many/", str(folder), False, 2 << 30)


def test_a_transform_job_takes_no_model_of_many(world: World) -> None:
    create_model(world)
    with pytest.raises(ServiceError, match="serves many models"):
        world.call(
            "CreateTransformJob",
            TransformJobName="job",
            ModelName="many",
            TransformInput={
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in"}
                }
            },
            TransformOutput={"S3OutputPath": "s3://models/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
