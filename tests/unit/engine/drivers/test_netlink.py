"""Netlink's framing."""

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.drivers.network.netlink import (
    ROUTE,
    Netlink,
    attribute,
    attributes,
    nested,
    text,
)

kinds = st.integers(1, 0x3FFF)


@given(st.dictionaries(kinds, st.binary(max_size=50)))
def test_attributes_are_read_as_they_were_written(content: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in content.items())
    assert len(data) % 4 == 0
    assert attributes(data) == content


def test_nested_attributes_are_found_under_their_kind() -> None:
    data = nested(18, text(1, "bridge"))
    assert attributes(attributes(data)[18]) == {1: b"bridge\0"}


def test_an_error_of_the_kernel_is_an_os_error() -> None:
    get_link, no_such_index = 18, 1 << 30
    body = struct.pack("=BxHiII", 0, 0, no_such_index, 0, 0)
    with Netlink(ROUTE) as netlink, pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
        netlink.request(get_link, 0, body)
