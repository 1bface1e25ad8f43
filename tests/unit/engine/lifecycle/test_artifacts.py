"""What a job leaves behind goes into S3, and nothing of it stays in the engine's scratch folder."""

from collections.abc import Iterator

import pytest

from intermodal_contract.channel import S3Uri
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.lifecycle.artifacts import ArtifactUploader
from intermodal_engine.store.objects.errors import KeyTooLongError
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
