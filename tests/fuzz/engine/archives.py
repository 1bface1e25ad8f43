"""Archives with members that no tool would make, unpacked as model data and source code are."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from intermodal_contract.artifact import ArchiveError, unpack

Draw = Callable[[SearchStrategy[Any]], Any]

NAMES = (
    "a",
    "a/b",
    "a/b/c",
    "./a",
    "a/",
    "a//b",
    "..",
    "../escape",
    "a/../../escape",
    "a/..",
    "/escape",
    "//escape",
    ".",
    "./",
    "code/../a",
    "link",
    "link/escape",
    "link/../escape",
    "é" * 140,
    "a" * 300,
    "d/" * 130 + "x",
    "a\nb",
    "\u202ea",
    "nul\0nul",
    "C:\\escape",
)
_TYPES = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
    tarfile.CONTTYPE,
    tarfile.GNUTYPE_SPARSE,
    b"Z",
)
LIMIT_BYTES = 1 << 20


@st.composite
def archives(draw: Draw) -> bytes:
    """A tar file, whole, cut short, bent or none at all."""
    buffer = io.BytesIO()
    form = draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for _ in range(draw(st.integers(0, 5))):
            _add(tar, draw)
    content = bytearray(buffer.getvalue())
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 8)))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    data = bytes(content)
    if draw(st.booleans()):
        data = gzip.compress(data, 1)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def unpack_hostile(data: bytes, folder: Path) -> str:
    """Unpack; returns what came of it: `unpacked` or the name of the refusal."""
    try:
        unpack(io.BytesIO(data), folder, limit_bytes=LIMIT_BYTES, limit_members=50)
    except ArchiveError as error:
        return type(error).__name__
    return "unpacked"


def _add(tar: tarfile.TarFile, draw: Draw) -> None:
    member = tarfile.TarInfo(draw(st.sampled_from(NAMES) | st.text(max_size=20)))
    member.type = draw(st.sampled_from(_TYPES))
    member.linkname = draw(st.sampled_from(NAMES))
    member.mode = draw(st.sampled_from((0o644, 0o755, 0o4755, 0, 0o777)))
    content = draw(st.binary(max_size=30))
    # A header can promise more than follows.
    member.size = len(content) if draw(st.integers(0, 9)) else draw(st.sampled_from((0, 1 << 33)))
    if draw(st.integers(0, 5)) == 0:
        member.pax_headers = {
            draw(st.sampled_from(("path", "linkpath", "size", "mtime", "a"))): "x"
        }
    try:
        tar.addfile(member, io.BytesIO(content.ljust(min(member.size, 64), b"\0")[: member.size]))
    except (ValueError, OSError):  # this format cannot say it
        return
