"""What a person does to the folders behind the store's back."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from intermodal_engine.store.objects import BucketNotEmptyError, NoSuchKeyError, ObjectStore
from intermodal_engine.store.objects.errors import OutsideStoreError
from tests.helpers.object_store import BUCKET, Shelf, opened_shelf


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with opened_shelf() as shelf:
        yield shelf


def drop(shelf: Shelf, path: str, content: bytes, mtime_s: float = 1_500_000_000.0) -> Path:
    file = shelf.bucket / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (mtime_s, mtime_s))
    return file


def keys(shelf: Shelf) -> list[str]:
    return [info.key for info in shelf.store.iterate(BUCKET)]


def test_a_dropped_in_file_is_an_object_with_an_etag(shelf: Shelf) -> None:
    drop(shelf, "data/100%/a b.csv", b"1,2")
    (info,) = shelf.store.list(BUCKET).objects
    assert info.key == "data/100%/a b.csv"
    assert info.etag == hashlib.md5(b"1,2").hexdigest()
    assert info == shelf.store.head(BUCKET, info.key)
    assert info.content_type == "binary/octet-stream"


def test_an_edited_file_gets_its_etag_anew_and_loses_what_was_said_of_the_old(
    shelf: Shelf,
) -> None:
    shelf.store.put_bytes(BUCKET, "key", b"old", content_type="x/y")
    drop(shelf, "key", b"new")
    info = shelf.store.head(BUCKET, "key")
    assert info.etag == hashlib.md5(b"new").hexdigest()
    assert info.content_type == "binary/octet-stream"


def test_an_etag_is_computed_once(shelf: Shelf) -> None:
    file = drop(shelf, "key", b"abc")
    shelf.store.head(BUCKET, "key")
    with shelf.database.reader() as connection:
        rows = connection.execute("SELECT inode FROM s3_objects WHERE key = 'key'").fetchall()
    assert [row["inode"] for row in rows] == [file.stat().st_ino]


def test_a_folder_that_a_person_makes_is_a_bucket(shelf: Shelf) -> None:
    (shelf.home / "s3" / "handmade").mkdir()
    (shelf.home / "s3" / "Not_A_Bucket").mkdir()
    assert [bucket.name for bucket in shelf.store.buckets()] == [BUCKET, "handmade"]


def test_files_that_no_key_can_name_are_not_listed_but_keep_their_bucket(shelf: Shelf) -> None:
    (shelf.bucket / "%~plain").write_bytes(b"")
    (shelf.bucket / os.fsdecode(b"\xff")).write_bytes(b"")
    os.mkfifo(shelf.bucket / "pipe")
    (shelf.bucket / "empty" / "folder").mkdir(parents=True)
    assert keys(shelf) == []
    assert shelf.store.list(BUCKET, delimiter="/").common_prefixes == []
    with pytest.raises(BucketNotEmptyError):
        shelf.store.delete_bucket(BUCKET)


def test_links_out_of_the_store_are_not_followed(shelf: Shelf) -> None:
    secret = shelf.home / "secret"
    secret.mkdir()
    (secret / "file").write_bytes(b"secret")
    (shelf.bucket / "link").symlink_to(secret / "file")
    (shelf.bucket / "folder").symlink_to(secret)
    (shelf.bucket / "loop").symlink_to("loop")
    assert keys(shelf) == []
    for key in ("link", "folder/file", "loop"):
        with pytest.raises(NoSuchKeyError):
            shelf.store.open(BUCKET, key)
    with pytest.raises(OutsideStoreError):
        shelf.store.put_bytes(BUCKET, "folder/new", b"")
    assert [path.name for path in secret.iterdir()] == ["file"]


def test_writing_where_a_link_is_replaces_the_link(shelf: Shelf) -> None:
    target = shelf.home / "target"
    target.write_bytes(b"theirs")
    (shelf.bucket / "link").symlink_to(target)
    shelf.store.put_bytes(BUCKET, "link", b"ours")
    assert target.read_bytes() == b"theirs"
    assert shelf.store.head(BUCKET, "link").path.read_bytes() == b"ours"


def test_a_link_inside_the_store_is_followed(shelf: Shelf) -> None:
    shelf.store.put_bytes(BUCKET, "real", b"abc")
    (shelf.bucket / "link").symlink_to("real")
    assert shelf.store.head(BUCKET, "link").size_bytes == 3


def test_a_reader_keeps_the_version_that_it_opened(shelf: Shelf) -> None:
    shelf.store.put_bytes(BUCKET, "key", b"first")
    info, file = shelf.store.open(BUCKET, "key")
    shelf.store.put_bytes(BUCKET, "key", b"second")
    with file:
        assert file.read() == b"first"
    assert info.size_bytes == 5


@pytest.mark.parametrize("prefix", ["train/", "train"])
def test_a_folder_that_shows_exactly_the_keys_is_a_view(shelf: Shelf, prefix: str) -> None:
    shelf.store.put_bytes(BUCKET, "train/a/b.csv", b"1")
    shelf.store.put_bytes(BUCKET, "test/c.csv", b"2")
    assert shelf.store.folder_view(BUCKET, prefix) == shelf.bucket / "train"
    assert shelf.store.folder_view(BUCKET, "") == shelf.bucket


@pytest.mark.parametrize("other", ["train2/x", "train-x", "train", "train.csv"])
def test_keys_that_share_the_prefix_rule_a_view_out(shelf: Shelf, other: str) -> None:
    shelf.store.put_bytes(BUCKET, "train/a.csv", b"1")
    shelf.store.put_bytes(BUCKET, other, b"2")
    assert shelf.store.folder_view(BUCKET, "train") is None
    assert shelf.store.folder_view(BUCKET, "train/") == shelf.bucket / "train"


@pytest.mark.parametrize("odd", ["train/", "train//x", "train/a.csv/b", "train/" + "x" * 300])
def test_escaped_names_rule_a_view_out(shelf: Shelf, odd: str) -> None:
    shelf.store.put_bytes(BUCKET, "train/a.csv", b"1")
    shelf.store.put_bytes(BUCKET, odd, b"2")
    assert shelf.store.folder_view(BUCKET, "train/") is None


def test_what_is_no_folder_has_no_view(shelf: Shelf) -> None:
    shelf.store.put_bytes(BUCKET, "file", b"1")
    assert shelf.store.folder_view(BUCKET, "file") is None
    assert shelf.store.folder_view(BUCKET, "nothing/") is None


def test_a_finished_file_is_taken_over_without_copying_it(shelf: Shelf) -> None:
    file = shelf.home / "model.tar.gz"
    file.write_bytes(b"model")
    inode = file.stat().st_ino
    info = shelf.store.put_file(BUCKET, "out/model.tar.gz", file, content_type="application/x-tar")
    assert not file.exists()
    assert info.path.stat().st_ino == inode
    assert info.etag == hashlib.md5(b"model").hexdigest()


def test_a_file_that_has_another_name_is_copied(shelf: Shelf) -> None:
    file, other = shelf.home / "file", shelf.home / "other"
    file.write_bytes(b"shared")
    other.hardlink_to(file)
    info = shelf.store.put_file(BUCKET, "key", file)
    other.write_bytes(b"changed")
    assert info.path.read_bytes() == b"shared"
    kept = shelf.store.put_file(BUCKET, "kept", other, move=False)
    assert kept.path.read_bytes() == other.read_bytes() == b"changed"


def test_buckets_on_a_disk_of_their_own_need_no_scratch_on_it(shelf: Shelf, tmp_path: Path) -> None:
    if tmp_path.stat().st_dev == shelf.home.stat().st_dev:
        pytest.skip("needs two file systems")
    store = ObjectStore(shelf.home / "s3", tmp_path / "scratch", shelf.database, shelf.clock)
    info = store.put_bytes(BUCKET, "key", b"abc")
    store.close()
    assert info.path.read_bytes() == b"abc"
    assert [bucket.name for bucket in store.buckets()] == [BUCKET]
