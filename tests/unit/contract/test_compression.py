"""Gzip as others read it, without time wasted on what does not shrink."""

import gzip
import io
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_contract.compression import GzipWriter


def compressed(*parts: bytes) -> bytes:
    file = io.BytesIO()
    writer = GzipWriter(file)
    for part in parts:
        writer.write(part)
    writer.close()
    return file.getvalue()


@given(st.lists(st.binary(max_size=5000)))
def test_what_is_written_is_what_gzip_reads(parts: list[bytes]) -> None:
    assert gzip.decompress(compressed(*parts)) == b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 5])
def test_blocks_of_noise_and_of_text_follow_each_other_in_one_member(size: int) -> None:
    noise, text = os.urandom(size), (b"the same words again, " * (size // 22 + 1))[:size]
    content = noise + text + noise + text
    packed = compressed(content)
    assert gzip.decompress(packed) == content
    tool = subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True)
    assert (tool.stdout, tool.stderr) == (content, b"")


def test_noise_hardly_grows_and_text_shrinks() -> None:
    noise = os.urandom(4 * 2**20)
    assert len(compressed(noise)) < len(noise) * 1.001
    assert len(compressed(b"the same words again, " * 200_000)) < 200_000


def test_the_same_content_gives_the_same_bytes_however_it_comes() -> None:
    content = os.urandom(2**20) + bytes(2**20) + b"end"
    pieces = [content[start : start + 70_000] for start in range(0, len(content), 70_000)]
    assert compressed(content) == compressed(*pieces)
