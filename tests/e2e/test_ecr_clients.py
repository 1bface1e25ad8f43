"""ECR's unmodified clients, boto3 and the AWS CLI, against an engine with a registry."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.fake_registry import FakeRegistry, fake_registry

pytestmark = pytest.mark.e2e
AWS = Path(sys.executable).with_name("aws")


@pytest.fixture(scope="module")
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as registry:
        yield registry


@pytest.fixture(scope="module")
def engine(registry: FakeRegistry) -> Iterator[RunningEngine]:
    with running_engine("--driver=fake", f"--registry={registry.host}") as engine:
        yield engine


@pytest.fixture(scope="module")
def aws(engine: RunningEngine) -> Callable[..., str]:
    def call(*arguments: str) -> str:
        done = subprocess.run(
            [AWS, "ecr", *arguments],
            env=engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_boto3_makes_a_repository_finds_what_was_pushed_and_removes_both(
    engine: RunningEngine, registry: FakeRegistry
) -> None:
    ecr = engine.client("ecr")
    made = ecr.create_repository(repositoryName="team/demo")["repository"]
    assert made["repositoryUri"] == f"{registry.host}/team/demo"
    digest = registry.push("team/demo", "1", 1000, config=24)
    (detail,) = ecr.describe_images(repositoryName="team/demo")["imageDetails"]
    assert (detail["imageDigest"], detail["imageSizeInBytes"]) == (digest, 1024)
    assert abs(detail["imagePushedAt"] - datetime.now(UTC)) < timedelta(minutes=1)
    pages = ecr.get_paginator("list_images").paginate(repositoryName="team/demo")
    assert [one["imageTag"] for page in pages for one in page["imageIds"]] == ["1"]
    with pytest.raises(ecr.exceptions.RepositoryNotEmptyException):
        ecr.delete_repository(repositoryName="team/demo")
    ecr.delete_repository(repositoryName="team/demo", force=True)
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_images(repositoryName="team/demo")


def test_the_cli_makes_a_repository_and_shows_it(aws: Callable[..., str]) -> None:
    aws("create-repository", "--repository-name", "by-cli", "--tags", "Key=team,Value=blue")
    shown = json.loads(aws("describe-repositories", "--repository-names", "by-cli"))
    (repository,) = shown["repositories"]
    assert repository["repositoryArn"].endswith(":repository/by-cli")
    tags = json.loads(aws("list-tags-for-resource", "--resource-arn", repository["repositoryArn"]))
    assert tags["tags"] == [{"Key": "team", "Value": "blue"}]


def test_the_cli_gets_a_password_for_docker_login(
    aws: Callable[..., str], engine: RunningEngine, registry: FakeRegistry
) -> None:
    assert len(aws("get-login-password").strip()) >= 32
    (data,) = engine.client("ecr").get_authorization_token()["authorizationData"]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert data["proxyEndpoint"] == registry.url
    assert timedelta(hours=11) < data["expiresAt"] - datetime.now(UTC) <= timedelta(hours=12)


def test_a_registry_that_is_down_is_told_once_and_at_once() -> None:
    with fake_registry() as gone:
        pass
    with running_engine("--driver=fake", f"--registry={gone.host}") as engine:
        ecr = engine.client("ecr")
        ecr.create_repository(repositoryName="demo")
        with pytest.raises(ClientError) as caught:
            ecr.list_images(repositoryName="demo")
    assert caught.value.response["Error"]["Code"] == "ServerException"
    assert f"the registry at {gone.host} does not answer" in str(caught.value)
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_without_a_registry_the_answer_says_how_to_have_one() -> None:
    with running_engine("--driver=fake") as engine, pytest.raises(ClientError) as caught:
        engine.client("ecr").create_repository(repositoryName="demo")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "intermodal up --registry HOST:PORT" in str(caught.value)
