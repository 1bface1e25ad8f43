"""Archives of multi-model endpoints: names, and their way to an instance."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from intermodal_contract.artifact import pack
from intermodal_engine.lifecycle.target_models import TargetModels, uri_of
from intermodal_engine.router.errors import (
    InvalidTargetError,
    ModelChangedError,
    ModelMissingError,
)
from intermodal_engine.router.model import ModelSource
from tests.helpers.lifecycle import make_world

if TYPE_CHECKING:
    from intermodal_engine.store.objects import ObjectStore


@pytest.mark.parametrize(
    ("prefix", "target", "uri"),
    [
        ("s3://mine/many/", "a.tar.gz", "s3://mine/many/a.tar.gz"),
        ("s3://mine/many/", "deep/a.tar.gz", "s3://mine/many/deep/a.tar.gz"),
        ("s3://mine/many", "a.tar.gz", "s3://mine/many/a.tar.gz"),
        ("s3://mine/many", "/a.tar.gz", "s3://mine/many/a.tar.gz"),
        ("s3://mine", "a.tar.gz", "s3://mine/a.tar.gz"),
        ("s3://mine/many/", "..a..tar.gz", "s3://mine/many/..a..tar.gz"),
        ("s3://mine/many/", "%2e%2e/a.tar.gz", "s3://mine/many/%2e%2e/a.tar.gz"),
        ("s3://mine/many/", "größe.tar.gz", "s3://mine/many/größe.tar.gz"),
    ],
)
def test_a_target_is_relative_to_the_prefix(prefix: str, target: str, uri: str) -> None:
    assert str(uri_of(prefix, target)) == uri


@pytest.mark.parametrize(
    "target",
    [
        "../a.tar.gz",
        "a/../../b.tar.gz",
        "a/..",
        "a\\..\\b",
        "/a.tar.gz",
        "//a.tar.gz",
        "\uff0e\uff0e/a.tar.gz",  # full-width dots
        "\u2025/a.tar.gz",  # a leader of two dots
        "..\uff0fa.tar.gz",  # a full-width slash
        "a\0b",
        "a\u202egz.rat",  # text that runs backwards
        "a\u200b.tar.gz",  # a space of no width
        "\udc80",
        "./a.tar.gz",
        "deep/",
        "",
    ],
)
def test_a_target_that_may_lead_out_of_its_prefix_or_looks_like_another_is_refused(
    target: str,
) -> None:
    with pytest.raises(InvalidTargetError, match="is not a valid model name"):
        uri_of("s3://mine/many/", target)


def test_a_prefix_without_a_slash_takes_one_at_the_front_and_no_second() -> None:
    with pytest.raises(InvalidTargetError):
        uri_of("s3://mine/many", "//a.tar.gz")


class Shelf:
    """Archives in a bucket, and a folder for an instance's models."""

    def __init__(self, folder: Path) -> None:
        self.objects: ObjectStore = make_world(folder / "home").backends.objects
        self.objects.create_bucket("mine")
        self.models = TargetModels(self.objects)
        self.folder = folder / "models"
        self.folder.mkdir()
        self.source = ModelSource("s3://mine/many/", str(self.folder))
        self._scratch = folder

    def put(self, target: str, text: str) -> None:
        made = self._scratch / "made"
        made.mkdir(exist_ok=True)
        (made / "weights").write_text(text)
        pack(made, self._scratch / "archive")
        content = (self._scratch / "archive").read_bytes()
        self.objects.put_bytes("mine", f"many/{target}", content)

    def fetch(self, target: str) -> str:
        name = self.models.find(self.source, target)
        self.models.fetch(self.source, target, name)
        return name


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_an_archive_is_unpacked_under_a_name_of_its_target_and_content(shelf: Shelf) -> None:
    shelf.put("a.tar.gz", "first")
    name = shelf.fetch("a.tar.gz")
    assert (shelf.folder / name / "model" / "weights").read_text() == "first"
    assert shelf.models.present(shelf.source) == {name: len("first")}
    shelf.put("a.tar.gz", "second")
    other = shelf.models.find(shelf.source, "a.tar.gz")
    assert other != name
    family = shelf.models.family("a.tar.gz")
    assert name.startswith(f"{family}-")
    assert other.startswith(f"{family}-")


def test_an_archive_that_was_replaced_meanwhile_is_not_taken_for_the_one_before(
    shelf: Shelf,
) -> None:
    shelf.put("a.tar.gz", "first")
    name = shelf.models.find(shelf.source, "a.tar.gz")
    shelf.put("a.tar.gz", "second")
    with pytest.raises(ModelChangedError):
        shelf.models.fetch(shelf.source, "a.tar.gz", name)
    assert list(shelf.folder.iterdir()) == []


def test_no_archive_and_no_whole_one_leave_nothing_behind(shelf: Shelf) -> None:
    with pytest.raises(ModelMissingError, match=r"bucket: mine, key: many/none\.tar\.gz"):
        shelf.models.find(shelf.source, "none.tar.gz")
    with pytest.raises(ModelMissingError):
        shelf.models.find(shelf.source, "x" * 2000)
    shelf.objects.put_bytes("mine", "many/bad.tar.gz", b"\x1f\x8bno gzip")
    with pytest.raises(InvalidTargetError, match=r"valid tar\.gz archive"):
        shelf.fetch("bad.tar.gz")
    assert list(shelf.folder.iterdir()) == []


def test_what_an_earlier_engine_did_not_finish_is_removed(shelf: Shelf) -> None:
    shelf.put("a.tar.gz", "first")
    name = shelf.fetch("a.tar.gz")
    (shelf.folder / ".half").mkdir()
    assert list(shelf.models.present(shelf.source)) == [name]
    assert [path.name for path in shelf.folder.iterdir()] == [name]
    shelf.models.drop(shelf.source, name)
    shelf.models.drop(shelf.source, name)
    assert list(shelf.folder.iterdir()) == []
