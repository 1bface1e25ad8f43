"""Files of captures that are not in S3 yet."""

import resource
from pathlib import Path

import pytest

from intermodal_engine.lifecycle.captures.spool import Place, begin, left_over

PLACE = Place("bucket", "key", "endpoint", "variant")


def test_what_there_is_no_room_for_is_not_there_in_part(tmp_path: Path) -> None:
    file = begin(tmp_path, PLACE, 1.0)
    file.append([b"one\n"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.append([b"x" * 9_999 + b"\n"] * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.append([b"two\n"])
    assert file.path.read_bytes() == b"one\ntwo\n"
    assert file.size_bytes == 8


def test_files_are_found_again_with_their_places(tmp_path: Path) -> None:
    begin(tmp_path, PLACE, 1.0).append([b"one\n"])
    begin(tmp_path, PLACE, 1.0)  # nothing was written to it
    (tmp_path / "half.json").write_text('{"buck')
    (found,) = left_over(tmp_path)
    assert found.place == PLACE
    assert found.size_bytes == 4
    found.remove()
    assert list(tmp_path.iterdir()) == []
