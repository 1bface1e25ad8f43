"""What an instance sees of a channel: which objects, under which names, mounted or copied."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_contract.training_files import TrainingPaths
from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.lifecycle.staging import ChannelStager, DataMissingError, Input
from intermodal_engine.store.objects import ObjectStore
from tests.helpers.object_store import BUCKET, Shelf, fast_folder

LARGE = b"x" * (33 << 20)
"""Too much to be copied."""


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with fast_folder() as folder:
        shelf = Shelf(folder)
        shelf.store.create_bucket(BUCKET)
        yield shelf.store
        shelf.close()


@pytest.fixture
def paths(tmp_path: Path) -> TrainingPaths:
    return TrainingPaths(tmp_path / "algo-1" / "ml")


def put(store: ObjectStore, *keys: str, body: bytes | None = None) -> None:
    for key in keys:
        store.put_bytes(BUCKET, key, key.encode() if body is None else body)


def channel(uri: str = f"s3://{BUCKET}/data", mode: str = "File", **source: Any) -> Input:
    shuffle = {"ShuffleConfig": source.pop("ShuffleConfig")} if "ShuffleConfig" in source else {}
    described = {"S3DataType": "S3Prefix", "S3Uri": uri, **source}
    entry = {"ChannelName": "train", "DataSource": {"S3DataSource": described}, **shuffle}
    return Input.from_request(entry, default_input_mode=mode)


def manifest(store: ObjectStore, *entries: Any, mode: str = "File") -> Input:
    store.put_bytes(BUCKET, "a.manifest", json.dumps(entries).encode())
    return channel(f"s3://{BUCKET}/a.manifest", mode, S3DataType="ManifestFile")


def seen(mounts: tuple[Mount, ...], paths: TrainingPaths, sandbox: Path) -> dict[str, str]:
    """What the instance would read in the channel, its mounts played by links in a sandbox."""
    root = sandbox / "seen"
    root.mkdir()
    (root / "opt").mkdir()
    paths.root.mkdir(parents=True, exist_ok=True)
    (root / "opt" / "ml").symlink_to(paths.root)
    for mount in mounts:
        at = root / mount.target.lstrip("/")
        if at.is_dir():
            at.rmdir()
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(mount.source)
    # Links lead out of the channel's folder by `..`, which only a copy of it in place follows.
    folder = root / "opt/ml/input/data/train"
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            relative = path.relative_to(folder)
            if path.is_symlink():
                lies_at = Path("/opt/ml/input/data/train") / relative.parent
                goal = Path(os.path.normpath(lies_at / path.readlink()))
                path = root / goal.relative_to("/")
            found[str(relative)] = path.read_bytes()[:40].decode()
    return found


def test_a_whole_folder_is_a_view_and_nothing_is_copied(
    store: ObjectStore, paths: TrainingPaths
) -> None:
    put(store, "data/a", "data/deep/b")
    mounts = ChannelStager(store).stage(channel(), paths, 0, 1)
    folder = store.folder_view(BUCKET, "data")
    assert folder is not None
    assert mounts == (Mount(folder, "/opt/ml/input/data/train", MountMode.VIEW),)


def test_a_whole_folder_in_fast_file_mode_is_read_only(
    store: ObjectStore, paths: TrainingPaths
) -> None:
    put(store, "data/a")
    (mount,) = ChannelStager(store).stage(channel(mode="FastFile"), paths, 0, 1)
    assert mount.mode is MountMode.READ_ONLY


def test_a_part_of_a_name_keeps_the_rest_of_the_keys(
    store: ObjectStore, paths: TrainingPaths, tmp_path: Path
) -> None:
    put(store, "data/train-1.csv", "data/train-2/x.csv", "data/other.csv")
    mounts = ChannelStager(store).stage(channel(f"s3://{BUCKET}/data/train"), paths, 0, 1)
    assert mounts == ()
    assert seen(mounts, paths, tmp_path) == {
        "train-1.csv": "data/train-1.csv",
        "train-2/x.csv": "data/train-2/x.csv",
    }


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_what_is_large_or_fast_is_linked_and_the_links_hold(
    store: ObjectStore, paths: TrainingPaths, tmp_path: Path, mode: str
) -> None:
    put(store, "data/one/a", "data/two/deep/b", "data/two/c")
    put(store, "data/large", body=LARGE)
    wanted = manifest(
        store,
        {"prefix": f"s3://{BUCKET}/data/"},
        "one/a",
        "two/deep/b",
        "large",
        mode=mode,
    )
    mounts = ChannelStager(store).stage(wanted, paths, 0, 1)

    bucket, *shown = mounts
    assert bucket.mode is MountMode.READ_ONLY
    assert bucket.target == "/opt/ml/input/.objects/train"
    assert [mount.mode for mount in shown] == ([] if mode == "File" else [MountMode.READ_ONLY])
    assert seen(mounts, paths, tmp_path) == {
        "one/a": "data/one/a",
        "two/deep/b": "data/two/deep/b",
        "large": "x" * 40,
    }


def test_a_host_that_can_mount_nothing_gets_copies(
    store: ObjectStore, paths: TrainingPaths, tmp_path: Path
) -> None:
    put(store, "data/a", "data/b", body=LARGE)
    stager = ChannelStager(store, can_mount=lambda: False)
    wanted = channel(mode="FastFile", S3DataDistributionType="ShardedByS3Key")
    assert stager.stage(wanted, paths, 1, 2) == ()
    copy = paths.channel("train") / "b"
    assert copy.stat().st_size == len(LARGE)
    assert not copy.is_symlink()
    assert copy.stat().st_nlink == 1
    assert [path.name for path in paths.channel("train").iterdir()] == ["b"]


@pytest.mark.parametrize("shuffle", [{}, {"ShuffleConfig": {"Seed": 3}}])
def test_shards_are_disjoint_even_and_whole(
    store: ObjectStore, tmp_path: Path, shuffle: dict[str, Any]
) -> None:
    put(store, *(f"data/{number}" for number in range(10)), "data/folder/")
    wanted = channel(S3DataDistributionType="ShardedByS3Key", **shuffle)
    shards = []
    for host in range(3):
        paths = TrainingPaths(tmp_path / f"algo-{host}" / "ml")
        ChannelStager(store).stage(wanted, paths, host, 3)
        shards.append([path.name for path in paths.channel("train").iterdir()])
    assert sorted(map(len, shards)) == [3, 3, 4]
    assert sorted(name for shard in shards for name in shard) == [
        str(number) for number in range(10)
    ]


def test_a_seed_decides_who_gets_which_shard(store: ObjectStore, tmp_path: Path) -> None:
    put(store, *(f"data/{number}" for number in range(10)))
    shards: list[set[str]] = []
    for seed in (1, 1, 2, -1):
        wanted = channel(S3DataDistributionType="ShardedByS3Key", ShuffleConfig={"Seed": seed})
        paths = TrainingPaths(tmp_path / str(len(shards)) / "ml")
        ChannelStager(store).stage(wanted, paths, 0, 2)
        shards.append({path.name for path in paths.channel("train").iterdir()})
    assert shards[0] == shards[1]
    assert shards[0] != shards[2]
    assert shards[0] != shards[3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no json", "it is no JSON"),
        (b"{}", "no JSON array"),
        (b'["a"]', "its first element"),
        (b'[{"prefix": "http://x"}, "a"]', "its prefix is no S3 URI"),
        (b'[{"prefix": "s3://bucket/data/"}, 3]', "element 2 is no string: 3"),
        (b'[{"prefix": "s3://bucket/data/"}]', "it names no objects"),
        (b'[{"prefix": "s3://bucket/data/"}, "gone"]', "s3://bucket/data/gone matched no files"),
        (b'[{"prefix": "s3://nowhere-else/"}, "a"]', "`nowhere-else` does not exist"),
        (b'[{"prefix": "s3://bucket/data/"}, "a", "a"]', "cannot both be in one folder"),
        (b'[{"prefix": "s3://bucket/"}, "data/a", "data"]', "matched no files"),
    ],
)
def test_a_manifest_that_is_wrong_names_the_culprit(
    store: ObjectStore, paths: TrainingPaths, content: bytes, words: str
) -> None:
    put(store, "data/a")
    store.put_bytes(BUCKET, "a.manifest", content)
    wanted = channel(f"s3://{BUCKET}/a.manifest", S3DataType="ManifestFile")
    with pytest.raises(DataMissingError, match="Data download failed:") as failed:
        ChannelStager(store).stage(wanted, paths, 0, 1)
    assert words in str(failed.value)
    assert "a.manifest" in str(failed.value) or "want the same name" in str(failed.value)


def test_a_manifest_of_many_objects_finds_them_all(
    store: ObjectStore, paths: TrainingPaths
) -> None:
    names = [f"{number:03}" for number in range(300)]
    put(store, *(f"data/{name}" for name in names))
    wanted = manifest(store, {"prefix": f"s3://{BUCKET}/data/"}, *names)
    ChannelStager(store).stage(wanted, paths, 0, 1)
    assert sorted(path.name for path in paths.channel("train").iterdir()) == names


def test_a_key_that_leads_out_of_its_channel_is_refused(
    store: ObjectStore, paths: TrainingPaths
) -> None:
    put(store, "data/../../up")
    with pytest.raises(DataMissingError, match=r"`data/\.\./\.\./up` leads out of its channel"):
        ChannelStager(store).stage(channel(), paths, 0, 1)


def test_a_key_below_another_key_is_named_with_it(store: ObjectStore, paths: TrainingPaths) -> None:
    put(store, "data/x", "data/x/y")
    with pytest.raises(DataMissingError, match=f"`s3://{BUCKET}/data/x` and .*data/x/y"):
        ChannelStager(store).stage(channel(), paths, 0, 1)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (channel("s3://no-such-bucket/data"), "the bucket `no-such-bucket` does not exist"),
        (channel(f"s3://{BUCKET}/nothing"), "nothing matched no files on s3 (channel `train`)"),
        (
            channel(f"s3://{BUCKET}/no.manifest", S3DataType="ManifestFile"),
            "no.manifest matched no files on s3",
        ),
    ],
)
def test_missing_data_is_found_before_anything_starts(
    store: ObjectStore, wanted: Input, words: str
) -> None:
    with pytest.raises(DataMissingError) as failed:
        ChannelStager(store).check([wanted])
    assert words in str(failed.value)


@pytest.mark.parametrize(
    ("access", "mode"), [("ro", MountMode.READ_ONLY), ("rw", MountMode.READ_WRITE)]
)
def test_a_file_system_is_the_folder_that_stands_for_it(
    store: ObjectStore, paths: TrainingPaths, tmp_path: Path, access: str, mode: MountMode
) -> None:
    (tmp_path / "efs" / "train").mkdir(parents=True)
    stager = ChannelStager(store, {"fs-12345678": tmp_path / "efs"})
    wanted = on_file_system("/train", access)
    stager.check([wanted])
    assert stager.stage(wanted, paths, 0, 1) == (
        Mount((tmp_path / "efs" / "train").resolve(), "/opt/ml/input/data/train", mode),
    )
    assert wanted.channel.input_mode == "File"


@pytest.mark.parametrize("directory", ["/gone", "/out"])
def test_a_folder_that_is_not_on_the_file_system_is_named(
    store: ObjectStore, tmp_path: Path, directory: str
) -> None:
    (tmp_path / "efs").mkdir()
    (tmp_path / "efs" / "out").symlink_to(tmp_path)
    stager = ChannelStager(store, {"fs-12345678": tmp_path / "efs"})
    with pytest.raises(DataMissingError, match=f"`{directory}` of channel `train` does not exist"):
        stager.check([on_file_system(directory, "ro")])


def test_an_unknown_file_system_is_named(store: ObjectStore) -> None:
    with pytest.raises(DataMissingError, match="fs-12345678=/local/path"):
        ChannelStager(store).check([on_file_system("/", "ro")])


def on_file_system(directory: str, access: str) -> Input:
    source = {
        "FileSystemId": "fs-12345678",
        "FileSystemAccessMode": access,
        "FileSystemType": "EFS",
        "DirectoryPath": directory,
    }
    return Input.from_request(
        {"ChannelName": "train", "DataSource": {"FileSystemDataSource": source}}
    )
