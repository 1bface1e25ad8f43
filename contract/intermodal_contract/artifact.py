"""Packing and unpacking of `.tar.gz`: source code, models, output.

An archive comes from anywhere: unpacking writes below one folder only, never through a link, never
a device, and stops at limits before a disk or the memory is full.
"""

import errno
import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

from intermodal_contract.compression import GzipWriter
from intermodal_contract.errors import IntermodalError

DEFAULT_LIMIT_BYTES = 64 * 2**30
DEFAULT_LIMIT_MEMBERS = 500_000

_CHUNK_BYTES = 256 * 1024
# Between two members there are only headers; a hostile one claims to be as long as the memory.
_LIMIT_HEADER_BYTES = 2**20
# Deeper trees than a thousand are a burden to all who walk or remove them, recursively.
_LIMIT_DEPTH = 256
_SHOWN_CHARACTERS = 80


class ArchiveError(IntermodalError):
    """A `.tar.gz` could not be made or read."""


class CorruptArchiveError(ArchiveError):
    """Not a tar archive, or cut short."""


class UnsafeArchiveError(ArchiveError):
    """An archive that would write where it must not, or too much."""


def pack(root: Path, destination: Path | BinaryIO) -> None:
    """Packs everything below a folder, the same bytes for the same content every time.

    Names are sorted, times are zero, owners are dropped, of the permissions only "executable" is
    kept. Links that stay below `root` are kept as links. Sockets and pipes are left out.

    Args:
        root: folder; the names in the archive are relative to it.
        destination: file to write, whole or not at all; or a file open for writing.

    Raises:
        UnsafeArchiveError: a link leads out of `root`, or there is a device.
        ArchiveError: `root` is no folder.
    """
    if not root.is_dir():
        raise ArchiveError(f"`{root}` is no folder")
    _write(dict(_below(root)), destination, root=root)


def pack_files(files: Mapping[str, Path], destination: Path | BinaryIO) -> None:
    """Packs chosen files and folders under names of their own, deterministically as `pack` does.

    Args:
        files: name in the archive -> file or folder; a folder goes in with all below it.
        destination: file to write, whole or not at all; or a file open for writing.

    Raises:
        UnsafeArchiveError: a name or a link leads out of the archive, or there is a device.
        ArchiveError: a file does not exist.
    """
    members: dict[str, Path] = {}
    for name, path in files.items():
        _check_name(name)
        if not path.exists():
            raise ArchiveError(f"`{path}` does not exist")
        members[name] = path = path.resolve()
        if path.is_dir():
            members.update((f"{name}/{below}", file) for below, file in _below(path))
    _write(members, destination, root=None)


def unpack(
    archive: Path | BinaryIO,
    destination: Path,
    *,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    limit_members: int = DEFAULT_LIMIT_MEMBERS,
) -> None:
    """Unpacks a `.tar.gz` (or a plain tar) below a folder.

    Files get the time of now, for tools that cannot take the year 1970. Where it raises, the folder
    holds what came before the fault.

    Args:
        archive: file, or a file open for reading (need not be seekable).
        destination: folder; made if missing.
        limit_bytes: of all files together, unpacked.
        limit_members: of files, folders and links together.

    Raises:
        CorruptArchiveError: it is no tar archive, or cut short.
        UnsafeArchiveError: a member leads out of the folder, is a device, or the limits are passed.
        OSError: the disk is full, or a file cannot be read.
    """
    if isinstance(archive, Path):
        with archive.open("rb") as file:
            unpack(file, destination, limit_bytes=limit_bytes, limit_members=limit_members)
        return
    name = str(getattr(archive, "name", "archive"))
    try:
        _unpack(archive, destination, limit_bytes, limit_members)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorruptArchiveError(
            f"`{name}` is no whole .tar.gz: {error}",
            hint="make it with `tar -czf NAME.tar.gz -C FOLDER .` and check the upload",
        ) from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        shown = Path(str(error.filename)).name[:_SHOWN_CHARACTERS]
        raise UnsafeArchiveError(f"a name in the archive is too long: `…/{shown}…`") from None


def _below(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(root, onerror=_complain):
        folders.sort()
        for name in [*folders, *files]:
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def _complain(error: OSError) -> None:
    raise error


def _write(members: Mapping[str, Path], destination: Path | BinaryIO, root: Path | None) -> None:
    if not isinstance(destination, Path):
        _write_members(members, destination, root)
        return
    with _whole_file(destination) as file:
        _write_members(members, file, root)


@contextmanager
def _whole_file(destination: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is complete."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield cast("BinaryIO", file)
        Path(partial).chmod(0o644)
        Path(partial).replace(destination)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _write_members(members: Mapping[str, Path], file: BinaryIO, root: Path | None) -> None:
    compressed = GzipWriter(file)
    with tarfile.open(
        fileobj=cast("BinaryIO", compressed),
        mode="w",
        format=tarfile.PAX_FORMAT,
    ) as tar:
        for name in sorted(members):
            _write_member(tar, name, members[name], members, root)
    compressed.close()


def _write_member(
    tar: tarfile.TarFile, name: str, path: Path, members: Mapping[str, Path], root: Path | None
) -> None:
    status = path.lstat()
    member = tarfile.TarInfo(name)
    member.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as content:
            member.size = os.fstat(content.fileno()).st_size
            tar.addfile(member, content)
    elif stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    elif stat.S_ISLNK(status.st_mode):
        member.type, member.mode = tarfile.SYMTYPE, 0o777
        member.linkname = _link_target(name, path, _top_of(name, path, members, root))
        tar.addfile(member)
    elif not (stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        raise UnsafeArchiveError(f"`{path}` is a device and cannot be packed")


def _top_of(name: str, path: Path, members: Mapping[str, Path], root: Path | None) -> Path:
    """The folder that a link may not leave."""
    if root is not None:
        return root
    depth = len(PurePosixPath(name).parts)
    above = ("/".join(PurePosixPath(name).parts[:count]) for count in range(1, depth))
    return next((members[top] for top in above if top in members), path.parent)


def _link_target(name: str, path: Path, top: Path) -> str:
    target = os.path.realpath(path)
    real_top = os.path.realpath(top)
    if target != real_top and not target.startswith(real_top + os.sep):
        raise UnsafeArchiveError(
            f"`{name}` is a link that leads out of its folder, to `{path.readlink()}`",
            hint="put the file itself there",
        )
    if path.readlink().is_absolute():
        return os.path.relpath(target, os.path.realpath(path.parent))
    return str(path.readlink())


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Meter:
    """Hands on what it reads, and stops headers that would fill the memory."""

    def __init__(self, source: _Readable) -> None:
        self._source = source
        self._allowance_bytes = _LIMIT_HEADER_BYTES

    def allow(self, size_bytes: int) -> None:
        """What may be read from now on: so many bytes, and the next member's headers."""
        self._allowance_bytes = size_bytes + _LIMIT_HEADER_BYTES

    def read(self, size: int = -1, /) -> bytes:
        if self._allowance_bytes <= 0:
            raise UnsafeArchiveError("the archive has more than 1 MiB between two members")
        data = self._source.read(size)
        self._allowance_bytes -= len(data)
        return data


class _Prefixed:
    """A file that gives back what was read from it to see what it is."""

    def __init__(self, head: bytes, source: BinaryIO) -> None:
        self._head = head
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._source.read(size)
        head = self._head if size < 0 else self._head[:size]
        self._head = self._head[len(head) :]
        return head + (self._source.read() if size < 0 else b"")


def _unpack(archive: BinaryIO, destination: Path, limit_bytes: int, limit_members: int) -> None:
    head = archive.read(2)
    if not head:
        raise CorruptArchiveError("the archive is empty")
    source: _Readable = _Prefixed(head, archive)
    if head == b"\x1f\x8b":
        source = gzip.GzipFile(fileobj=cast("BinaryIO", source), mode="rb")
    meter = _Meter(source)
    destination.mkdir(parents=True, exist_ok=True)
    extraction = _Extraction(destination, limit_bytes)
    # Read as a stream: nothing is trusted that would need a second look.
    with tarfile.open(fileobj=cast("BinaryIO", meter), mode="r|") as tar:
        count = 0
        while (member := tar.next()) is not None:
            count += 1
            if count > limit_members:
                raise UnsafeArchiveError(f"the archive has more than {limit_members} members")
            meter.allow(member.size if member.isreg() else 0)
            extraction.extract(tar, member)
            meter.allow(0)
            # tarfile would keep every header in memory
            tar.members.clear()  # type: ignore[attr-defined]  # public, but typeshed lacks it
    while meter.read(_CHUNK_BYTES):  # to the end, where the checksum is
        pass
    extraction.make_links()


class _Extraction:
    """One archive on its way into one folder."""

    def __init__(self, destination: Path, limit_bytes: int) -> None:
        self._root = destination.resolve()
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._folders = {self._root}
        self._files: set[Path] = set()
        # Links come last, so that no member can be written through one.
        self._links: dict[Path, tuple[str, str]] = {}

    def extract(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._root / _check_name(member.name)
        if path == self._root:
            if not member.isdir():
                raise UnsafeArchiveError(f"`{member.name}` would replace the folder itself")
        elif member.isdir():
            self._make_folder(path, member.name)
        elif member.isreg():
            self._make_file(tar, member, path)
        elif member.issym():
            self._remember_link(member, path)
        elif member.islnk():
            self._make_hard_link(member, path)
        else:
            raise UnsafeArchiveError(f"`{member.name}` is neither file, folder nor link")

    def make_links(self) -> None:
        for path, (name, target) in self._links.items():
            self._make_way(path, name)
            path.symlink_to(target)
        # Each may be innocent alone and lead out together with others, so look where they lead.
        for path, (name, target) in self._links.items():
            real = os.path.realpath(path)
            if real != str(self._root) and not real.startswith(f"{self._root}{os.sep}"):
                for link in self._links:
                    link.unlink(missing_ok=True)
                raise UnsafeArchiveError(f"`{name}` is a link that leads out, to `{target}`")

    def _make_folder(self, path: Path, name: str) -> None:
        missing = []
        while path not in self._folders:
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            try:
                folder.mkdir()
            except FileExistsError:
                if folder.is_symlink() or not folder.is_dir():
                    raise UnsafeArchiveError(
                        f"`{name}` would be written through `{folder}`, which is no folder"
                    ) from None
            self._folders.add(folder)

    def _make_way(self, path: Path, name: str) -> None:
        self._make_folder(path.parent, name)
        if path in self._folders or (path.is_dir() and not path.is_symlink()):
            raise UnsafeArchiveError(f"`{name}` would replace a folder")
        path.unlink(missing_ok=True)

    def _make_file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        if member.size > self._left_bytes:
            raise UnsafeArchiveError(
                f"the archive unpacks to more than {self._limit_bytes} bytes (at `{member.name}`)"
            )
        self._left_bytes -= member.size
        content = tar.extractfile(member)
        if content is None:  # pragma: no cover - a regular member always has content
            raise CorruptArchiveError(f"`{member.name}` has no content")
        self._make_way(path, member.name)
        mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with content, os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
            if file.tell() != member.size:
                raise CorruptArchiveError(f"the archive ends within `{member.name}`")
        self._files.add(path)
        self._links.pop(path, None)

    def _remember_link(self, member: tarfile.TarInfo, path: Path) -> None:
        if not member.linkname or "\0" in member.linkname:
            raise UnsafeArchiveError(f"`{member.name}` is a link to no possible name")
        target = PurePosixPath(member.linkname)
        inside = PurePosixPath(member.name).parent
        landing = os.path.normpath(inside / target)
        if target.is_absolute() or landing == ".." or landing.startswith("../"):
            raise UnsafeArchiveError(
                f"`{member.name}` is a link that leads out, to `{member.linkname}`"
            )
        self._links[path] = (member.name, member.linkname)

    def _make_hard_link(self, member: tarfile.TarInfo, path: Path) -> None:
        source = self._root / _check_name(member.linkname)
        if source not in self._files:
            raise UnsafeArchiveError(
                f"`{member.name}` is a hard link to `{member.linkname}`, "
                "which is no file that the archive brought before"
            )
        if source == path:
            return
        self._make_way(path, member.name)
        os.link(source, path)
        self._files.add(path)


def _check_name(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise UnsafeArchiveError(f"`{name}` would lie outside the folder")
    if len(path.parts) > _LIMIT_DEPTH:
        raise UnsafeArchiveError(
            f"`{name[:_SHOWN_CHARACTERS]}…` lies more than {_LIMIT_DEPTH} folders deep"
        )
    return path
