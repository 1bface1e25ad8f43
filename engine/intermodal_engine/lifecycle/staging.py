"""Input channels of a job: which objects an instance gets, and how they come into `/opt/ml`."""

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from intermodal_contract.channel import Channel
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.store.objects import NoSuchBucketError, ObjectInfo, ObjectStore


class DataMissingError(Exception):
    """The channel's data is not there; the message is what the job's owner reads."""


class ChannelStager:
    """Brings channels into instances.

    Args:
        objects: where the data lies.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def check(self, channels: Sequence[Channel]) -> None:
        """Looks whether every channel has data.

        Raises:
            DataMissingError: naming the first that has none.
        """
        for channel in channels:
            self._first(channel)

    def stage(
        self, channel: Channel, paths: TrainingPaths, host_index: int, host_count: int
    ) -> Mount | None:
        """Makes one channel's data appear in one instance.

        A whole folder of the bucket is mounted as a view (nothing is copied); anything else
        is copied below the instance's own `/opt/ml`.

        Returns:
            The mount that the instance needs, or None where the files were copied.

        Raises:
            DataMissingError: nothing is there.
        """
        target = paths.channel(channel.name)
        target.mkdir(parents=True, exist_ok=True)
        sharded = channel.distribution == "ShardedByS3Key" and host_count > 1
        bucket, prefix = channel.s3_uri.bucket, channel.s3_uri.key
        self._first(channel)
        folder = None if sharded else self._objects.folder_view(bucket, prefix)
        if folder is not None:
            inside = PurePosixPath("/opt/ml") / target.relative_to(paths.root)
            return Mount(folder, str(inside), MountMode.VIEW)
        for number, info in enumerate(self._objects.iterate(bucket, prefix)):
            if not sharded or number % host_count == host_index:
                _copy(info, prefix, target)
        return None

    def _first(self, channel: Channel) -> ObjectInfo:
        uri = channel.s3_uri
        try:
            for info in self._objects.iterate(uri.bucket, uri.key):
                return info
        except NoSuchBucketError as error:
            raise DataMissingError(
                f"ClientError: Data download failed:the bucket `{uri.bucket}` of channel "
                f"`{channel.name}` does not exist"
            ) from error
        raise DataMissingError(
            f"ClientError: Data download failed:S3 key: s3://{uri.bucket}/{uri.key} matched no "
            f"files on s3 (channel `{channel.name}`)"
        )


def _copy(info: ObjectInfo, prefix: str, target: Path) -> None:
    """Copies one object to its place in the channel.

    Below a folder the path is what follows the folder (`data/train/x.csv` under the prefix
    `data/train` becomes `x.csv`); where the prefix is only the beginning of a name, it is what
    follows the prefix's last `/` (`data/train-2/x.csv` becomes `train-2/x.csv`).
    """
    rest = info.key[len(prefix) :]
    below = rest.startswith("/") or prefix.endswith("/")
    relative = rest.lstrip("/") if below else info.key[prefix.rfind("/") + 1 :]
    if not relative or info.key.endswith("/"):
        return
    destination = target / relative
    if not destination.resolve().is_relative_to(target.resolve()):
        raise DataMissingError(
            f"ClientError: Data download failed:the key `{info.key}` leads out of its channel"
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(info.path, destination)
