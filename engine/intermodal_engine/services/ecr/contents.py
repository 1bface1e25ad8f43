"""What a repository holds: as the registry says, and as the engine remembers.

A registry tells neither when an image was pushed nor which images have lost their tag to another.
So the engine writes down, in the repository's record, which images it has seen and when first:
that time stands for the push, and an image that was seen once is looked for ever after.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from intermodal_engine.services.call import Call
from intermodal_engine.services.ecr.resources import KIND
from intermodal_engine.store.image_registry import ImageRegistry
from intermodal_engine.store.records import Record


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a repository.

    Attributes:
        digest: of its manifest.
        tags: sorted; empty for an image that has lost its last one.
        seen_at: epoch seconds at which the engine first saw it.
    """

    digest: str
    tags: tuple[str, ...]
    seen_at: float


def images_of(
    call: Call, registry: ImageRegistry, repository: Record, *, also: Iterable[str] = ()
) -> list[Image]:
    """Every image of a repository that the engine can know of, by digest.

    Args:
        call: the call.
        registry: asked.
        repository: the repository's record.
        also: digests to look for besides.

    Raises:
        RegistryError: the registry does not say.
    """
    tags: dict[str, list[str]] = {}
    for tag in registry.tags(repository.name):
        digest = registry.digest(repository.name, tag)
        if digest is not None:  # else it has been deleted this moment
            tags.setdefault(digest, []).append(tag)
    for digest in {*repository.state["seen"], *also} - tags.keys():
        if registry.digest(repository.name, digest) is not None:
            tags[digest] = []
    seen = _remember(call, repository, tags)
    return [Image(digest, tuple(tags[digest]), seen[digest]) for digest in sorted(tags)]


def _remember(call: Call, repository: Record, digests: Iterable[str]) -> dict[str, float]:
    """Writes down which images are there, and returns when each was first seen."""
    now = call.backends.clock.now()
    with call.backends.records.edit(KIND, repository.name) as draft:
        before = draft.state["seen"]
        draft.state["seen"] = {digest: before.get(digest, now) for digest in digests}
        seen: dict[str, float] = draft.state["seen"]
    return seen
