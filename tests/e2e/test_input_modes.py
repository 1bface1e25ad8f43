"""Each input mode and each way to name data, through boto3, with scripts that say what they see."""

import gzip
import json
import struct
from collections.abc import Mapping
from typing import Any

import pytest

from tests.helpers.script_mode import BUCKET, job_request, log_lines, run_job

pytestmark = pytest.mark.e2e

LISTING = """
import hashlib, json, os, pathlib
root = pathlib.Path("/opt/ml/input/data")
if not root.is_dir():
    root = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "input", "data")
seen = {
    str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest()
    for path in sorted(root.rglob("*"))
    if path.is_file()
}
print("SEEN " + json.dumps({"host": os.environ["SM_CURRENT_HOST"], "files": seen}))
"""

READ_PIPE = """
import hashlib, json, os
base = "/opt/ml" if os.path.isdir("/opt/ml/input/data") else os.environ["SAGEMAKER_BASE_DIR"]
epochs = []
for epoch in range(3):
    with open(f"{base}/input/data/train_{epoch}", "rb") as pipe:
        epochs.append(pipe.read().hex())
print("SEEN " + json.dumps({"host": os.environ["SM_CURRENT_HOST"], "epochs": epochs}))
"""


@pytest.fixture(scope="module")
def data(clients: dict[str, Any]) -> dict[str, bytes]:
    """Objects under `data/`, all of one digit each."""
    objects = {f"data/part-{number}.csv": str(number).encode() * 5 for number in range(6)}
    for key, body in objects.items():
        clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=body)
    return objects


def test_file_mode_gives_the_files_and_keeps_writes_from_the_objects(
    clients: dict[str, Any], data: dict[str, bytes]
) -> None:
    script = LISTING + '\n(root / "train" / "part-0.csv").write_text("changed")\n'

    (seen,) = run(clients, "file-mode", script, channel())

    assert sorted(seen["files"]) == [f"train/part-{number}.csv" for number in range(6)]
    body = clients["s3"].get_object(Bucket=BUCKET, Key="data/part-0.csv")["Body"]
    assert body.read() == b"00000"


def test_a_manifest_gives_the_objects_that_it_names(
    clients: dict[str, Any], data: dict[str, bytes]
) -> None:
    manifest = [{"prefix": f"s3://{BUCKET}/data/"}, "part-4.csv", "part-1.csv"]
    put(clients, "lists/some.manifest", json.dumps(manifest).encode())

    (seen,) = run(
        clients,
        "manifest",
        LISTING,
        channel(f"s3://{BUCKET}/lists/some.manifest", S3DataType="ManifestFile"),
    )

    assert sorted(seen["files"]) == ["train/part-1.csv", "train/part-4.csv"]


def test_a_manifest_with_a_missing_object_fails_the_job_and_names_it(
    clients: dict[str, Any], data: dict[str, bytes]
) -> None:
    manifest = [{"prefix": f"s3://{BUCKET}/data/"}, "part-1.csv", "gone.csv"]
    put(clients, "lists/broken.manifest", json.dumps(manifest).encode())
    entry = channel(f"s3://{BUCKET}/lists/broken.manifest", S3DataType="ManifestFile")

    ended = run_job(
        clients["sagemaker"],
        job_request("manifest-gone", LISTING, clients["s3"], InputDataConfig=[entry]),
    )

    assert ended["TrainingJobStatus"] == "Failed"
    assert f"s3://{BUCKET}/data/gone.csv matched no files on s3" in ended["FailureReason"]


def test_fast_file_mode_is_a_read_only_view_of_each_hosts_share(
    clients: dict[str, Any], data: dict[str, bytes]
) -> None:
    script = LISTING + (
        "\nfor path in (root / 'train').iterdir():\n"
        "    try:\n"
        "        path.write_text('changed')\n"
        "        print('WRITTEN')\n"
        "    except OSError as error:\n"
        "        print('REFUSED', error.strerror)\n"
    )
    entry = channel(InputMode="FastFile", S3DataDistributionType="ShardedByS3Key")

    first, second = run(clients, "fast-file", script, entry, hosts=2)

    assert sorted(first["files"]) == [f"train/part-{number}.csv" for number in (0, 2, 4)]
    assert sorted(second["files"]) == [f"train/part-{number}.csv" for number in (1, 3, 5)]
    lines = log_lines(clients["logs"], "fast-file")
    assert lines.count("REFUSED Read-only file system") == 6
    assert "WRITTEN" not in lines


def test_pipe_mode_streams_all_objects_in_each_epoch(
    clients: dict[str, Any], data: dict[str, bytes]
) -> None:
    (seen,) = run(clients, "pipe", READ_PIPE, channel(InputMode="Pipe"))

    assert [bytes.fromhex(epoch) for epoch in seen["epochs"]] == [b"".join(data.values())] * 3


def test_pipe_mode_shuffles_decompresses_and_wraps_what_each_host_gets(
    clients: dict[str, Any],
) -> None:
    bodies = [bytes([number]) * (number + 1) for number in range(8)]
    for number, body in enumerate(bodies):
        put(clients, f"packed/{number}.gz", gzip.compress(body))
    entry = channel(
        f"s3://{BUCKET}/packed/",
        S3DataDistributionType="ShardedByS3Key",
        InputMode="Pipe",
        CompressionType="Gzip",
        RecordWrapperType="RecordIO",
        ShuffleConfig={"Seed": 7},
    )

    hosts = run(clients, "pipe-shuffled", READ_PIPE, entry, hosts=2)

    epochs = [
        [records(bytes.fromhex(host["epochs"][epoch])) for host in hosts] for epoch in range(3)
    ]
    for first, second in epochs:
        assert len(first) == len(second) == 4
        assert sorted(first + second) == sorted(bodies)
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_augmented_manifest_streams_its_attributes_in_order(
    clients: dict[str, Any], data: dict[str, bytes]
) -> None:
    lines = [
        {"image-ref": f"s3://{BUCKET}/data/part-2.csv", "other": 1, "label": {"a": [1, 2]}},
        {"label": "zero", "image-ref": f"s3://{BUCKET}/data/part-0.csv"},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    put(clients, "lists/augmented.manifest", text.encode())
    entry = channel(
        f"s3://{BUCKET}/lists/augmented.manifest",
        S3DataType="AugmentedManifestFile",
        AttributeNames=["image-ref", "label"],
        InputMode="Pipe",
        RecordWrapperType="RecordIO",
    )

    (seen,) = run(clients, "augmented", READ_PIPE, entry)

    assert records(bytes.fromhex(seen["epochs"][0])) == [
        b"22222",
        b'{"a":[1,2]}',
        b"00000",
        b"zero",
    ]


def test_an_object_that_is_replaced_meanwhile_fails_the_job_and_is_named(
    clients: dict[str, Any],
) -> None:
    put(clients, "moving/a", b"first")
    script = (
        "import os, boto3\n"
        "base = '/opt/ml' if os.path.isdir('/opt/ml/input/data') else "
        "os.environ['SAGEMAKER_BASE_DIR']\n"
        "open(f'{base}/input/data/train_0', 'rb').read()\n"
        f"boto3.client('s3').put_object(Bucket='{BUCKET}', Key='moving/a', Body=b'second')\n"
        "print('READ', open(f'{base}/input/data/train_1', 'rb').read())\n"
    )
    entry = channel(f"s3://{BUCKET}/moving", InputMode="Pipe")

    ended = run_job(
        clients["sagemaker"],
        job_request("replaced", script, clients["s3"], InputDataConfig=[entry]),
    )

    assert ended["TrainingJobStatus"] == "Failed"
    assert f"`s3://{BUCKET}/moving/a` was replaced" in ended["FailureReason"]
    lines = log_lines(clients["logs"], "replaced")
    assert any(f"`s3://{BUCKET}/moving/a` was replaced" in line for line in lines)
    assert not any(line.startswith("READ") for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["a"]},
            "AugmentedManifestFile can only be used if the Channel's input mode is Pipe",
        ),
        ({"CompressionType": "Gzip"}, "CompressionType is used only in Pipe input mode"),
    ],
)
def test_what_the_service_refuses_is_refused_at_create(
    clients: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    request = job_request("refused", LISTING, clients["s3"], InputDataConfig=[channel(**changes)])

    with pytest.raises(clients["sagemaker"].exceptions.ClientError) as refused:
        clients["sagemaker"].create_training_job(**request)

    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert message in refused.value.response["Error"]["Message"]


def channel(uri: str = f"s3://{BUCKET}/data", **changes: Any) -> dict[str, Any]:
    """One entry of InputDataConfig, named `train`; changes go to where they belong."""
    of_source = ("S3DataType", "S3DataDistributionType", "AttributeNames")
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    source |= {name: changes.pop(name) for name in of_source if name in changes}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **changes}


def put(clients: Mapping[str, Any], key: str, body: bytes) -> None:
    clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=body)


def run(
    clients: Mapping[str, Any], name: str, script: str, entry: dict[str, Any], hosts: int = 1
) -> list[dict[str, Any]]:
    """What the job's scripts have seen, in the order of the hosts."""
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 1}
    request = job_request(
        name, script, clients["s3"], InputDataConfig=[entry], ResourceConfig=resources
    )
    ended = run_job(clients["sagemaker"], request)
    lines = log_lines(clients["logs"], name)
    assert ended["TrainingJobStatus"] == "Completed", (ended.get("FailureReason"), lines)
    seen = [json.loads(line[5:]) for line in lines if line.startswith("SEEN ")]
    return sorted(seen, key=lambda one: str(one["host"]))


def records(stream: bytes) -> list[bytes]:
    """What is in a RecordIO stream of short, whole records."""
    found = []
    while stream:
        magic, size = struct.unpack_from("<II", stream)
        assert magic == 0xCED7230A
        found.append(stream[8 : 8 + size])
        stream = stream[8 + size + -size % 4 :]
    return found
