"""Endpoints of many models, and of several containers, with the docker driver, through boto3."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.docker_engine import IMAGE, DockerEngine, docker_engine, shown_instances
from tests.helpers.driver_stages import wait_for
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, ROLE, invoke, settled_endpoint, store_model, tar_gz
from tests.helpers.transform import run_transform, transform_request

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def beside(test_image: str) -> Iterator[DockerEngine]:
    with docker_engine() as beside:
        yield beside


@pytest.fixture
def engine(beside: DockerEngine) -> Iterator[RunningEngine]:
    """What ran is gone by the end of a test, with all that belonged to it."""
    yield beside.engine
    wait_for(lambda: beside.left() == [])


@pytest.fixture
def sagemaker(engine: RunningEngine) -> Any:
    return engine.client("sagemaker")


def create_row(engine: RunningEngine, name: str) -> None:
    """A model of two containers with weights of their own."""
    s3 = engine.client("s3")
    containers = [
        {
            "Image": IMAGE,
            "ContainerHostname": host,
            "ModelDataUrl": store_model(s3, f"{name}-{host}", weights=weights),
        }
        for host, weights in (("first", "1.1"), ("second", "2.2"))
    ]
    engine.client("sagemaker").create_model(
        ModelName=name, Containers=containers, ExecutionRoleArn=ROLE
    )


def deploy(sagemaker: Any, name: str) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled_endpoint(sagemaker, name)["EndpointStatus"] == "InService"


def test_a_model_that_comes_later_is_loaded_into_a_container_that_runs(
    beside: DockerEngine, engine: RunningEngine, sagemaker: Any
) -> None:
    container = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": f"s3://{BUCKET}/many/"}
    sagemaker.create_model(ModelName="many", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    deploy(sagemaker, "many")
    runtime = engine.client("sagemaker-runtime")
    before = beside.running()
    for weights in ("1.5", "2.5"):
        archive = tar_gz({"weights.txt": weights})
        engine.client("s3").put_object(Bucket=BUCKET, Key=f"many/{weights}.tar.gz", Body=archive)
        answer = runtime.invoke_endpoint(
            EndpointName="many", TargetModel=f"{weights}.tar.gz", Body=b"x"
        )
        assert answer["Body"].read() == f"x {weights} 0".encode()
    assert beside.running() == before
    sagemaker.delete_endpoint(EndpointName="many")


def test_containers_in_a_row_outlive_the_engine_and_come_and_go_together(
    beside: DockerEngine, engine: RunningEngine, sagemaker: Any
) -> None:
    create_row(engine, "row")
    deploy(sagemaker, "row")
    runtime = engine.client("sagemaker-runtime")
    assert invoke(runtime, "row", "x") == "x 1.1 0 2.2 0"
    before = beside.running()
    assert len(before) == 2
    engine.kill()
    engine.start()
    assert settled_endpoint(sagemaker, "row")["EndpointStatus"] == "InService"
    assert invoke(runtime, "row", "y") == "y 1.1 0 2.2 0"
    assert beside.running() == before
    os.kill(shown_instances(engine, "row")[0]["pid"], signal.SIGKILL)
    wait_for(lambda: len(set(beside.running()) - set(before)) == 2)
    wait_for(lambda: not set(beside.running()) & set(before))
    sagemaker.delete_endpoint(EndpointName="row")


def test_records_go_through_containers_in_a_row(engine: RunningEngine, sagemaker: Any) -> None:
    create_row(engine, "moved")
    engine.client("s3").put_object(Bucket=BUCKET, Key="rows/a.csv", Body=b"x")
    job = run_transform(sagemaker, transform_request("moved", "rows/", ModelName="moved"))
    assert job["TransformJobStatus"] == "Completed", job
    out = engine.client("s3").get_object(Bucket=BUCKET, Key="out/moved/a.csv.out")
    assert out["Body"].read() == b"x 1.1 0 2.2 0\n"
