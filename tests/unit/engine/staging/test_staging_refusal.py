"""What CreateTrainingJob says to channels that cannot be."""

from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.staging import refusal

FILE_SYSTEM = {
    "FileSystemId": "fs-12345678",
    "FileSystemAccessMode": "ro",
    "FileSystemType": "EFS",
    "DirectoryPath": "/train",
}


def entry(kind: str = "S3Prefix", uri: str = "s3://data/x", **changes: Any) -> dict[str, Any]:
    names = changes.pop("AttributeNames", None)
    source: dict[str, Any] = {"S3DataType": kind, "S3Uri": uri}
    if names is not None:
        source["AttributeNames"] = names
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **changes}


def file_system(**changes: Any) -> dict[str, Any]:
    source = {"FileSystemDataSource": {**FILE_SYSTEM, **changes}}
    return {"ChannelName": "train", "DataSource": source}


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
@pytest.mark.parametrize("kind", ["S3Prefix", "ManifestFile"])
def test_prefixes_and_manifests_go_with_every_mode(mode: str, kind: str) -> None:
    assert refusal(entry(kind), mode) is None


def test_pipe_mode_takes_compression_wrapping_and_augmented_manifests() -> None:
    wanted = entry(
        "AugmentedManifestFile",
        AttributeNames=["image-ref"],
        CompressionType="Gzip",
        RecordWrapperType="RecordIO",
    )
    assert refusal(wanted, "Pipe") is None


@pytest.mark.parametrize(
    ("wanted", "mode", "words"),
    [
        (
            entry("AugmentedManifestFile", AttributeNames=["a"]),
            "File",
            "AugmentedManifestFile can only be used if the Channel's input mode is Pipe",
        ),
        (entry("AugmentedManifestFile"), "Pipe", "AugmentedManifestFile requires AttributeNames"),
        (entry(CompressionType="Gzip"), "File", "CompressionType is used only in Pipe input mode"),
        (
            entry(RecordWrapperType="RecordIO"),
            "FastFile",
            "In FastFile mode, leave this field unset or set it to None",
        ),
        (entry(uri="https://data/x"), "File", "'https://data/x' at 's3Uri' is not a valid S3 URI"),
        (entry("ManifestFile", uri="s3://data"), "File", "'s3://data' is a bucket"),
        (entry("Converse"), "File", "Converse"),
        ({"ChannelName": "train", "DataSource": {}}, "File", "exactly one of"),
        (file_system(), "Pipe", "FileSystemDataSource requires input mode File, not Pipe"),
        (file_system(DirectoryPath="/a/../b"), "File", "'/a/../b' is not the full path"),
        (file_system(), "File", "`--file-system fs-12345678=/local/path`"),
    ],
)
def test_what_cannot_be_is_refused_and_the_channel_named(
    wanted: dict[str, Any], mode: str, words: str
) -> None:
    answer = refusal(wanted, mode)
    assert answer is not None
    assert words in answer
    assert answer.endswith("(channel `train`)")


def test_a_file_system_is_taken_once_a_local_folder_stands_for_it() -> None:
    assert refusal(file_system(), "File", {"fs-12345678": Path("/data")}) is None
