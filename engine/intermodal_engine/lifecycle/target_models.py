"""The archives of multi-model endpoints: from S3 into the folder that an instance loads them from.

Which object a target names is decided here, and that it lies below the endpoint's prefix.
"""

import hashlib
import shutil
import unicodedata
import uuid
from pathlib import Path

from intermodal_contract.artifact import ArchiveError, unpack
from intermodal_contract.channel import S3Uri, parse_s3_uri
from intermodal_engine import folders
from intermodal_engine.router.errors import (
    InvalidTargetError,
    ModelChangedError,
    ModelMissingError,
    NoRoomError,
)
from intermodal_engine.router.model import ModelSource
from intermodal_engine.store.objects import ObjectInfo, ObjectStore, ObjectStoreError
from intermodal_engine.store.space import is_disk_full

_UNFINISHED = "."
_FAMILY_DIGITS, _CONTENT_DIGITS = 40, 16


class TargetModels:
    """Archives in S3, unpacked for one instance each. See `ModelFiles`.

    Args:
        objects: where the archives lie.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def find(self, source: ModelSource, target: str) -> str:
        """The name of what is in S3 now. See `ModelFiles`."""
        uri = uri_of(source.prefix, target)
        try:
            info = self._objects.head(uri.bucket, uri.key)
        except ObjectStoreError as error:
            raise _missing(uri) from error
        return _name(target, info)

    def family(self, target: str) -> str:
        """What the names of a target's models begin with. See `ModelFiles`."""
        return _family(target)

    def fetch(self, source: ModelSource, target: str, name: str) -> int:
        """Unpacks an archive, whole or not at all. See `ModelFiles`."""
        uri = uri_of(source.prefix, target)
        try:
            info, archive = self._objects.open(uri.bucket, uri.key)
        except ObjectStoreError as error:
            raise _missing(uri) from error
        building = Path(source.folder) / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            with archive:
                if _name(target, info) != name:
                    raise ModelChangedError(str(uri))
                unpack(archive, building / "model")
            size_bytes = _size_bytes(building)
            building.rename(Path(source.folder) / name)
        except ArchiveError as error:
            raise InvalidTargetError(
                f"Failed to extract model data archive(bucket: {uri.bucket}, key: {uri.key}): "
                f"{error.message}. Please ensure that the object located at the URL is a valid "
                "tar.gz archive."
            ) from error
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise NoRoomError(
                f"the instance has no room on its disk for {uri}: {error.strerror}"
            ) from error
        finally:
            folders.remove(building)
        return size_bytes

    def present(self, source: ModelSource) -> dict[str, int]:
        """What an earlier engine fetched; what it did not finish is removed. See `ModelFiles`."""
        found = {}
        for path in Path(source.folder).iterdir():
            if path.name.startswith(_UNFINISHED):
                folders.remove(path)
            else:
                found[path.name] = _size_bytes(path)
        return found

    def drop(self, source: ModelSource, name: str) -> None:
        """Removes the files of a model. See `ModelFiles`."""
        leaving = Path(source.folder) / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            shutil.move(Path(source.folder) / name, leaving)
        except FileNotFoundError:
            return
        folders.remove(leaving)


def uri_of(prefix: str, target: str) -> S3Uri:
    """The object that a target names: the prefix and the target, with one `/` between them.

    Args:
        prefix: `ModelDataUrl`.
        target: `TargetModel`.

    Raises:
        InvalidTargetError: it may lead out of the prefix, or looks like another name.
    """
    base = parse_s3_uri(prefix)
    ends_open = bool(base.key) and not base.key.endswith("/")
    # What a client lists below a prefix without `/` at its end begins with one.
    relative = target.removeprefix("/") if ends_open else target
    _check(target, relative)
    return S3Uri(base.bucket, f"{base.key}/{relative}" if ends_open else f"{base.key}{relative}")


def _check(target: str, relative: str) -> None:
    if any(unicodedata.category(one).startswith("C") for one in target):
        raise _invalid(target, "it has characters that cannot be seen")
    # What merely looks like `..` or `/` counts as such.
    parts = unicodedata.normalize("NFKC", relative).replace("\\", "/").split("/")
    if not parts[0]:
        raise _invalid(target, "it is absolute")
    if ".." in parts or "." in parts:
        raise _invalid(target, "it leads out of its prefix")
    if not parts[-1]:
        raise _invalid(target, "it is a prefix")


def _invalid(target: str, why: str) -> InvalidTargetError:
    return InvalidTargetError(
        f"Target model {target!r} is not a valid model name: {why}. Give the archive's key "
        "relative to the endpoint's `ModelDataUrl`."
    )


def _missing(uri: S3Uri) -> ModelMissingError:
    return ModelMissingError(
        f"Failed to download model data(bucket: {uri.bucket}, key: {uri.key}). Please ensure that "
        "there is an object located at the URL and that the role passed to CreateModel has "
        "permissions to download the model."
    )


def _family(target: str) -> str:
    return hashlib.sha256(target.encode()).hexdigest()[:_FAMILY_DIGITS]


def _name(target: str, info: ObjectInfo) -> str:
    return f"{_family(target)}-{hashlib.sha256(info.etag.encode()).hexdigest()[:_CONTENT_DIGITS]}"


def _size_bytes(folder: Path) -> int:
    return sum(one.lstat().st_size for one, _ in folders.below(folder) if not one.is_dir())
