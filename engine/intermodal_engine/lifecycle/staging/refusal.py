"""Which channels CreateTrainingJob refuses, in the words of the service's own documentation."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri


def refusal(
    entry: Mapping[str, Any], mode: str, file_systems: Mapping[str, Path] | None = None
) -> str | None:
    """Says what is wrong with one entry of `InputDataConfig`.

    Args:
        entry: as in the request.
        mode: `File`, `FastFile` or `Pipe`: the entry's, else the algorithm's.
        file_systems: local folders that stand for file systems, by their ids.

    Returns:
        The message of the ValidationException; None for an entry that can be served.
    """
    where = f"(channel `{entry['ChannelName']}`)"
    source = entry["DataSource"]
    if entry["ChannelName"] in {".", ".."}:
        return f"The channel name must name a folder {where}"
    if ("S3DataSource" in source) == ("FileSystemDataSource" in source):
        return f"You must specify exactly one of S3DataSource and FileSystemDataSource {where}"
    cause = _mode_refusal(entry, mode)
    if cause is None and "S3DataSource" in source:
        cause = _s3_refusal(source["S3DataSource"], mode)
    elif cause is None:
        cause = _file_system_refusal(source["FileSystemDataSource"], mode, file_systems or {})
    return None if cause is None else f"{cause} {where}"


def _mode_refusal(entry: Mapping[str, Any], mode: str) -> str | None:
    """Members that only Pipe mode knows."""
    for member in ("CompressionType", "RecordWrapperType"):
        if mode != "Pipe" and entry.get(member, "None") != "None":
            return (
                f"{member} is used only in Pipe input mode. In {mode} mode, leave this field "
                "unset or set it to None"
            )
    return None


def _s3_refusal(source: Mapping[str, Any], mode: str) -> str | None:
    kind = source["S3DataType"]
    if kind == "Converse":
        return "S3DataType Converse is for fine-tuning of the service's own models"
    if kind == "AugmentedManifestFile" and mode != "Pipe":
        return "AugmentedManifestFile can only be used if the Channel's input mode is Pipe"
    if kind == "AugmentedManifestFile" and not source.get("AttributeNames"):
        return "AugmentedManifestFile requires AttributeNames"
    try:
        uri = parse_s3_uri(source["S3Uri"])
    except InvalidS3UriError as error:
        return f"Value '{source['S3Uri']}' at 's3Uri' is not a valid S3 URI: {error.message}"
    if kind != "S3Prefix" and not uri.key:
        return f"{kind} requires an S3Uri that identifies an object: '{uri}' is a bucket"
    return None


def _file_system_refusal(
    source: Mapping[str, Any], mode: str, file_systems: Mapping[str, Path]
) -> str | None:
    name = source["FileSystemId"]
    if mode != "File":
        return f"FileSystemDataSource requires input mode File, not {mode}"
    directory = PurePosixPath(source["DirectoryPath"])
    if not directory.is_absolute() or ".." in directory.parts:
        return f"DirectoryPath '{directory}' is not the full path of a directory"
    if name not in file_systems:
        return (
            f"The file system '{name}' is not known to this engine. Start it with "
            f"`--file-system {name}=/local/path` to let a local folder stand for it"
        )
    return None
