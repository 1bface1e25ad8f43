"""An endpoint on a fake driver, a clock turned by hand, and health as a test says."""

from pathlib import Path
from typing import Any

from intermodal_contract.artifact import pack
from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.fleet import members_of
from intermodal_engine.router.router import Health
from tests.helpers.lifecycle import ROLE, World, make_world

FOREVER = Outcome(after_s=None)


def endpoint_world(folder: Path) -> World:
    """An engine with a model archive and the configuration `config-1` of two instances."""
    world = make_world(folder / "home")
    model = folder / "model"
    model.mkdir()
    (model / "weights.bin").write_text("w")
    pack(model, folder / "model.tar.gz")
    world.backends.objects.create_bucket("models")
    world.backends.objects.put_bytes(
        "models", "m/model.tar.gz", (folder / "model.tar.gz").read_bytes()
    )
    world.driver.script("*", FOREVER)
    create_config(world, "config-1")
    return world


def create_config(
    world: World,
    name: str,
    *,
    count: int = 2,
    url: str = "s3://models/m/model.tar.gz",
    shadow: dict[str, Any] | None = None,
    capture: dict[str, Any] | None = None,
    **variant: Any,
) -> None:
    """A model and an endpoint configuration of that name, with one variant."""
    world.call(
        "CreateModel",
        ModelName=f"model-of-{name}",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": f"img:{name}", "ModelDataUrl": url, "Environment": {"A": "b"}},
    )
    usual = {
        "VariantName": "AllTraffic",
        "ModelName": f"model-of-{name}",
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.xlarge",
    }
    more: dict[str, Any] = {"ShadowProductionVariants": [{**usual, **shadow}]} if shadow else {}
    if capture:
        more["DataCaptureConfig"] = capture
    world.call(
        "CreateEndpointConfig",
        EndpointConfigName=name,
        ProductionVariants=[{**usual, **variant}],
        **more,
    )


def create_bare_config(world: World, name: str, count: int = 1, **variant: Any) -> None:
    """A configuration whose instances are places for inference components."""
    usual = {
        "VariantName": "AllTraffic",
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.2xlarge",
    }
    world.call(
        "CreateEndpointConfig",
        EndpointConfigName=name,
        ExecutionRoleArn=ROLE,
        ProductionVariants=[{**usual, **variant}],
    )


def create(world: World, config: str = "config-1") -> None:
    """Creates the endpoint `ep`."""
    world.call("CreateEndpoint", EndpointName="ep", EndpointConfigName=config)
    world.settle()


def in_service(world: World) -> None:
    """The endpoint `ep`, with all its instances healthy."""
    create(world)
    make_healthy(world)
    assert describe(world)["EndpointStatus"] == "InService"


def describe(world: World) -> dict[str, Any]:
    """Describes the endpoint `ep`."""
    return world.call("DescribeEndpoint", EndpointName="ep")


def member_ids(world: World) -> list[str]:
    """Its instances, of all deployments."""
    record = world.backends.records.get("endpoint", "ep")
    return [member.member_id for member in members_of(record.state)]


def say(world: World, member: str, health: Health) -> None:
    """Tells the engine how an instance is."""
    world.router.healths[member] = health
    world.backends.endpoints.on_health("ep", member, health)
    world.settle()


def make_healthy(world: World) -> None:
    """Tells the engine that all instances that start are healthy."""
    for member in member_ids(world):
        if world.router.health(member) is Health.STARTING:
            say(world, member, Health.HEALTHY)
