"""Pushes an image to a registry: to ECR, on AWS or the engine's, or to any other.

    python -m containers.push REPOSITORY [--image IMAGE]

REPOSITORY is one of

    HOST[:PORT]/NAME[:TAG]                              any registry, with docker's own logins
    ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME[:TAG]     that registry of ECR
    NAME[:TAG]                                          ECR of whatever boto3 is pointed at

The tag is the image's own unless another is named. In ECR, a repository that is missing is made;
the login to ECR is used for this one push and written nowhere. The name that was pushed goes to
stdout.
"""

import argparse
import base64
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args

import boto3
import docker
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)
from urllib3.exceptions import HTTPError

from containers.images import build_commands
from containers.plan import plan_image
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import ImageUri, Purpose, ecr_registry, parse_image_uri

# Until docker answers once more: a layer that the disk is slow to read may take its time.
DOCKER_TIMEOUT_S = 600

# What docker says when a registry refuses, what that means, and what to do; {host} is put in.
_REFUSALS = (
    (
        r"connection refused|no route to host|i/o timeout|deadline exceeded",
        "no registry answers at {host}",
        "start one there (docs/guides/registry.md says how), or name another",
    ),
    (r"no such host", "there is no host {host}", "look at the spelling of REPOSITORY"),
    (
        r"server gave HTTP response to HTTPS client",
        "the registry at {host} speaks plain HTTP, and docker asks for TLS",
        "reach it as 127.0.0.1:PORT, or add it to `insecure-registries` in docker's daemon.json",
    ),
    (
        r"x509|certificate",
        "docker does not trust the certificate of the registry at {host}",
        "put its authority's certificate into /etc/docker/certs.d/{host}/ca.crt",
    ),
    (
        r"unauthorized|no basic auth|authentication required|\b401\b",
        "the registry at {host} wants a login (401)",
        "docker login {host}",
    ),
    (
        r"denied|forbidden|\b403\b",
        "the registry at {host} lets this login push nothing there (403)",
        "log in as somebody who may, with `docker login {host}`, or name another repository",
    ),
    (
        r"immutable",
        "the repository does not take a tag twice",
        "name another tag: REPOSITORY=NAME:TAG",
    ),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an image goes.

    Attributes:
        uri: its whole name there, without a tag.
        tag: its tag there.
        login: `username` and `password`; None takes what docker has for the registry.
    """

    uri: ImageUri
    tag: str
    login: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """As docker and a job's image have it."""
        return f"{self.uri}:{self.tag}"

    @property
    def host(self) -> str:
        """The registry, in words of errors."""
        return self.uri.registry or "docker.io"


def main(arguments: Sequence[str] | None = None) -> int:
    """Pushes, and says what was pushed; or says why not."""
    options = parser().parse_args(arguments)
    try:
        push(options.repository, options.image or own_image(options))
    except IntermodalError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    options = argparse.ArgumentParser(
        prog="python -m containers.push",
        description="Push an image to a registry, ECR or any other",
    )
    options.add_argument(
        "repository", nargs="?", default="", metavar="REPOSITORY", help="[HOST[:PORT]/]NAME[:TAG]"
    )
    options.add_argument("--image", help="the image here (default: ours of the options below)")
    options.add_argument("--purpose", default="training", choices=get_args(Purpose))
    options.add_argument("--framework", default="pytorch")
    options.add_argument("--framework-version", default="", help="the newest by default")
    options.add_argument("--device", default="cpu")
    options.add_argument("--tag", default="", help="that it was built by: a tag, or a whole name")
    return options


def own_image(options: argparse.Namespace) -> str:
    """The name that building gives to the image of these options.

    Raises:
        IntermodalError: there is no such image.
    """
    plan = plan_image(
        options.purpose,
        options.framework,
        options.device,
        framework_version=options.framework_version or None,
        tag=options.tag or None,
    )
    return plan.name


def push(repository: str, image_name: str) -> None:
    """Pushes a local image.

    Raises:
        IntermodalError: it cannot be pushed; says why and what to do.
    """
    if not repository:
        raise IntermodalError(
            "no REPOSITORY says where the image goes",
            hint="REPOSITORY=HOST:PORT/NAME[:TAG] for any registry, REPOSITORY=NAME[:TAG] for ECR",
        )
    wanted = parse_image_uri(repository)
    if wanted.digest:
        raise IntermodalError(
            f"`{repository}` has a digest, which an image has by what is in it",
            hint="REPOSITORY=NAME:TAG, or without a tag",
        )
    source = parse_image_uri(image_name)
    started_at = time.monotonic()
    with _docker() as client:
        image = _local(client, image_name)
        target = target_of(wanted, wanted.tag or source.tag or "latest")
        sys.stderr.write(f"pushing {image_name} to {target.name} ...\n")
        with _tagged(client, image, target):
            digest, layers = _push(client, target)
    sys.stderr.write(
        f"pushed in {time.monotonic() - started_at:.1f} s: {layers}\n"
        f"digest {digest}, {_megabytes(image.attrs['Size'])} on disk\n"
    )
    sys.stdout.write(f"{target.name}\n")


def target_of(wanted: ImageUri, tag: str) -> Target:
    """Where an image goes, and with which login; ECR is asked for both.

    Args:
        wanted: the name that a person gave.
        tag: the tag there.

    Raises:
        IntermodalError: ECR does not say.
    """
    uri = replace(wanted, tag=None)
    ecr = ecr_registry(wanted)
    if wanted.registry is not None and ecr is None:
        return Target(uri, tag)
    try:
        return _in_ecr(uri, tag, ecr.region if ecr else None, ecr.account_id if ecr else None)
    except (BotoCoreError, ClientError) as error:
        raise _ecr_refusal(error) from error


def refusal(words: str, target: Target) -> IntermodalError:
    """What docker says of a registry that refuses, told so that a person knows what to do."""
    for pattern, meaning, hint in _REFUSALS:
        if re.search(pattern, words, re.IGNORECASE):
            message = f"{meaning.format(host=target.host)}; docker says: {words.strip()}"
            return IntermodalError(message, hint=hint.format(host=target.host))
    return IntermodalError(f"`{target.name}` cannot be pushed; docker says: {words.strip()}")


@contextmanager
def _docker() -> Iterator[Any]:
    try:
        client = docker.from_env(timeout=DOCKER_TIMEOUT_S)
    except docker.errors.DockerException as error:
        raise IntermodalError(
            f"docker does not answer: {error}",
            hint="start it (`dockerd`, or `systemctl start docker`), or let DOCKER_HOST name one",
        ) from error
    try:
        yield client
    except (docker.errors.DockerException, OSError, HTTPError) as error:
        raise IntermodalError(f"docker has broken off: {error}", hint="try again") from error
    finally:
        client.close()


@contextmanager
def _tagged(client: Any, image: Any, target: Target) -> Iterator[None]:
    """Gives the image its name in the registry; takes it back where the push fails."""
    is_new = target.name not in image.tags
    image.tag(str(target.uri), target.tag)
    try:
        yield
    except BaseException:
        if is_new:
            client.images.remove(target.name, noprune=True)
        raise


def _local(client: Any, name: str) -> Any:
    try:
        return client.images.get(name)
    except docker.errors.ImageNotFound as error:
        raise IntermodalError(f"docker has no image `{name}`", hint=_how_to_build(name)) from error


def _how_to_build(name: str) -> str:
    other = "build it, or name another with IMAGE=...; `docker images` shows what there is"
    return build_commands().get(name, other)


def _in_ecr(uri: ImageUri, tag: str, region: str | None, account_id: str | None) -> Target:
    """The target, as ECR itself names it; the repository is made where it is missing.

    The engine's ECR names a registry on this machine.
    """
    ecr = boto3.Session(region_name=region).client("ecr")
    registry = {"registryId": account_id} if account_id else {}
    try:
        found = ecr.describe_repositories(repositoryNames=[uri.repository], **registry)
        name = found["repositories"][0]["repositoryUri"]
    except ecr.exceptions.RepositoryNotFoundException:
        made = ecr.create_repository(repositoryName=uri.repository, **registry)
        name = made["repository"]["repositoryUri"]
        sys.stderr.write(f"created the repository {name}\n")
    data = ecr.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return Target(parse_image_uri(name), tag, {"username": user, "password": password})


def _ecr_refusal(error: Exception) -> IntermodalError:
    if isinstance(error, NoCredentialsError):
        return IntermodalError(
            "boto3 has no credentials for AWS, so ECR cannot be asked for a login",
            hint='`aws configure`, or `eval "$(intermodal env)"` for the engine; for a registry '
            "other than ECR write its host: REPOSITORY=HOST:PORT/NAME",
        )
    if isinstance(error, NoRegionError):
        return IntermodalError(
            "boto3 knows no region, so it is not clear which ECR is meant",
            hint='`export AWS_DEFAULT_REGION=...`, or `eval "$(intermodal env)"` for the engine',
        )
    if isinstance(error, EndpointConnectionError):
        return IntermodalError(
            f"ECR cannot be reached: {error}",
            hint="`intermodal up --detach --registry HOST:PORT`, where the engine is meant",
        )
    if isinstance(error, ClientError):
        detail = error.response["Error"]
        return IntermodalError(f"ECR refuses: {detail['Message']} ({detail['Code']})")
    return IntermodalError(f"ECR cannot be asked: {error}")


def _push(client: Any, target: Target) -> tuple[str, str]:
    """Pushes what is tagged; returns the digest, and in words which layers went."""
    digest, sent, present = "", set(), set()
    try:
        for line in client.images.push(
            str(target.uri), target.tag, auth_config=target.login, stream=True, decode=True
        ):
            if "error" in line:
                raise refusal(line["error"], target)
            digest = line.get("aux", {}).get("Digest", digest)
            if line.get("status") == "Pushed":
                sent.add(line["id"])
            elif str(line.get("status")).startswith(("Layer already exists", "Mounted from")):
                present.add(line["id"])
    except docker.errors.APIError as error:
        raise refusal(str(error), target) from error
    if not digest:
        raise IntermodalError("docker has ended the push without a word", hint="try again")
    return digest, f"{len(sent)} layers sent, {len(present)} were there"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
