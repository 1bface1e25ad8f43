"""What goes through a FIFO in one epoch: parts of records, as they are, decompressed or wrapped."""

from __future__ import annotations

import mmap
import os

from intermodal_engine.lifecycle.pipes.program import recordio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    FilePart = list[str | int]
    """`[path, URI, size, mtime in ns, inode]`: one version of one object."""

_STEP_BYTES = 1 << 20
_SEND_BYTES = 1 << 30


class ContentError(Exception):
    """An object is not what it was, or not what the channel says; the message names it."""


class Content:
    """Writes parts into a FIFO.

    Args:
        out: descriptor of the FIFO.
        is_gzip: objects are decompressed.
        is_record_io: each part becomes a RecordIO record.
    """

    def __init__(self, out: int, *, is_gzip: bool, is_record_io: bool) -> None:
        self._out = out
        self._is_gzip = is_gzip
        self._is_record_io = is_record_io

    def send(self, parts: Iterable[str | FilePart]) -> None:
        """Writes the parts of one record.

        Raises:
            ContentError: an object was replaced, or cannot be decompressed or wrapped.
            BrokenPipeError: nobody reads any more.
        """
        for part in parts:
            if isinstance(part, str):
                self._send_bytes(part.encode(), "an attribute of an augmented manifest")
            else:
                self._send_file(part)

    def _send_file(self, part: FilePart) -> None:
        path, uri, *version = part
        try:
            file = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ContentError(f"`{uri}` cannot be read: {error.strerror}") from error
        try:
            _check(file, uri, version)
            if self._is_gzip:
                self._send_decompressed(file, str(uri))
            elif self._is_record_io:
                self._send_wrapped(file, str(uri))
            else:
                self._send_range(file, range(int(version[0])), str(uri))
            _check(file, uri, version)
        finally:
            os.close(file)

    def _send_range(self, file: int, wanted: range, uri: str) -> None:
        """The kernel moves the bytes; none passes through this process."""
        at = wanted.start
        while at < wanted.stop:
            moved = os.sendfile(self._out, file, at, min(_SEND_BYTES, wanted.stop - at))
            if moved == 0:
                raise ContentError(f"`{uri}` became shorter while it was read")
            at += moved

    def _send_wrapped(self, file: int, uri: str) -> None:
        if os.fstat(file).st_size == 0:
            self._send_bytes(b"", f"`{uri}`")
            return
        with mmap.mmap(file, 0, prot=mmap.PROT_READ) as data:
            for piece in recordio.frames(data):
                if isinstance(piece, bytes):
                    self._write(memoryview(piece))
                else:
                    self._send_range(file, piece, uri)

    def _send_decompressed(self, file: int, uri: str) -> None:
        chunks = _decompressed(file, uri)
        if not self._is_record_io:
            for chunk in chunks:
                self._write(memoryview(chunk))
            return
        whole = bytearray()
        for chunk in chunks:
            whole += chunk
            if len(whole) >= recordio.RECORD_LIMIT_BYTES:
                break
        self._send_bytes(whole, f"`{uri}`, decompressed,")

    def _send_bytes(self, data: bytes | bytearray, what: str) -> None:
        view = memoryview(data)
        if not self._is_record_io:
            self._write(view)
            return
        try:
            for piece in recordio.frames(data):
                chosen = piece if isinstance(piece, bytes) else view[piece.start : piece.stop]
                self._write(memoryview(chosen))
        except recordio.RecordTooLargeError as error:
            raise ContentError(f"{what} has {error}") from error

    def _write(self, view: memoryview) -> None:
        sent = 0
        while sent < len(view):
            sent += os.write(self._out, view[sent : sent + _STEP_BYTES])


def _check(file: int, uri: str | int, version: list[str | int]) -> None:
    """Makes sure that the file is the version that the job began with."""
    status = os.fstat(file)
    if [status.st_size, status.st_mtime_ns, status.st_ino] != version:
        raise ContentError(
            f"`{uri}` was replaced after the job had started; a pipe streams the objects that were "
            "there at its start"
        )


def _decompressed(file: int, uri: str) -> Iterator[bytes]:
    import gzip
    import zlib

    with os.fdopen(os.dup(file), "rb") as raw, gzip.GzipFile(fileobj=raw) as unpacked:
        while True:
            try:
                chunk = unpacked.read1(_STEP_BYTES)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ContentError(f"`{uri}` is no whole gzip file: {error}") from error
            if not chunk:
                return
            yield chunk
