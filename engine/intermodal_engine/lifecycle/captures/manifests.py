"""Data capture of transform jobs: manifests of the objects that went in, and of what came out.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-batch.html
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from intermodal_contract.channel import S3Uri
from intermodal_engine.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Manifest:
    """Objects under one prefix.

    Attributes:
        kind: `input` or `output`.
        prefix: what all their URIs begin with.
        names: how each goes on.
    """

    kind: str
    prefix: str
    names: Sequence[str]


def write(
    objects: ObjectStore, destination: S3Uri, job: str, started_at: float, manifest: Manifest
) -> None:
    """Puts a manifest into the folder of the hour in which its job started.

    Written again, it is the same object: it has the job's name.

    Args:
        objects: S3.
        destination: `DestinationS3Uri`.
        job: the job's name.
        started_at: epoch seconds.
        manifest: what is listed.

    Raises:
        NoSuchBucketError: the destination's bucket is gone.
    """
    hour = time.strftime("%Y/%m/%d/%H", time.gmtime(started_at))
    place = destination.joined(manifest.kind, hour, f"{job}.jsonl")
    listed = [{"prefix": manifest.prefix}, *manifest.names]
    text = json.dumps(listed, ensure_ascii=False) + "\n"
    objects.put_bytes(place.bucket, place.key, text.encode())
