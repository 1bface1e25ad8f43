"""What the store tells of a bucket, an object, a page of a listing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.store.objects.rows import Details


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket.

    Attributes:
        name: its name.
        created_at: epoch seconds.
        region: where it was said to be; None for a folder that a person made.
    """

    name: str
    created_at: float
    region: str | None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object.

    Attributes:
        bucket: its bucket.
        key: its key.
        path: the plain file that holds it.
        size_bytes: its length.
        etag: without quotes: MD5 of the bytes, or MD5 of the parts' MD5s and `-N`.
        modified_at: epoch seconds.
        details: what a client said of it.
    """

    bucket: str
    key: str
    path: Path
    size_bytes: int
    etag: str
    modified_at: float
    details: Details

    @property
    def content_type(self) -> str:
        """As given, else S3's default."""
        return self.details.content_type or "binary/octet-stream"


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a listing, in the order of keys.

    Attributes:
        objects: the objects of this page.
        common_prefixes: what was rolled up at the delimiter.
        last: the last key or common prefix of the page.
        next_start: where the next page starts; None if there is none.
    """

    objects: Sequence[ObjectInfo]
    common_prefixes: Sequence[str]
    last: str | None = None
    next_start: str | None = None
