import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.store.objects import checksums

CRCS = ["CRC32", "CRC32C", "CRC64NVME"]


def checksum(algorithm: str, data: bytes) -> str:
    digest = checksums.new_digest(algorithm)
    digest.update(data)
    return checksums.encode(digest.digest())


@pytest.mark.parametrize(
    ("algorithm", "check"),
    [("CRC32", "cbf43926"), ("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")],
)
def test_the_catalogue_of_crcs_gives_the_same_for_its_check_string(
    algorithm: str, check: str
) -> None:
    assert base64.b64decode(checksum(algorithm, b"123456789")).hex() == check


@pytest.mark.parametrize("algorithm", CRCS)
@given(parts=st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_the_crc_of_a_whole_follows_from_those_of_its_parts(
    algorithm: str, parts: list[bytes]
) -> None:
    joined = checksums.full_object(
        algorithm, [(checksum(algorithm, part), len(part)) for part in parts]
    )
    assert joined == checksum(algorithm, b"".join(parts))


@given(st.binary())
def test_the_table_in_python_agrees_with_the_c_of_zlib(data: bytes) -> None:
    table = checksums.table_digest("CRC32")
    table.update(data[:7])
    table.update(data[7:])
    assert int.from_bytes(table.digest(), "big") == zlib.crc32(data)


def test_a_composite_checksum_names_the_number_of_parts() -> None:
    parts = [checksum("SHA256", b"one"), checksum("SHA256", b"two")]
    whole = checksum("SHA256", b"".join(base64.b64decode(part) for part in parts))
    assert checksums.composite("SHA256", parts) == f"{whole}-2"


@pytest.mark.parametrize(
    ("value", "is_one"), [("cbQ5Jg==", True), ("cbQ5", False), ("?", False), ("", False)]
)
def test_a_checksum_is_base64_of_the_right_length(value: str, *, is_one: bool) -> None:
    assert checksums.is_well_formed("CRC32", value) is is_one
