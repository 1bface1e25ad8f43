"""Writes gzip, and wastes no time on what does not shrink.

Model weights are noise to a compressor: it reads them at some 50 MB/s and saves a few percent. So
each block is tried on a sample and stored as it is where the sample does not shrink. The result is
one ordinary gzip member (RFC 1952) whose deflate blocks come from several compressors one after the
other, each ended on a byte boundary; the same bytes for the same content every time.
"""

import struct
import zlib
from typing import BinaryIO

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown system
_BLOCK_BYTES = 1024 * 1024
_SAMPLE_BYTES = 32 * 1024
_WORTH_IT = 0.9
_STORE, _QUICK = 0, 1


class GzipWriter:
    """A file to write to; `close` completes the gzip and leaves the file below open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block = bytearray()
        self._checksum = 0
        self._size_bytes = 0
        file.write(_HEADER)

    def write(self, data: bytes, /) -> int:
        """Takes more content."""
        self._checksum = zlib.crc32(data, self._checksum)
        self._size_bytes += len(data)
        self._block += data
        while len(self._block) >= _BLOCK_BYTES:
            self._put(bytes(self._block[:_BLOCK_BYTES]))
            del self._block[:_BLOCK_BYTES]
        return len(data)

    def tell(self) -> int:
        """How much content came so far."""
        return self._size_bytes

    def close(self) -> None:
        """Writes what is left, and the end."""
        if self._block:
            self._put(bytes(self._block))
            self._block.clear()
        self._file.write(zlib.compressobj(wbits=-zlib.MAX_WBITS).flush())  # the last, empty block
        self._file.write(struct.pack("<LL", self._checksum, self._size_bytes & 0xFFFFFFFF))

    def _put(self, block: bytes) -> None:
        compressor = zlib.compressobj(_level(block), zlib.DEFLATED, -zlib.MAX_WBITS)
        self._file.write(compressor.compress(block))
        self._file.write(compressor.flush(zlib.Z_SYNC_FLUSH))


def _level(block: bytes) -> int:
    middle = max(0, (len(block) - _SAMPLE_BYTES) // 2)
    sample = block[middle : middle + _SAMPLE_BYTES]
    return _QUICK if len(zlib.compress(sample, _QUICK)) < _WORTH_IT * len(sample) else _STORE
