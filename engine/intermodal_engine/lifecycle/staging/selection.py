"""Which objects a channel consists of, in which order, and which of them one host gets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from intermodal_contract.channel import S3Uri
from intermodal_engine.lifecycle.pipes.program.order import epoch_order
from intermodal_engine.lifecycle.staging.errors import download_failed, no_bucket, no_match
from intermodal_engine.lifecycle.staging.inputs import Input
from intermodal_engine.lifecycle.staging.manifests import read_manifest
from intermodal_engine.store.objects import NoSuchBucketError, ObjectInfo, ObjectStore

_FEW = 256
"""So many objects are looked up one by one; more of them, by a walk over all that lie there."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a channel.

    Attributes:
        name: its path below the channel's folder.
        uri: where it lies in S3.
        path: the file that holds it.
        size_bytes: its length.
    """

    name: str
    uri: S3Uri
    path: Path
    size_bytes: int


def select(objects: ObjectStore, one: Input) -> list[Item]:
    """All objects of a channel, whichever host gets them, in their order.

    Raises:
        DataMissingError: there is none, one that a manifest names is missing, or a key leads out
            of the channel.
    """
    channel = one.channel
    if channel.s3_data_type == "ManifestFile":
        prefix, names = read_manifest(objects, channel)
        return _named(objects, one, prefix, names)
    return _prefixed(objects, one)


def share(items: Sequence[T], one: Input, host_index: int, host_count: int) -> list[T]:
    """What one of the hosts that get the channel receives.

    Sharded and shuffled, the hosts' shares change with the seed.
    """
    if not one.is_sharded or host_count == 1:
        return list(items)
    order = epoch_order(len(items), one.shuffle_seed, 0)
    return [items[number] for number in sorted(order[host_index::host_count])]


def find_all(
    objects: ObjectStore, bucket: str, keys: Iterable[str], where: str
) -> Mapping[str, ObjectInfo]:
    """The objects with these keys; those that do not exist are left out.

    Raises:
        DataMissingError: the bucket does not exist.
    """
    wanted = set(keys)
    try:
        if len(wanted) <= _FEW:
            found = {key: objects.find(bucket, key) for key in wanted if key}
            return {key: info for key, info in found.items() if info is not None}
        common = _common_prefix(min(wanted), max(wanted))
        return {info.key: info for info in objects.iterate(bucket, common) if info.key in wanted}
    except NoSuchBucketError as error:
        raise no_bucket(bucket, where) from error


def _prefixed(objects: ObjectStore, one: Input) -> list[Item]:
    uri = one.channel.s3_uri
    where = f"channel `{one.name}`"
    try:
        items = [
            _item(info, _name_below(info.key, uri.key), where)
            for info in objects.iterate(uri.bucket, uri.key)
            if not info.key.endswith("/")  # what consoles make to show a folder
        ]
    except NoSuchBucketError as error:
        raise no_bucket(uri.bucket, where) from error
    if not items:
        raise no_match(uri, where)
    return items


def _named(objects: ObjectStore, one: Input, prefix: S3Uri, names: Sequence[str]) -> list[Item]:
    where = f"named by the manifest {one.channel.s3_uri} of channel `{one.name}`"
    keys = [prefix.key + name for name in names]
    found = find_all(objects, prefix.bucket, keys, where)
    items = []
    for name, key in zip(names, keys, strict=True):
        if key not in found:
            raise no_match(S3Uri(prefix.bucket, key), where)
        items.append(_item(found[key], name, where))
    return items


def _item(info: ObjectInfo, name: str, where: str) -> Item:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    uri = S3Uri(info.bucket, info.key)
    if ".." in parts or "\0" in name or not parts:
        raise download_failed(f"the key `{info.key}` leads out of its channel ({where})")
    return Item("/".join(parts), uri, info.path, info.size_bytes)


def _name_below(key: str, prefix: str) -> str:
    """An object's path in its channel.

    Below a folder it is what follows the folder (`data/train/x.csv` under the prefix `data/train`
    becomes `x.csv`); where the prefix is only the beginning of a name, it is what follows the
    prefix's last `/` (`data/train-2/x.csv` becomes `train-2/x.csv`).
    """
    rest = key[len(prefix) :]
    if rest.startswith("/") or prefix.endswith("/"):
        return rest
    return key[prefix.rfind("/") + 1 :]


def _common_prefix(first: str, last: str) -> str:
    for position, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:position]
    return min(first, last, key=len)
