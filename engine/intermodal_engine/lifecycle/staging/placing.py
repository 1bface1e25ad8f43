"""Makes chosen objects appear as one folder: as links into a read-only mount, or as copies.

Never as hard links: a job that opens such a file for writing would change the object.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.lifecycle.staging.errors import download_failed
from intermodal_engine.lifecycle.staging.selection import Item

ML = PurePosixPath("/opt/ml")
_OBJECTS = ML / "input" / ".objects"
"""Where an instance sees the folders of buckets that links lead into."""

_COPY_LIMIT_BYTES = 32 << 20
_COPY_LIMIT_FILES = 1000
_COPY_STEP_BYTES = 1 << 30
_NO_COPY_IN_KERNEL = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def are_quickly_copied(items: Sequence[Item]) -> bool:
    """Whether plain copies cost next to nothing."""
    size_bytes = sum(item.size_bytes for item in items)
    return len(items) <= _COPY_LIMIT_FILES and size_bytes <= _COPY_LIMIT_BYTES


def copy(items: Sequence[Item], target: Path) -> None:
    """Copies objects; on file systems that can, copies share their blocks.

    Raises:
        DataMissingError: two keys want the same place.
    """
    _make_folders(items, target)
    for item in items:
        _copy_file(item.path, target / item.name)


def link(
    items: Sequence[Item], target: Path, inside: PurePosixPath, channel: str
) -> tuple[Mount, ...]:
    """Fills a folder with links that hold in an instance.

    Args:
        items: the objects.
        target: the folder.
        inside: where the instance sees it.
        channel: the channel's name.

    Returns:
        The mount that the links lead into; none without objects.

    Raises:
        DataMissingError: two keys want the same place.
    """
    _make_folders(items, target)
    if not items:
        return ()
    real = [item.path.resolve() if item.path.is_symlink() else item.path for item in items]
    source = os.path.commonpath({path.parent for path in real})
    seen_at = _OBJECTS / channel
    up = os.path.relpath(seen_at, inside)
    for item, path in zip(items, real, strict=True):
        depth = item.name.count("/")
        (target / item.name).symlink_to(f"{'../' * depth}{up}{os.fspath(path)[len(source) :]}")
    return (Mount(Path(source), str(seen_at), MountMode.READ_ONLY),)


def _make_folders(items: Iterable[Item], target: Path) -> None:
    """Makes the folders, and makes sure that each object has a place of its own."""
    owners: dict[str, Item] = {}
    folders: dict[str, Item] = {}
    for item in items:
        other = owners.setdefault(item.name, item)
        if other is not item:
            raise _conflict(other, item)
        parts = item.name.split("/")
        for end in range(1, len(parts)):
            folders.setdefault("/".join(parts[:end]), item)
    target.mkdir(parents=True, exist_ok=True)
    for name, item in folders.items():
        if name in owners:
            raise _conflict(owners[name], item)
        (target / name).mkdir()


def _conflict(one: Item, other: Item) -> Exception:
    return download_failed(
        f"`{one.uri}` and `{other.uri}` cannot both be in one folder: they want the same name"
    )


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("xb") as copied:
        try:
            while os.copy_file_range(file.fileno(), copied.fileno(), _COPY_STEP_BYTES):
                pass
        except OSError as error:
            if error.errno not in _NO_COPY_IN_KERNEL:
                raise
            file.seek(0)
            copied.seek(0)
            shutil.copyfileobj(file, copied)
