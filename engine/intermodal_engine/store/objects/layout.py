"""Where objects lie below the store's folder, and how a finished file takes its place there.

Two places can hold one key: its plain path, and the path beside it where a folder has the plain one
(see `keys`). Both read as the same key, so moving a file from one to the other changes nothing for
a reader who looks at the plain path first.
"""

import errno
import os
import stat
import threading
from pathlib import Path

from intermodal_engine.store.objects import keys
from intermodal_engine.store.objects.disk import Disk
from intermodal_engine.store.objects.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    KeyTooLongError,
    NoSuchBucketError,
    OutsideStoreError,
)
from intermodal_engine.store.objects.tree import Found, is_real_folder, status_of


class Layout:
    """The folders of all buckets.

    Args:
        root: the store's folder; made where missing.
        disk: the durable steps.
    """

    def __init__(self, root: Path, disk: Disk) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._disk = disk
        # Held for a few system calls, never for an fsync: renames must not meet mkdir and rmdir.
        self._shape = threading.Lock()

    def buckets(self) -> list[str]:
        """Names of all buckets, in order."""
        with os.scandir(self.root) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return sorted(name for name in names if keys.is_bucket_name(name))

    def bucket(self, name: str) -> Path:
        """The bucket's folder.

        Raises:
            NoSuchBucketError: there is none.
        """
        folder = self.root / name
        if not keys.is_bucket_name(name) or not is_real_folder(folder):
            raise NoSuchBucketError(name)
        return folder

    def create_bucket(self, name: str) -> None:
        """Makes the folder, durably.

        Raises:
            BucketExistsError: it is there.
        """
        try:
            (self.root / name).mkdir()
        except FileExistsError as error:
            raise BucketExistsError(name) from error
        self._disk.sync_folder(self.root)

    def delete_bucket(self, name: str) -> None:
        """Removes the folder and the empty folders in it, durably.

        Raises:
            NoSuchBucketError: there is none.
            BucketNotEmptyError: a file is in it, an object or not.
        """
        folder = self.bucket(name)
        with self._shape:
            for place, _, files in os.walk(folder, topdown=False):
                if files:
                    raise BucketNotEmptyError(name, str(Path(place, files[0]).relative_to(folder)))
                try:
                    Path(place).rmdir()
                except OSError as error:
                    raise BucketNotEmptyError(name, place) from error
        self._disk.sync_folder(self.root)

    def find(self, bucket: str, key: str) -> Found | None:
        """The object's file.

        Raises:
            NoSuchBucketError: no such bucket.
        """
        folder = self.bucket(bucket)
        # The plain path first: a file only ever moves from there to the other.
        for path in (keys.path_of(key), keys.beside_path_of(key)):
            file = folder / path
            status = status_of(file, self.root)
            if status is not None and is_real_folder(file.parent):
                return Found(key, file, status)
        return None

    def place(self, bucket: str, key: str, file: Path) -> Path:
        """Renames a finished file to where the key's object lies; durable when it returns.

        Raises:
            NoSuchBucketError: the bucket is gone.
            KeyTooLongError: the file system cannot hold the path.
            OutsideStoreError: a folder of the path is a symbolic link.
        """
        made: list[Path] = []
        try:
            with self._shape:
                target = self._place(self.bucket(bucket), key, file, made)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise KeyTooLongError(f"the file system cannot hold the key `{key}`") from error
            raise
        for changed in {target.parent, *made}:
            self._disk.sync_folder(changed)
        return target

    def remove(self, bucket: str, key: str) -> bool:
        """Removes the key's object, and folders that it leaves empty; durable when it returns.

        Returns:
            Whether there was one.

        Raises:
            NoSuchBucketError: no such bucket.
        """
        folder = self.bucket(bucket)
        removed = False
        with self._shape:
            while (found := self.find(bucket, key)) is not None:
                self._disk.remove(found.path)
                parent, removed = found.path.parent, True
            if removed:
                parent = _prune(parent, folder)
        if removed:
            self._disk.sync_folder(parent)
        return removed

    def _place(self, folder: Path, key: str, file: Path, made: list[Path]) -> Path:
        self._make_folders(folder, key, made)
        plain, beside = folder / keys.path_of(key), folder / keys.beside_path_of(key)
        if plain.is_dir() and not plain.is_symlink():
            self._make_pieces(plain.parent, keys.beside_names_of(_last(key))[:-1], made)
            self._disk.replace(file, beside)
            return beside
        self._disk.replace(file, plain)
        if beside.exists():
            self._disk.remove(beside)
        return plain

    def _make_folders(self, folder: Path, key: str, made: list[Path]) -> None:
        """Makes the folders above the key's file; objects in the way move beside."""
        if is_real_folder((folder / keys.path_of(key)).parent):
            return
        *components, last = key.split("/")
        path = folder
        for position, component in enumerate(components):
            *pieces, name = keys.names_of(component)
            parent = self._make_pieces(path, pieces, made)
            path = parent / name
            if not _make_folder(path, made):
                pieces = keys.beside_names_of(component)[:-1]
                self._make_pieces(parent, pieces, made)
                key_in_the_way = "/".join(components[: position + 1])
                self._disk.replace(path, folder / keys.beside_path_of(key_in_the_way))
                _make_folder(path, made)
        self._make_pieces(path, keys.names_of(last)[:-1], made)

    def _make_pieces(self, path: Path, names: list[str], made: list[Path]) -> Path:
        for name in names:
            path /= name
            if not _make_folder(path, made):
                raise OutsideStoreError(f"`{path}` is a file whose name the store needs")
        return path


def _make_folder(path: Path, made: list[Path]) -> bool:
    """Makes it or finds it there; False where a file is in the way."""
    try:
        path.mkdir()
    except FileExistsError:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise OutsideStoreError(
                f"`{path}` is a symbolic link; objects are stored in real folders only",
                hint="remove the link, or choose another key",
            ) from None
        return stat.S_ISDIR(mode)
    made.append(path.parent)
    return True


def _prune(path: Path, top: Path) -> Path:
    """Removes `path` and what is empty above it, up to `top`; returns the first that stays."""
    while path != top:
        try:
            path.rmdir()
        except OSError:
            return path
        path = path.parent
    return path


def _last(key: str) -> str:
    return key.rpartition("/")[2]
