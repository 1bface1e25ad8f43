"""How a pipe's bytes become log lines."""

import os
import select
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.drivers.supervision.log import CHUNK_BYTES, LINE_LIMIT_BYTES, Log


def written(path: Path, *chunks: bytes) -> list[str]:
    """The lines that these chunks become, without their times."""
    log = Log(str(path))
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    for chunk in chunks:
        for start in range(0, len(chunk), CHUNK_BYTES):
            os.write(write_fd, chunk[start : start + CHUNK_BYTES])
            while pending(read_fd):
                log.pump(read_fd)
    os.close(write_fd)
    log.drain(read_fd)
    os.close(read_fd)
    os.close(log.fd)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    stamps, texts = (
        zip(*(line.split(b" ", 1) for line in lines), strict=True) if lines else ((), ())
    )
    assert all(stamp.isdigit() and len(stamp) == 13 for stamp in stamps)
    return [text.decode() for text in texts]


def pending(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ((b"one\ntwo\n",), ["one", "two"]),
        ((b"on", b"e\ntw", b"o\n"), ["one", "two"]),
        ((b"no newline at the end",), ["no newline at the end"]),
        ((b"\n\nempty\n",), ["", "", "empty"]),
        ((b"10%\r20%\r30%\ndone\n",), ["10%\r20%\r30%", "done"]),
        ((b"broken \xff\xfe bytes\nfine\n",), ["broken \ufffd\ufffd bytes", "fine"]),
        (("split ü".encode()[:-1], "ü".encode()[-1:] + b"\n"), ["split ü"]),
        ((), []),
    ],
)
def test_lines_are_stamped_and_kept(
    tmp_path: Path, chunks: tuple[bytes, ...], lines: list[str]
) -> None:
    assert written(tmp_path / "log", *chunks) == lines


def test_a_line_beyond_the_limit_is_split(tmp_path: Path) -> None:
    lines = written(tmp_path / "log", b"x" * (2 * LINE_LIMIT_BYTES + 5) + b"\nnext\n")
    assert [len(line) for line in lines] == [LINE_LIMIT_BYTES, LINE_LIMIT_BYTES, 5, 4]


def test_a_line_of_exactly_the_limit_is_not_split(tmp_path: Path) -> None:
    lines = written(tmp_path / "log", b"x" * LINE_LIMIT_BYTES + b"\nnext\n")
    assert [len(line) for line in lines] == [LINE_LIMIT_BYTES, 4]


def test_a_split_never_cuts_a_character(tmp_path: Path) -> None:
    text = "a" + "€" * LINE_LIMIT_BYTES
    lines = written(tmp_path / "log", text.encode() + b"\n")
    assert "".join(lines) == text
    assert all(len(line.encode()) <= LINE_LIMIT_BYTES for line in lines)


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"))), st.data())
def test_however_the_bytes_arrive_the_lines_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], data: st.DataObject
) -> None:
    content = "".join(line + "\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    edges = [0, *cuts, len(content)]
    chunks = [content[a:b] for a, b in pairwise(edges) if a < b]
    assert written(tmp_path_factory.mktemp("log") / "log", *chunks) == lines
