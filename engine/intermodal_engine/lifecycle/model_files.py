"""Model data on its way from S3 to `/opt/ml/model`."""

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intermodal_contract.artifact import CorruptArchiveError, UnsafeArchiveError, unpack
from intermodal_contract.channel import S3Uri, parse_s3_uri
from intermodal_engine import folders
from intermodal_engine.store.objects import NoSuchBucketError, NoSuchKeyError, ObjectStore


def is_multi_model(container: Mapping[str, Any]) -> bool:
    """Whether a ContainerDefinition is of a container that serves many models."""
    return bool(container.get("Mode") == "MultiModel")


class ModelDataError(Exception):
    """The model data is missing or unusable; the message is the endpoint's FailureReason."""


class ModelStore:
    """Unpacked models, one folder per content, shared by the instances that serve it.

    Args:
        objects: where the archives lie.
        folder: where the unpacked ones go.
    """

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        self._objects = objects
        self._folder = folder

    def fetch(self, container: Mapping[str, Any]) -> Path | None:
        """The folder with a container's model files; None for a container without model data.

        Args:
            container: a ContainerDefinition of CreateModel.

        Raises:
            ModelDataError: naming the object and what is wrong with it.
        """
        if is_multi_model(container):
            return None  # each one is fetched when it is first asked for
        url = container.get("ModelDataUrl")
        if url is not None:
            return self._archive(parse_s3_uri(url))
        source = container.get("ModelDataSource", {}).get("S3DataSource")
        if source is None:
            return None
        uri = parse_s3_uri(source["S3Uri"])
        if source["CompressionType"] == "Gzip":
            return self._archive(uri)
        return self._prefix(uri)

    def _archive(self, uri: S3Uri) -> Path:
        try:
            info, archive = self._objects.open(uri.bucket, uri.key)
        except (NoSuchKeyError, NoSuchBucketError) as error:
            raise ModelDataError(
                f"Could not find model data at s3://{uri.bucket}/{uri.key}. Please make sure that "
                "the object exists and that `ModelDataUrl` names it"
            ) from error
        with archive:
            folder = self._folder / info.etag.strip('"')
            if folder.is_dir():
                return folder
            building = self._building()
            try:
                unpack(archive, building)
            except (CorruptArchiveError, UnsafeArchiveError) as error:
                shutil.rmtree(building, ignore_errors=True)
                raise ModelDataError(
                    f"Failed to extract model data archive s3://{uri.bucket}/{uri.key}: "
                    f"{error.message}. Please ensure that the object located at the URL is a valid "
                    "tar.gz archive"
                ) from error
        return _settle(building, folder)

    def _prefix(self, uri: S3Uri) -> Path:
        building = self._building()
        found = False
        for info in self._objects.iterate(uri.bucket, uri.key):
            relative = info.key[len(uri.key) :].lstrip("/") or info.key.rsplit("/", 1)[-1]
            destination = building / relative
            if info.key.endswith("/") or not destination.resolve().is_relative_to(building):
                continue
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(info.path, destination)
            found = True
        if not found:
            shutil.rmtree(building, ignore_errors=True)
            raise ModelDataError(f"Could not find model data below s3://{uri.bucket}/{uri.key}")
        return _settle(building, self._folder / uuid.uuid4().hex)

    def _building(self) -> Path:
        building = self._folder / f".{uuid.uuid4().hex}"
        building.mkdir(parents=True)
        return building.resolve()


def _settle(building: Path, folder: Path) -> Path:
    """Gives a finished folder its name, durably; of two that finish at once the first stays."""
    folders.sync_below(building)
    try:
        building.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(building, ignore_errors=True)
    return folder
