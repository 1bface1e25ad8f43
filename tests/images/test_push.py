"""An image goes to a real registry, is known to ECR there, and comes back."""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from intermodal_contract.catalogue import releases
from tests.helpers.docker_registry import PASSWORD, USER, docker_registry
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.tiny_image import tiny_image

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
AWS = Path(sys.executable).with_name("aws")


@pytest.fixture(scope="module")
def docker_client(daemon: object) -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(name="tiny_image")
def tiny_image_of_a_test(docker_client: Any) -> Iterator[str]:
    with tiny_image(docker_client) as name:
        yield name


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry's HOST:PORT."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def engine(registry: str) -> Iterator[RunningEngine]:
    with running_engine("--driver=fake", f"--registry={registry}") as engine:
        yield engine


def push(
    engine: RunningEngine, image: str, repository: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "containers.push", "--image", image, repository],
        cwd=ROOT,
        env={**engine.environment, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def described(engine: RunningEngine, repository: str) -> list[dict[str, Any]]:
    answer = engine.client("ecr").describe_images(repositoryName=repository)
    details: list[dict[str, Any]] = answer["imageDetails"]
    return details


def tags_of(client: Any, image: str) -> list[str]:
    tags: list[str] = client.images.get(image).tags
    return tags


def test_an_image_pushed_to_ecr_is_described_and_comes_back_whole(
    docker_client: Any, engine: RunningEngine, registry: str, tiny_image: str
) -> None:
    done = push(engine, tiny_image, "demo/tiny:1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{registry}/demo/tiny:1\n"
    assert f"created the repository {registry}/demo/tiny" in done.stderr
    assert "1 layers sent, 0 were there" in done.stderr
    (detail,) = described(engine, "demo/tiny")
    assert f"digest {detail['imageDigest']}" in done.stderr
    assert detail["imageTags"] == ["1"]
    assert 100 < detail["imageSizeInBytes"] < 5000
    before = docker_client.images.get(tiny_image).id
    docker_client.images.remove(before, force=True)
    docker_client.images.pull(f"{registry}/demo/tiny", tag="1")
    assert docker_client.images.get(f"{registry}/demo/tiny:1").id == before


def test_a_second_push_makes_and_sends_nothing(engine: RunningEngine, tiny_image: str) -> None:
    assert push(engine, tiny_image, "demo/twice").returncode == 0
    done = push(engine, tiny_image, "demo/twice")
    assert "created" not in done.stderr
    assert "0 layers sent, 1 were there" in done.stderr
    (detail,) = described(engine, "demo/twice")
    assert detail["imageTags"] == [tiny_image.partition(":")[2]]


def test_ecrs_own_name_of_the_engines_account_is_the_engines_registry(
    engine: RunningEngine, registry: str, tiny_image: str
) -> None:
    done = push(engine, tiny_image, f"{ECR}/demo/named:1")
    assert done.stdout == f"{registry}/demo/named:1\n", done.stderr
    assert described(engine, "demo/named")[0]["imageTags"] == ["1"]


def test_a_registry_that_is_not_ecrs_takes_it_too(
    engine: RunningEngine, registry: str, tiny_image: str
) -> None:
    done = push(engine, tiny_image, f"{registry}/plain:1", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert done.stdout == f"{registry}/plain:1\n", done.stderr
    assert "created" not in done.stderr


def test_make_push_does_it(engine: RunningEngine, registry: str, tiny_image: str) -> None:
    done = subprocess.run(
        ["make", "-s", "push", f"IMAGE={tiny_image}", "REPOSITORY=demo/made:1"],
        cwd=ROOT,
        env=engine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The first line may be of setting up .venv.
    assert done.stdout.splitlines()[-1] == f"{registry}/demo/made:1"


@pytest.mark.usefixtures("docker_client")
def test_docker_logs_in_with_the_clis_password(
    engine: RunningEngine, registry: str, tmp_path: Path
) -> None:
    password = subprocess.run(
        [AWS, "ecr", "get-login-password"], env=engine.environment, capture_output=True, check=True
    ).stdout
    done = subprocess.run(
        ["docker", "login", "--username", "AWS", "--password-stdin", registry],
        input=password,
        env={**engine.environment, "DOCKER_CONFIG": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert b"Login Succeeded" in done.stdout, done.stderr


def test_images_and_repositories_are_deleted_in_the_registry(
    engine: RunningEngine, tiny_image: str
) -> None:
    ecr = engine.client("ecr")
    for tag in ("1", "2"):
        assert push(engine, tiny_image, f"demo/gone:{tag}").returncode == 0
    one_tag = ecr.batch_delete_image(repositoryName="demo/gone", imageIds=[{"imageTag": "2"}])
    assert [one["failureCode"] for one in one_tag["failures"]] in ([], ["ImageInaccessible"])
    ecr.delete_repository(repositoryName="demo/gone", force=True)
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_images(repositoryName="demo/gone")
    ecr.create_repository(repositoryName="demo/gone")
    assert described(engine, "demo/gone") == []


def test_a_registry_that_wants_a_login_gets_dockers_own(
    docker_client: Any, engine: RunningEngine, tiny_image: str, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "registry", wants_login=True) as registry:
        refused = push(engine, tiny_image, f"{registry}/demo:1", **logins(tmp_path, {}))
        assert refused.returncode == 1
        assert f"the registry at {registry} wants a login (401)" in refused.stderr
        assert f"hint: docker login {registry}" in refused.stderr
        assert tags_of(docker_client, tiny_image) == [tiny_image]
        known = logins(tmp_path, {registry: f"{USER}:{PASSWORD}"})
        done = push(engine, tiny_image, f"{registry}/demo:1", **known)
        assert done.stdout == f"{registry}/demo:1\n", done.stderr


def logins(folder: Path, by_registry: Mapping[str, str]) -> dict[str, str]:
    """The environment in which docker's clients know these logins."""
    auths = {
        host: {"auth": base64.b64encode(login.encode()).decode()}
        for host, login in by_registry.items()
    }
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    return {"DOCKER_CONFIG": str(folder)}


def test_a_registry_that_is_down_is_told_and_no_name_is_left(
    docker_client: Any, engine: RunningEngine, tiny_image: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = push(engine, tiny_image, f"{address}/demo:1")
    assert done.returncode == 1
    assert f"error: no registry answers at {address}" in done.stderr
    assert "hint: " in done.stderr
    assert tags_of(docker_client, tiny_image) == [tiny_image]


@pytest.mark.usefixtures("docker_client")
def test_an_image_that_there_is_not_is_told(engine: RunningEngine) -> None:
    done = push(engine, "intermodal-test/none:1", "demo/none")
    assert done.returncode == 1
    assert "error: docker has no image `intermodal-test/none:1`" in done.stderr
    assert "Traceback" not in done.stderr
    repositories = engine.client("ecr").describe_repositories()["repositories"]
    assert "demo/none" not in [one["repositoryName"] for one in repositories]


@pytest.mark.usefixtures("docker_client")
def test_an_image_of_ours_that_is_not_built_is_told_with_the_command(engine: RunningEngine) -> None:
    gpu = releases()[0].image("inference", "gpu")
    done = push(engine, gpu, "demo/none")
    assert done.returncode == 1
    framework = releases()[0].framework
    assert f"hint: make build-serve FRAMEWORK={framework} DEVICE=gpu" in done.stderr


def test_an_engine_without_a_registry_is_told_by_name(tiny_image: str) -> None:
    with running_engine("--driver=fake") as engine:
        done = push(engine, tiny_image, "demo/none")
    assert done.returncode == 1
    assert "`intermodal up --registry HOST:PORT`" in done.stderr


def test_a_name_that_ecr_does_not_take_is_told(engine: RunningEngine, tiny_image: str) -> None:
    done = push(engine, tiny_image, "d")
    assert done.returncode == 1
    assert "error: ECR cannot be asked: Parameter validation failed" in done.stderr
