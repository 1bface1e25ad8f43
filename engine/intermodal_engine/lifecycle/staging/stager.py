"""Brings each channel into each instance, in the way that copies least."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from intermodal_contract.channel import S3Uri
from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.lifecycle.pipes.plan import FilePart, Part, Pipe, PipeTooLargeError
from intermodal_engine.lifecycle.staging import placing
from intermodal_engine.lifecycle.staging.errors import download_failed, no_bucket, no_match
from intermodal_engine.lifecycle.staging.inputs import FileSystem, Input
from intermodal_engine.lifecycle.staging.manifests import read_augmented_manifest
from intermodal_engine.lifecycle.staging.selection import find_all, select, share
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore


class ChannelStager:
    """Brings channels into instances.

    Args:
        objects: where the data lies.
        file_systems: local folders that stand for EFS and FSx file systems, by their ids.
        can_mount: whether instances see folders of the host; where they do not, each mount costs a
            copy of its whole folder.
    """

    def __init__(
        self,
        objects: ObjectStore,
        file_systems: Mapping[str, Path] | None = None,
        can_mount: Callable[[], bool] = lambda: True,
    ) -> None:
        self._objects = objects
        self._file_systems = file_systems or {}
        self._can_mount = can_mount

    def check(self, inputs: Sequence[Input]) -> None:
        """Looks whether every channel has data, or at least a manifest.

        Raises:
            DataMissingError: naming the first that has none.
        """
        for one in inputs:
            if one.file_system is None:
                self._check(one)
            else:
                self._local_folder(one, one.file_system)

    def stage(
        self, one: Input, paths: TrainingPaths, host_index: int, host_count: int
    ) -> tuple[Mount, ...]:
        """Makes one channel's data appear in one instance.

        A whole folder of the bucket is mounted (nothing is copied); chosen objects become links
        into a mount, or copies where they are small; a pipe gets a plan, for `Feeders` to find.

        Args:
            one: the channel.
            paths: the instance's `/opt/ml`, in the instance's own folder.
            host_index: which of the hosts that get the channel.
            host_count: how many they are.

        Returns:
            The mounts that the instance needs.

        Raises:
            DataMissingError: something is not there.
        """
        if one.channel.input_mode == "Pipe":
            self._lay_pipe(one, paths, host_index, host_count)
            return ()
        folder = paths.channel(one.name)
        inside = PurePosixPath(placing.ML, *folder.relative_to(paths.root).parts)
        if one.channel.input_mode == "FastFile" and self._can_mount():
            folder = paths.root.parent / "channels" / one.name  # seen through a read-only mount
        return tuple(
            mount
            for mount in self.stage_at(one, folder, inside, host_index, host_count)
            if mount.source != paths.channel(one.name)  # there already, being below `/opt/ml`
        )

    def stage_at(
        self, one: Input, folder: Path, inside: PurePosixPath, host_index: int, host_count: int
    ) -> tuple[Mount, ...]:
        """Makes one input's files appear anywhere in an instance, always through mounts.

        Args:
            one: the input, in mode File or FastFile.
            folder: for what is made for this instance: links or copies.
            inside: absolute path in the instance.
            host_index: which of the hosts that get the input.
            host_count: how many they are.

        Returns:
            The mounts that the instance needs; the input's own is the last.

        Raises:
            DataMissingError: something is not there.
        """
        if one.file_system is not None:
            mode = MountMode.READ_WRITE if one.file_system.is_writable else MountMode.READ_ONLY
            return (Mount(self._local_folder(one, one.file_system), str(inside), mode),)
        self._check(one)
        is_fast = one.channel.input_mode == "FastFile"
        is_shared_out = one.is_sharded and host_count > 1
        if one.channel.s3_data_type == "S3Prefix" and not is_shared_out:
            whole = self._objects.folder_view(*_place(one))
            if whole is not None:
                mode = MountMode.READ_ONLY if is_fast else MountMode.VIEW
                return (Mount(whole, str(inside), mode),)
        items = share(select(self._objects, one), one, host_index, host_count)
        mode = MountMode.READ_ONLY if is_fast else MountMode.READ_WRITE
        shown = Mount(folder, str(inside), mode)
        if self._can_mount() and (is_fast or not placing.are_quickly_copied(items)):
            return (*placing.link(items, folder, inside, one.name), shown)
        placing.copy(items, folder)
        return (shown,)

    def _check(self, one: Input) -> None:
        bucket, key = _place(one)
        where = f"channel `{one.name}`"
        try:
            if one.channel.s3_data_type == "S3Prefix":
                is_there = bool(self._objects.list(bucket, key, limit=1).objects)
            else:
                is_there = self._objects.find(bucket, key) is not None
        except NoSuchBucketError as error:
            raise no_bucket(bucket, where) from error
        if not is_there:
            raise no_match(one.channel.s3_uri, where)

    def _local_folder(self, one: Input, system: FileSystem) -> Path:
        root = self._file_systems.get(system.file_system_id)
        if root is None:
            raise download_failed(
                f"no local folder stands for the file system `{system.file_system_id}` of channel "
                f"`{one.name}`. Start the engine with "
                f"`--file-system {system.file_system_id}=/local/path`"
            )
        folder = (root / system.directory.lstrip("/")).resolve()
        if not folder.is_dir() or not folder.is_relative_to(root.resolve()):
            raise download_failed(
                f"the directory `{system.directory}` of channel `{one.name}` does not exist on "
                f"the file system `{system.file_system_id}` (`{root}`)"
            )
        return folder

    def _lay_pipe(self, one: Input, paths: TrainingPaths, host_index: int, host_count: int) -> None:
        records: Sequence[Sequence[Part]]
        if one.channel.s3_data_type == "AugmentedManifestFile":
            records = self._augmented(one)
        else:
            items = select(self._objects, one)
            records = [[FilePart(item.path, str(item.uri))] for item in items]
        if not one.is_sharded:
            host_index, host_count = 0, 1
        pipe = Pipe(
            channel=one.name,
            data_folder=paths.input_data,
            is_gzip=one.channel.compression == "Gzip",
            is_record_io=one.channel.record_wrapper == "RecordIO",
            shuffle_seed=one.shuffle_seed,
            host_index=host_index,
            host_count=host_count,
        )
        try:
            pipe.write(paths.root.parent, records)
        except FileNotFoundError as error:
            raise download_failed(
                f"`{error.filename}` was removed while channel `{one.name}` was prepared"
            ) from error
        except PipeTooLargeError as error:
            raise download_failed(f"{error} (channel `{one.name}`)") from error

    def _augmented(self, one: Input) -> list[list[Part]]:
        lines = list(read_augmented_manifest(self._objects, one))
        where = f"named by the manifest {one.channel.s3_uri} of channel `{one.name}`"
        keys: dict[str, set[str]] = {}
        for line in lines:
            for value in line:
                if isinstance(value, S3Uri):
                    keys.setdefault(value.bucket, set()).add(value.key)
        found = {
            bucket: find_all(self._objects, bucket, wanted, where)
            for bucket, wanted in keys.items()
        }

        def part(value: str | S3Uri) -> Part:
            if isinstance(value, str):
                return value
            info = found[value.bucket].get(value.key)
            if info is None:
                raise no_match(value, where)
            return FilePart(info.path, str(value))

        return [[part(value) for value in line] for line in lines]


def _place(one: Input) -> tuple[str, str]:
    return one.channel.s3_uri.bucket, one.channel.s3_uri.key
