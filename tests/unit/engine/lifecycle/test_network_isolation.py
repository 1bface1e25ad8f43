"""Isolated instances have no way out, and no credentials for what they cannot reach."""

from pathlib import Path

import pytest

from intermodal_engine.drivers.fake import Outcome
from tests.helpers.lifecycle import ROLE, World, make_world, training_request


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    world.driver.script("*", Outcome(after_s=None))
    return world


@pytest.mark.parametrize("is_isolated", [True, False])
def test_only_a_training_job_that_reaches_the_engine_gets_credentials(
    world: World, is_isolated: bool
) -> None:
    request = training_request(EnableNetworkIsolation=is_isolated, Environment={"MY": "own"})
    world.call("CreateTrainingJob", **request)
    world.settle()
    (spec,) = world.driver.started
    assert spec.outbound is not is_isolated
    assert ("AWS_ACCESS_KEY_ID" in spec.environment) is not is_isolated
    assert spec.environment["MY"] == "own"
    assert spec.environment["TRAINING_JOB_NAME"] == "job-1"


@pytest.mark.parametrize("is_isolated", [True, False])
def test_only_an_endpoint_that_reaches_the_engine_gets_credentials(
    world: World, is_isolated: bool
) -> None:
    world.call(
        "CreateModel",
        ModelName="model",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "img:1", "Environment": {"MY": "own"}},
        EnableNetworkIsolation=is_isolated,
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
    }
    world.call("CreateEndpointConfig", EndpointConfigName="one", ProductionVariants=[variant])
    world.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="one")
    world.settle()
    (spec,) = world.driver.started
    assert spec.outbound is not is_isolated
    assert ("AWS_ACCESS_KEY_ID" in spec.environment) is not is_isolated
    assert spec.environment["MY"] == "own"
