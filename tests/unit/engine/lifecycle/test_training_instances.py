"""What is kept of a training job's instances, and for how long."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.clock import FakeClock
from intermodal_engine.lifecycle.attempt import Attempt
from intermodal_engine.lifecycle.checkpoints import CheckpointKeeper
from intermodal_engine.lifecycle.job_specs import JobSpecs, OutputLostError
from intermodal_engine.lifecycle.pipes.feeders import Feeders
from intermodal_engine.lifecycle.staging import ChannelStager
from intermodal_engine.lifecycle.training_instances import KIND, LOG_GROUP, TrainingInstances
from intermodal_engine.lifecycle.training_request import TrainingRequest
from intermodal_engine.settings import Settings
from intermodal_engine.store.database import Database
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.objects import ObjectStore
from intermodal_engine.store.records import Record
from tests.helpers.lifecycle import access, training_request

ATTEMPT = Attempt(0, 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    settings.scratch_folder.mkdir()
    return settings


@pytest.fixture
def objects(settings: Settings) -> ObjectStore:
    objects = ObjectStore(
        settings.objects_folder,
        settings.scratch_folder,
        Database(settings.database_file),
        FakeClock(),
    )
    objects.create_bucket("checkpoints")
    return objects


@pytest.fixture
def instances(settings: Settings, objects: ObjectStore) -> TrainingInstances:
    return TrainingInstances(
        specs=JobSpecs(
            KIND,
            LOG_GROUP,
            settings=settings,
            log_streams=LogStreams(settings.logs_folder),
            access=access,
        ),
        stager=ChannelStager(objects),
        feeders=Feeders(),
        keeper=CheckpointKeeper(objects, settings.artifacts_folder),
        cache=lambda _request, _host: (),
        note=lambda _log, _texts: None,
    )


def request_of(**changes: Any) -> TrainingRequest:
    wanted = training_request(**changes)
    return TrainingRequest(
        Record(KIND, "job-1", "arn", "InProgress", 0.0, 0.0, wanted, {"attempts": []})
    )


@pytest.mark.parametrize("place", [{}, {"LocalPath": "/opt/ml/elsewhere"}])
def test_what_is_remembered_of_checkpoints_goes_with_the_attempt(
    instances: TrainingInstances, objects: ObjectStore, tmp_path: Path, place: dict[str, Any]
) -> None:
    request = request_of(CheckpointConfig={"S3Uri": "s3://checkpoints/job", **place})
    folder = tmp_path / "instances" / KIND / "job-1" / "algo-1"
    folder = folder / "checkpoints" if place else folder / "ml" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "last.pt").write_text("saved")

    def uploaded() -> list[str]:
        """What is put into S3 now."""
        for one in list(objects.iterate("checkpoints")):
            objects.delete("checkpoints", one.key)
        instances.upload_meanwhile(request, ATTEMPT)
        return [one.key for one in objects.iterate("checkpoints")]

    assert uploaded() == ["job/last.pt"]
    assert uploaded() == []
    instances.forget(request)
    assert uploaded() == ["job/last.pt"]


@pytest.mark.parametrize("folder", ["checkpoints", "output/intermediate"])
def test_a_folder_that_became_a_link_is_never_followed(
    instances: TrainingInstances, tmp_path: Path, folder: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("the host's")
    link = tmp_path / "instances" / KIND / "job-1" / "algo-1" / "ml" / folder
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    request = request_of(CheckpointConfig={"S3Uri": "s3://checkpoints/job"})
    with pytest.raises(OutputLostError, match="was replaced by a link"):
        instances.upload_meanwhile(request, ATTEMPT)
