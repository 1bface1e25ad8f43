"""What `make push` makes of names, and what it says where it cannot push."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.push import Target, own_image, parser, refusal, target_of
from intermodal_contract.catalogue import releases
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import parse_image_uri
from tests.helpers.engine import scrubbed, scrubbed_environment

ROOT = Path(__file__).parents[3]
REGISTRY = "127.0.0.1:5000"


@pytest.fixture
def no_aws() -> Iterator[None]:
    with scrubbed():
        yield


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "containers.push", *arguments],
        cwd=ROOT,
        env={**scrubbed_environment(), "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_an_image_it_is_our_newest_for_framework_purpose_and_device() -> None:
    options = parser().parse_args(
        ["--framework=mxnet", "--purpose=inference", "--device=gpu", "demo"]
    )
    mxnet = [one for one in releases() if one.framework == "mxnet"]
    assert own_image(options) == mxnet[-1].image("inference", "gpu")


def test_an_image_that_was_built_under_a_name_of_its_own_is_found_by_it() -> None:
    options = parser().parse_args(["--tag=mine:1", "--image=", "demo"])
    assert own_image(options) == "mine:1"


@pytest.mark.parametrize("name", [f"{REGISTRY}/demo", "docker.io/somebody/demo", "ghcr.io/a/b"])
def test_any_other_registry_than_ecr_is_dockers_business(name: str) -> None:
    target = target_of(parse_image_uri(name), "1")
    assert target == Target(parse_image_uri(name), "1", login=None)
    assert target.name == f"{name}:1"


@pytest.mark.parametrize(
    ("words", "meaning", "hint"),
    [
        (
            'Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused',
            "no registry answers at 127.0.0.1:5000",
            "docs/guides/registry.md",
        ),
        (
            'Get "https://r/v2/": http: server gave HTTP response to HTTPS client',
            "speaks plain HTTP",
            "insecure-registries",
        ),
        ("dial tcp: lookup r: no such host", "there is no host 127.0.0.1:5000", "spelling"),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "does not trust the certificate",
            "/etc/docker/certs.d/127.0.0.1:5000/ca.crt",
        ),
        ("no basic auth credentials", "wants a login", "docker login 127.0.0.1:5000"),
        ("unauthorized: authentication required", "wants a login", "docker login 127.0.0.1:5000"),
        ("denied: requested access to the resource is denied", "(403)", "docker login"),
        ("unexpected status from PUT request: 403 Forbidden", "(403)", "docker login"),
        (
            "tag invalid: The image tag '1' already exists in the 'd' repository and cannot be "
            "overwritten because the tag is immutable.",
            "does not take a tag twice",
            "another tag",
        ),
    ],
)
def test_a_registry_that_refuses_is_told_with_what_to_do(
    words: str, meaning: str, hint: str
) -> None:
    error = refusal(words, Target(parse_image_uri(f"{REGISTRY}/demo"), "1"))
    assert meaning in error.message
    assert words in error.message
    assert error.hint is not None
    assert hint in error.hint


def test_a_refusal_that_nobody_knows_is_passed_on() -> None:
    error = refusal("the moon is full\n", Target(parse_image_uri("demo"), "1"))
    assert error.message == "`demo:1` cannot be pushed; docker says: the moon is full"


@pytest.mark.usefixtures("no_aws")
def test_ecr_without_a_region_or_without_credentials_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(IntermodalError, match="boto3 knows no region"):
        target_of(parse_image_uri("demo"), "1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(IntermodalError, match="boto3 has no credentials") as caught:
        target_of(parse_image_uri("demo"), "1")
    assert caught.value.hint is not None
    assert 'eval "$(intermodal env)"' in caught.value.hint


@pytest.mark.usefixtures("no_aws")
def test_an_engine_that_does_not_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(IntermodalError, match="ECR cannot be reached"):
        target_of(parse_image_uri("123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo"), "1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no REPOSITORY says where the image goes"),
        (("",), "no REPOSITORY says where the image goes"),
        (("Demo",), "`Demo` is no image name"),
        (("127.0.0.1:5000/a b",), "is no image name"),
        (("demo@sha256:" + "0" * 64,), "has a digest"),
        (("--image", "A:1", "demo"), "`A:1` is no image name"),
        (("--framework=caffe", "demo"), "caffe"),
        (("demo",), "docker does not answer"),
    ],
)
def test_what_cannot_be_pushed_is_told_with_a_hint_and_code_1(
    arguments: tuple[str, ...], words: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "\nhint: " in done.stderr
    assert done.stdout == ""
