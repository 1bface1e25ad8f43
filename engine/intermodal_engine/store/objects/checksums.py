"""The checksums that S3 knows: computed while bytes flow, and joined from those of the parts.

CRC32, SHA-1 and SHA-256 run at the speed of C. CRC32C and CRC64NVME have no place in the standard
library: `google-crc32c` or `awscrt` is used where installed, else a table in Python (10 MB/s).
"""

import base64
import hashlib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Protocol

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"


class Digest(Protocol):
    """Takes bytes, gives a digest."""

    def update(self, data: bytes, /) -> None:
        """Takes the next bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far, big-endian."""


@dataclass(frozen=True, slots=True)
class _Polynomial:
    """A reflected CRC with all bits set at both ends."""

    bits: int
    reversed: int
    c_functions: tuple[tuple[str, str], ...]


_CRC32 = _Polynomial(32, 0xEDB88320, (("zlib", "crc32"),))
_CRC32C = _Polynomial(32, 0x82F63B78, (("google_crc32c", "extend"), ("awscrt.checksums", "crc32c")))
_CRC64NVME = _Polynomial(64, 0x9A6C9329AC4BC9B5, (("awscrt.checksums", "crc64nvme"),))

_POLYNOMIALS = {"CRC32": _CRC32, "CRC32C": _CRC32C, "CRC64NVME": _CRC64NVME}
_HASHES = {"SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512", "MD5": "md5"}

ALGORITHMS = (*_POLYNOMIALS, *_HASHES)
"""Names as in S3's `ChecksumAlgorithm`; a member `Checksum<name>` goes with each."""


def new_digest(algorithm: str) -> Digest:
    """An empty digest of one of `ALGORITHMS`."""
    if algorithm in _HASHES:
        return hashlib.new(_HASHES[algorithm], usedforsecurity=False)
    return _Crc(_POLYNOMIALS[algorithm])


def table_digest(algorithm: str) -> Digest:
    """The same of a CRC, by the table in Python even where a C function is at hand."""
    polynomial = _POLYNOMIALS[algorithm]
    return _Crc(replace(polynomial, c_functions=()))


def encode(digest: bytes) -> str:
    """A digest as S3's headers carry it."""
    return base64.b64encode(digest).decode()


def is_well_formed(algorithm: str, value: str) -> bool:
    """Whether `value` is base64 of a digest of the algorithm's length."""
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return len(digest) == len(new_digest(algorithm).digest())


def default_type(algorithm: str) -> str:
    """How a multipart object's checksum is made where the client does not say."""
    return FULL_OBJECT if algorithm == "CRC64NVME" else COMPOSITE


def supports(algorithm: str, kind: str) -> bool:
    """Whether S3 offers the algorithm as `FULL_OBJECT` or `COMPOSITE` for multipart objects."""
    if kind == FULL_OBJECT:
        return algorithm in _POLYNOMIALS
    return algorithm != "CRC64NVME"


def composite(algorithm: str, parts: Sequence[str]) -> str:
    """The checksum of the parts' checksums, with `-` and their number."""
    digest = new_digest(algorithm)
    for value in parts:
        digest.update(base64.b64decode(value))
    return f"{encode(digest.digest())}-{len(parts)}"


def full_object(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """A CRC of the whole, from the parts' CRCs and sizes in bytes; no byte is read again."""
    polynomial = _POLYNOMIALS[algorithm]
    whole = 0
    for value, size_bytes in parts:
        crc = int.from_bytes(base64.b64decode(value), "big")
        shift = _power(_shift_by_one(polynomial), 8 * size_bytes, polynomial)
        whole = _multiply(whole, shift, polynomial) ^ crc
    return encode(whole.to_bytes(polynomial.bits // 8, "big"))


class _Crc:
    def __init__(self, polynomial: _Polynomial) -> None:
        self._value = 0
        self._size = polynomial.bits // 8
        self._extend = _extend_function(polynomial)

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


@lru_cache
def _extend_function(polynomial: _Polynomial) -> Callable[[bytes, int], int]:
    for module_name, function_name in polynomial.c_functions:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        function: Callable[..., int] = getattr(module, function_name)
        if module_name == "google_crc32c":
            return lambda data, value: function(value, data)
        return function
    table = _table(polynomial)
    mask = (1 << polynomial.bits) - 1
    return partial(_extend_by_table, table, mask)


def _extend_by_table(table: tuple[int, ...], mask: int, data: bytes, value: int) -> int:
    value ^= mask
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ mask


@lru_cache
def _table(polynomial: _Polynomial) -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = (value >> 1) ^ (polynomial.reversed if value & 1 else 0)
        return value

    return tuple(entry(byte) for byte in range(256))


def _shift_by_one(polynomial: _Polynomial) -> int:
    """The polynomial `x`; in the reflected order the highest bit is `1`."""
    return 1 << (polynomial.bits - 2)


def _power(base: int, exponent: int, polynomial: _Polynomial) -> int:
    result = 1 << (polynomial.bits - 1)
    while exponent:
        if exponent & 1:
            result = _multiply(result, base, polynomial)
        base = _multiply(base, base, polynomial)
        exponent >>= 1
    return result


def _multiply(left: int, right: int, polynomial: _Polynomial) -> int:
    product = 0
    for bit in range(polynomial.bits - 1, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = (right >> 1) ^ (polynomial.reversed if right & 1 else 0)
    return product
