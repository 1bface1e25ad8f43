"""Images in a repository: listing, describing, deleting.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from intermodal_engine.services.answers import when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.ecr.contents import Image, images_of
from intermodal_engine.services.ecr.resources import (
    connected,
    find_repository,
    invalid,
    page,
    refuse_paging,
)
from intermodal_engine.store.image_registry import DeletionRefusedError, ImageRegistry
from intermodal_engine.store.records import Record
from intermodal_engine.wire.errors import ServiceError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def describe_images(call: Call, parameters: Parameters) -> Parameters:
    """Digest, tags and size of the named images, or of all."""
    repository = find_repository(call, parameters)
    wanted = parameters.get("imageIds")
    if wanted is not None:
        refuse_paging(parameters, "imageIds")
    with connected(call) as registry:
        images = _images(call, registry, repository, wanted or ())
        if wanted is None:
            chosen = [one for one in images if _passes(one, parameters)]
            shown, token = page(chosen, lambda one: one.digest, parameters)
        else:
            named = (_named(call, repository, images, one) for one in wanted)
            # Two tags may name one image.
            shown, token = list(dict.fromkeys(named)), None
        details = [_detail(call, registry, repository, one) for one in shown]
    return {"imageDetails": [one for one in details if one], "nextToken": token}


def list_images(call: Call, parameters: Parameters) -> Parameters:
    """The identifiers of all images: one for each tag, and one for an image without."""
    repository = find_repository(call, parameters)
    with connected(call) as registry:
        images = _images(call, registry, repository, ())
    identifiers = [
        identifier
        for image in images
        if _passes(image, parameters)
        for identifier in _identifiers(image)
    ]
    shown, token = page(identifiers, _sort_key, parameters)
    return {"imageIds": shown, "nextToken": token}


def batch_delete_image(call: Call, parameters: Parameters) -> Parameters:
    """Deletes images by digest; by tag only that tag, and the image with its last one."""
    repository = find_repository(call, parameters)
    deleted: list[Parameters] = []
    failures: list[Parameters] = []
    with connected(call) as registry:
        images = _images(call, registry, repository, parameters["imageIds"])
        for wanted in parameters["imageIds"]:
            try:
                gone = _delete(registry, repository, images, wanted)
                deleted += gone
                images = _without(images, gone)
            except _NotDeletedError as error:
                failures.append({
                    "imageId": wanted, "failureCode": error.code, "failureReason": error.reason
                })  # fmt: skip
    return {"imageIds": deleted, "failures": failures}


OPERATIONS: dict[str, Operation] = {
    "DescribeImages": describe_images,
    "ListImages": list_images,
    "BatchDeleteImage": batch_delete_image,
}


class _NotDeletedError(Exception):
    """Why one of several images was not deleted, in ECR's code and in words."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def _images(
    call: Call, registry: ImageRegistry, repository: Record, wanted: Sequence[Parameters]
) -> list[Image]:
    digests = [one["imageDigest"] for one in wanted if "imageDigest" in one]
    return images_of(call, registry, repository, also=filter(_DIGEST.fullmatch, digests))


def _find(images: Sequence[Image], wanted: Parameters) -> Image | None:
    """The image that an identifier means; where it has both parts, both must fit."""
    digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
    for image in images:
        if digest in (None, image.digest) and (tag is None or tag in image.tags):
            return image
    return None


def _named(call: Call, repository: Record, images: Sequence[Image], wanted: Parameters) -> Image:
    digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
    if digest is None and tag is None:
        raise invalid("imageIds", "an image identifier must have an imageDigest or an imageTag")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise invalid("imageDigest", f"must satisfy regular expression '{_DIGEST.pattern}'")
    image = _find(images, wanted)
    if image is None:
        raise ServiceError(
            "ImageNotFoundException",
            f"The image with imageId {{imageDigest:'{digest or 'null'}', imageTag:'{tag or 'null'}'"
            f"}} does not exist within the repository with name '{repository.name}' in the "
            f"registry with id '{call.account_id}'",
        )
    return image


def _passes(image: Image, parameters: Parameters) -> bool:
    """Whether the request's filter lets it through; every image is active."""
    conditions = parameters.get("filter", {})
    if conditions.get("imageStatus", "ACTIVE") not in ("ACTIVE", "ANY"):
        return False
    status = conditions.get("tagStatus", "ANY")
    return status in ("ANY", "TAGGED" if image.tags else "UNTAGGED")


def _detail(
    call: Call, registry: ImageRegistry, repository: Record, image: Image
) -> Parameters | None:
    manifest = registry.manifest(repository.name, image.digest)
    if manifest is None:  # deleted this moment
        return None
    return {
        "registryId": call.account_id,
        "repositoryName": repository.name,
        "imageDigest": image.digest,
        "imageTags": list(image.tags) or None,
        "imageSizeInBytes": manifest.size_bytes,
        "imagePushedAt": when(image.seen_at),
        "imageManifestMediaType": manifest.media_type,
        "artifactMediaType": manifest.config_type,
    }


def _identifiers(image: Image) -> list[Parameters]:
    tagged = [{"imageDigest": image.digest, "imageTag": tag} for tag in image.tags]
    return tagged or [{"imageDigest": image.digest}]


def _sort_key(identifier: Parameters) -> str:
    return f"{identifier['imageDigest']} {identifier.get('imageTag', '')}"


def _delete(
    registry: ImageRegistry,
    repository: Record,
    images: Sequence[Image],
    wanted: Parameters,
) -> list[Parameters]:
    """Deletes what an identifier means, and returns the identifiers that are no more."""
    if not wanted:
        reason = "Invalid request parameters: both tag and digest cannot be null"
        raise _NotDeletedError("MissingDigestAndTag", reason)
    if "imageDigest" in wanted and not _DIGEST.fullmatch(wanted["imageDigest"]):
        raise _NotDeletedError("InvalidImageDigest", f"Must match '{_DIGEST.pattern}'")
    image = _find(images, wanted)
    if image is None:
        raise _NotDeletedError("ImageNotFound", "Requested image not found")
    tag = wanted.get("imageTag")
    if tag is None or image.tags == (tag,):
        registry.delete(repository.name, image.digest)
        return _identifiers(image)
    try:
        registry.delete(repository.name, tag)
    except DeletionRefusedError as error:
        raise _NotDeletedError("ImageInaccessible", f"{error.message}. {error.hint}") from error
    return [{"imageDigest": image.digest, "imageTag": tag}]


def _without(images: Sequence[Image], gone: Sequence[Parameters]) -> list[Image]:
    """What is left when these identifiers are no more; an image goes with its last one."""
    left = []
    for image in images:
        remaining = [one for one in _identifiers(image) if one not in gone]
        if remaining:
            tags = tuple(one["imageTag"] for one in remaining if "imageTag" in one)
            left.append(replace(image, tags=tags))
    return left
