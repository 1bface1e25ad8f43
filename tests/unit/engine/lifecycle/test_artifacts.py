"""What a job leaves behind goes into S3, and nothing of it stays in the engine's scratch folder."""

import os
from collections.abc import Iterator

import pytest

from intermodal_contract.channel import S3Uri
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine import folders
from intermodal_engine.lifecycle.artifacts import ArtifactUploader
from intermodal_engine.store.objects.errors import KeyTooLongError
from tests.helpers.deep_folders import make_deep
from tests.helpers.object_store import BUCKET, Shelf, fast_folder


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with fast_folder() as home:
        shelf = Shelf(home)
        shelf.store.create_bucket(BUCKET)
        yield shelf
        shelf.close()


def test_a_file_whose_key_is_too_long_leaves_no_copy_behind(shelf: Shelf) -> None:
    host, scratch = TrainingPaths(shelf.home / "ml"), shelf.home / "tmp" / "artifacts"
    host.model.mkdir(parents=True)
    (host.model / "weights").write_text("1")
    output = S3Uri(BUCKET, "k" * 1020 + "/")
    with pytest.raises(KeyTooLongError):
        ArtifactUploader(shelf.store, scratch).upload_model([host], output, compressed=False)
    assert list(scratch.iterdir()) == []


def test_links_within_the_model_are_followed_and_what_leads_out_is_told(shelf: Shelf) -> None:
    host, scratch = TrainingPaths(shelf.home / "ml"), shelf.home / "tmp" / "artifacts"
    (host.model / "ckpt-5").mkdir(parents=True)
    (host.model / "ckpt-5" / "weights").write_text("5")
    (host.model / "latest").symlink_to("ckpt-5")
    (host.model / "best").symlink_to("ckpt-5/weights")
    (host.model / "circle").symlink_to(".")
    (host.model / "nowhere").symlink_to("absent")
    (host.model / "out").symlink_to("/etc/hosts")
    os.mkfifo(host.model / "pipe")
    uploader = ArtifactUploader(shelf.store, scratch)
    model = uploader.upload_model([host], S3Uri(BUCKET, "o/"), compressed=False)
    kept = {one.key: one.path.read_text() for one in shelf.store.iterate(BUCKET, "o/model/")}
    assert kept == {
        "o/model/best": "5",
        "o/model/ckpt-5/weights": "5",
        "o/model/latest/weights": "5",
    }
    assert model.left_out == ("circle", "nowhere", "out", "pipe")


def test_a_model_folder_that_is_gone_is_told(shelf: Shelf) -> None:
    host, scratch = TrainingPaths(shelf.home / "ml"), shelf.home / "tmp" / "artifacts"
    uploader = ArtifactUploader(shelf.store, scratch)
    model = uploader.upload_model([host], S3Uri(BUCKET, "o/"), compressed=True)
    assert model.left_out == ("model/",)


def test_folders_within_folders_without_end_are_told_and_hold_nobody_up(shelf: Shelf) -> None:
    host, scratch = TrainingPaths(shelf.home / "ml"), shelf.home / "tmp" / "artifacts"
    host.model.mkdir(parents=True)
    (host.model / "weights").write_text("1")
    make_deep(host.model)
    uploader = ArtifactUploader(shelf.store, scratch)
    model = uploader.upload_model([host], S3Uri(BUCKET, "o/"), compressed=True)
    (too_deep,) = model.left_out
    assert too_deep.startswith("d/d/d/")
    folders.remove(host.model)  # pytest would recurse
