"""Folders are looked through and removed however deep they are."""

import os
from pathlib import Path

from intermodal_engine import folders
from intermodal_engine.folders import FOLDERS_DEEP, below
from tests.helpers.deep_folders import make_deep


def test_everything_below_is_found_in_order_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "file").touch()
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("b")
    found = [(path.relative_to(tmp_path).as_posix(), is_deep) for path, is_deep in below(tmp_path)]
    assert found == [(name, False) for name in ("a", "b", "b/c", "b/c/file", "link")]
    assert list(below(tmp_path / "absent")) == []


def test_what_is_too_deep_is_said_to_be_and_not_looked_into(tmp_path: Path) -> None:
    make_deep(tmp_path)
    found = list(below(tmp_path))
    assert len(found) == FOLDERS_DEEP
    assert [is_deep for _, is_deep in found] == [False] * (FOLDERS_DEEP - 1) + [True]
    folders.remove(tmp_path / "d")


def test_folders_whose_path_is_too_long_are_too_deep(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_PATH)
    for _ in range(20):
        os.mkdir("n" * 255, dir_fd=here)
        here, above = os.open("n" * 255, os.O_PATH, dir_fd=here), here
        os.close(above)
    os.close(here)
    *others, (longest, is_deep) = below(tmp_path)
    assert is_deep
    assert not any(is_deep for _, is_deep in others)
    assert len(str(longest)) < 4096


def test_a_folder_goes_however_deep_it_is(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    make_deep(tmp_path / "top")
    folders.remove(tmp_path / "top")
    assert not (tmp_path / "top").exists()
    folders.remove(tmp_path / "top")
