"""S3's buckets and objects as folders and files. Others use what is named here."""

from intermodal_engine.store.objects.disk import Disk
from intermodal_engine.store.objects.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    NoSuchBucketError,
    NoSuchKeyError,
    ObjectStoreError,
)
from intermodal_engine.store.objects.info import BucketInfo, ObjectInfo, Page
from intermodal_engine.store.objects.rows import Details
from intermodal_engine.store.objects.store import ObjectStore

__all__ = [
    "BucketExistsError",
    "BucketInfo",
    "BucketNotEmptyError",
    "Details",
    "Disk",
    "NoSuchBucketError",
    "NoSuchKeyError",
    "ObjectInfo",
    "ObjectStore",
    "ObjectStoreError",
    "Page",
]
