"""One entry of `InputDataConfig`: the contract's channel, and what only the engine needs of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_contract.channel import Channel, S3Uri


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A channel's folder on EFS or FSx for Lustre.

    Attributes:
        file_system_id: for example `fs-0123456789abcdef0`.
        directory: path on the file system, from its root.
        is_writable: whether the job may write to it.
    """

    file_system_id: str
    directory: str
    is_writable: bool


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a job.

    Attributes:
        channel: what the job itself is told of it.
        attribute_names: of an augmented manifest, in the order in which they are streamed.
        shuffle_seed: of `ShuffleConfig`; None if nothing is shuffled.
        file_system: where the data lies, if it does not lie in S3.
    """

    channel: Channel
    attribute_names: tuple[str, ...] = ()
    shuffle_seed: int | None = None
    file_system: FileSystem | None = None

    @classmethod
    def from_request(cls, entry: Mapping[str, Any], *, default_input_mode: str = "File") -> "Input":
        """Reads one entry of `InputDataConfig` (AWS page: API_Channel).

        Args:
            entry: as in the request; `refusal` has nothing against it.
            default_input_mode: the algorithm's `TrainingInputMode`.

        Raises:
            InvalidChannelError: the name is unfit for a folder.
            InvalidS3UriError: the URI names no bucket.
        """
        seed = entry.get("ShuffleConfig", {}).get("Seed")
        source = entry["DataSource"].get("FileSystemDataSource")
        if source is not None:
            return _from_file_system(entry, source)
        return cls(
            channel=Channel.from_request(entry, default_input_mode=default_input_mode),
            attribute_names=tuple(entry["DataSource"]["S3DataSource"].get("AttributeNames", ())),
            shuffle_seed=None if seed is None else int(seed),
        )

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @property
    def is_sharded(self) -> bool:
        """Whether each host gets its share of the objects only."""
        return self.channel.distribution == "ShardedByS3Key"


def _from_file_system(entry: Mapping[str, Any], source: Mapping[str, Any]) -> Input:
    system = FileSystem(
        file_system_id=source["FileSystemId"],
        directory=source["DirectoryPath"],
        is_writable=source["FileSystemAccessMode"] == "rw",
    )
    channel = Channel(
        name=entry["ChannelName"],
        s3_uri=S3Uri(system.file_system_id, system.directory),
        content_type=entry.get("ContentType"),
    )
    return Input(channel, file_system=system)
