"""Images of the vendor's that `image.py` does not name: scikit-learn, XGBoost, Hugging Face.

Which versions there are, and in whose account, is in `catalogue.toml`. Their names are facts for
requests to AWS; no image of ours stands in for them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from intermodal_contract.catalogue import FOLDER, tables
from intermodal_contract.errors import IntermodalError
from intermodal_contract.image import Device, Purpose, parse_image_uri, vendor_registry

OWN_PYTHON = "py3"
"""The only `py_version` of the images in accounts of their own."""

_HUGGING_FACE_REPOSITORY = re.compile(r"huggingface-(pytorch|tensorflow)-(?:training|inference)")
_HUGGING_FACE_TAG = re.compile(r"([\d.]+)-transformers([\d.]+)-(?:cpu|gpu)-(py\d+)(?:-.+)?")


class UnknownVendorImageError(IntermodalError, ValueError):
    """The vendor has no such image; the message lists what there is."""


@dataclass(frozen=True, slots=True)
class HuggingFaceImage:
    """One of the vendor's images of Hugging Face's transformers.

    Attributes:
        transformers: their version.
        framework: `pytorch` or `tensorflow`.
        version: the framework's.
        python: for example `py310`.
        endings: what the tag ends with, by device.
    """

    transformers: str
    framework: str
    version: str
    python: str
    endings: Mapping[Device, str]


def own_account_frameworks() -> tuple[str, ...]:
    """The frameworks whose images lie in accounts of their own."""
    return tuple(_catalogue()["vendor_own"])


def own_account_image_uri(
    framework: str, purpose: Purpose, version: str, device: Device, region: str
) -> str:
    """The name of an image that lies in an account of its own.

    Raises:
        UnknownVendorImageError: there is no such version, not for the device, or not in the region.
    """
    table = _catalogue()["vendor_own"][framework]
    tagged = table["tagged"]
    missing = table.get("training_only", []) if purpose == "inference" else []
    known = [one for one in (*tagged, *table.get("plain", [])) if one not in missing]
    if version not in known:
        raise _unknown(f"there is no {purpose} image of {framework} {version}", known)
    if version in tagged and device != "cpu":
        raise _unknown(f"the images of {framework} {version} are not for {device}", ["cpu"])
    accounts = _catalogue()["vendor_own_accounts"]
    if region not in accounts:
        raise _unknown(f"there are no images of {framework} in region {region}", accounts)
    tag = f"{version}-cpu-{OWN_PYTHON}" if version in tagged else version
    return f"{vendor_registry(region, accounts[region])}/{table['repository']}:{tag}"


def hugging_face_image_uri(
    purpose: Purpose,
    transformers: str,
    framework: str,
    version: str,
    device: Device,
    region: str,
    python: str | None = None,
) -> str:
    """The name of an image of transformers.

    Args:
        purpose: `training` or `inference`.
        transformers: their version, in full or short, as in `4.36`.
        framework: `pytorch` or `tensorflow`.
        version: the framework's, as long as that of transformers.
        device: `cpu` or `gpu`.
        region: for example `eu-west-1`.
        python: for example `py310`; the image's own where `None`.

    Raises:
        UnknownVendorImageError: there is no such image.
    """
    what = f"{purpose} image of transformers {transformers}"
    found = [one for one in _hugging_face(purpose) if _is_short_for(transformers, one.transformers)]
    if not found:
        known = dict.fromkeys(one.transformers for one in _hugging_face(purpose))
        raise _unknown(f"there is no {what}", known)
    fitting = [one for one in found if one.framework == framework]
    fitting = [one for one in fitting if _is_short_for(version, one.version)]
    if not fitting:
        raise _unknown(
            f"there is no {what} on {framework} {version}",
            [f"{one.framework} {one.version}" for one in found],
        )
    image = fitting[-1]
    if device not in image.endings:
        raise _unknown(f"there is no {what} for {device}", image.endings)
    if python not in (None, image.python):
        raise _unknown(f"there is no {what} on {framework} {version} for {python}", [image.python])
    tag = f"{version}-transformers{transformers}-{device}-{image.python}-{image.endings[device]}"
    name = f"huggingface-{framework}-{purpose}:{tag.rstrip('-')}"
    return f"{vendor_registry(region)}/{name}"


def hugging_face_image(uri: str) -> HuggingFaceImage | None:
    """What the name of an image of transformers says, or None if it is no such name."""
    image = parse_image_uri(uri)
    repository = _HUGGING_FACE_REPOSITORY.fullmatch(image.repository)
    tag = _HUGGING_FACE_TAG.fullmatch(image.tag or "")
    if not repository or not tag:
        return None
    return HuggingFaceImage(tag[2], repository[1], tag[1], tag[3], {})


def _unknown(what: str, known: Iterable[str]) -> UnknownVendorImageError:
    return UnknownVendorImageError(f"{what}; known are {', '.join(known)}")


def _is_short_for(asked: str, full: str) -> bool:
    return asked in (full, full.rpartition(".")[0])


@cache
def _catalogue() -> Mapping[str, Any]:
    return tables(FOLDER)


@cache
def _hugging_face(purpose: Purpose) -> tuple[HuggingFaceImage, ...]:
    return tuple(map(_hugging_face_row, _catalogue()["vendor_huggingface"][purpose]))


def _hugging_face_row(row: Mapping[str, str]) -> HuggingFaceImage:
    framework = "pytorch" if "pytorch" in row else "tensorflow"
    devices: tuple[Device, ...] = ("cpu", "gpu")
    endings = {device: row[device] for device in devices if device in row}
    return HuggingFaceImage(row["transformers"], framework, row[framework], row["python"], endings)
