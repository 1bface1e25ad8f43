"""Image names: how they split, and which are framework images of the vendor's or of ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from intermodal_contract.errors import IntermodalError

Purpose = Literal["training", "inference"]
Device = Literal["cpu", "gpu"]

PROGRAMS: Mapping[Purpose, str] = {"training": "train", "inference": "serve"}
"""Purpose of an image to the program that is started in it."""

_DEFAULT_ACCOUNT = "763104351884"
_ACCOUNT_OF_REGION: Mapping[str, str] = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "mx-central-1": "637423239942",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
    "us-iso-east-1": "886529160074",
    "us-isob-east-1": "094389454867",
    "us-isof-east-1": "303241398832",
    "us-isof-south-1": "454834333376",
}
_VENDOR_ACCOUNTS = frozenset(_ACCOUNT_OF_REGION.values()) | {_DEFAULT_ACCOUNT}
_SUFFIX_OF_PREFIX: Mapping[str, str] = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
}

_ECR_HOST = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.[a-z0-9.]+")
_PUBLIC_VENDOR = "public.ecr.aws"
_PUBLIC_VENDOR_FOLDER = "deep-learning-containers"
_OUR_FOLDER = "intermodal"
_FRAMEWORK_REPOSITORY = re.compile(r"(pytorch|mxnet|tensorflow)-(training|inference)")
_FRAMEWORK_TAG = re.compile(r"(\d+(?:\.\d+){0,3})-(cpu|gpu)-(py\d{1,3})(?:-.+)?")

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")


class InvalidImageUriError(IntermodalError):
    """An image name that no registry would accept."""


@dataclass(frozen=True, slots=True)
class ImageUri:
    """An image name in parts.

    Attributes:
        registry: host and port, or None: whatever registry docker takes by default.
        repository: path in the registry, for example `intermodal/pytorch-training`.
        tag: None if the name has none; docker then takes `latest`, unless there is a digest.
        digest: for example `sha256:…`, or None.
    """

    registry: str | None
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def full_repository(self) -> str:
        """Registry and repository, as docker names them together."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    def __str__(self) -> str:
        text = self.full_repository
        text += f":{self.tag}" if self.tag else ""
        return text + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class FrameworkImage:
    """What a framework image holds, as its name says.

    Attributes:
        framework: `pytorch`, `mxnet` or `tensorflow`.
        purpose: `training` or `inference`.
        version: the framework's, for example `2.2.0`.
        device: `cpu` or `gpu`.
        python: for example `py311`; `py3` where the vendor's old tags say no more.
    """

    framework: str
    purpose: Purpose
    version: str
    device: Device
    python: str


def parse_image_uri(uri: str) -> ImageUri:
    """Splits an image name as docker does.

    Raises:
        InvalidImageUriError: no registry would accept it.
    """
    rest, _, digest = uri.partition("@")
    host, slash, path = rest.partition("/")
    # Docker's rule: the first part is a registry if it could not be a folder of the default one.
    has_registry = bool(slash) and ("." in host or ":" in host or host == "localhost")
    registry, name = (host, path) if has_registry else (None, rest)
    repository, colon, tag = name.partition(":")
    is_valid = (
        all(_REPOSITORY.fullmatch(part) for part in repository.split("/"))
        and (not colon or _TAG.fullmatch(tag))
        and ("@" not in uri or _DIGEST.fullmatch(digest))
    )
    if not is_valid:
        raise InvalidImageUriError(
            f"`{uri}` is no image name",
            hint="write it as `[registry/]repository[:tag]`, lower case before the tag",
        )
    return ImageUri(registry, repository, tag or None, digest or None)


@dataclass(frozen=True, slots=True)
class EcrRegistry:
    """A registry of ECR, as its host name says.

    Attributes:
        account_id: twelve digits.
        region: for example `eu-west-1`.
    """

    account_id: str
    region: str


def ecr_registry(image: ImageUri) -> EcrRegistry | None:
    """The registry of ECR that an image lies in, or None where it is in another registry."""
    host = _ECR_HOST.fullmatch(image.registry or "")
    return EcrRegistry(host[1], host[2]) if host else None


def framework_image(uri: str | ImageUri) -> FrameworkImage | None:
    """Recognises a framework image by its name, the vendor's or ours.

    An image of the same name in somebody's own registry is not one: it may hold anything.

    Returns:
        What the name says, or None if it is no such image.

    Raises:
        InvalidImageUriError: no registry would accept the name.
    """
    image = parse_image_uri(uri) if isinstance(uri, str) else uri
    folder, _, name = image.repository.rpartition("/")
    repository = _FRAMEWORK_REPOSITORY.fullmatch(name)
    tag = _FRAMEWORK_TAG.fullmatch(image.tag or "")
    if not repository or not tag or not (_is_vendors(image, folder) or _is_ours(folder)):
        return None
    return FrameworkImage(
        framework=repository[1],
        purpose=cast("Purpose", repository[2]),
        version=tag[1],
        device=cast("Device", tag[2]),
        python=tag[3],
    )


def _is_ours(folder: str) -> bool:
    return folder.rpartition("/")[2] == _OUR_FOLDER


def _is_vendors(image: ImageUri, folder: str) -> bool:
    if image.registry == _PUBLIC_VENDOR:
        return folder == _PUBLIC_VENDOR_FOLDER
    registry = ecr_registry(image)
    return registry is not None and registry.account_id in _VENDOR_ACCOUNTS and not folder


def vendor_image_uri(
    framework: str, purpose: Purpose, version: str, device: Device, python: str, region: str
) -> str:
    """The vendor's name of a framework image in a region.

    Args:
        framework: `pytorch`, `mxnet` or `tensorflow`.
        purpose: `training` or `inference`.
        version: the framework's, in full, for example `2.2.0`.
        device: `cpu` or `gpu`.
        python: for example `py310`; empty where the tag says nothing of it.
        region: for example `eu-west-1`; China and the government regions have names of their own.
    """
    tag = f"{version}-{device}-{python}" if python else f"{version}-{device}"
    return f"{vendor_registry(region)}/{framework}-{purpose}:{tag}"


def vendor_registry(region: str, account_id: str | None = None) -> str:
    """The host of a registry of ECR.

    Args:
        region: for example `eu-west-1`.
        account_id: whose; the vendor's own account for deep learning there where `None`.
    """
    account_id = account_id or _ACCOUNT_OF_REGION.get(region, _DEFAULT_ACCOUNT)
    suffix = next(
        (suffix for prefix, suffix in _SUFFIX_OF_PREFIX.items() if region.startswith(prefix)),
        "amazonaws.com",
    )
    return f"{account_id}.dkr.ecr.{region}.{suffix}"
