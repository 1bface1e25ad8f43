"""Data capture of transform jobs: manifests of what went in and came out, and inference ids."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.transform.program.filters import FilterError
from intermodal_engine.lifecycle.transform.program.inference_ids import stamped
from intermodal_engine.lifecycle.transform_job import LOOK_S
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world
from tests.helpers.transform_jobs import FakeMovers, create, describe, opened

CAPTURE = {"DestinationS3Uri": "s3://results/captured/"}
AT = "2022-08-30T00:49:15Z"


@pytest.fixture
def movers() -> FakeMovers:
    return FakeMovers()


@pytest.fixture
def world(tmp_path: Path, movers: FakeMovers) -> World:
    return opened(make_world(tmp_path / "home", movers=movers))


def moved(world: World, movers: FakeMovers, **changes: Any) -> None:
    for folder in list(movers.plans):
        movers.moves(folder, **changes)
    world.advance(LOOK_S)


def manifests(world: World) -> dict[str, Any]:
    found = world.backends.objects.iterate("results", "captured/")
    return {one.key: json.loads(one.path.read_text()) for one in found}


@pytest.mark.parametrize("prefix", ["s3://data/in/", "s3://data/in", "s3://data/i"])
def test_manifests_name_the_objects_by_the_hour_of_the_start(
    world: World, movers: FakeMovers, prefix: str
) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": prefix}}
    create(world, DataCaptureConfig=CAPTURE, TransformInput={"DataSource": source})
    started = world.clock.now()
    moved(world, movers)
    hour = describe(world)["TransformStartTime"].strftime("%Y/%m/%d/%H")
    assert describe(world)["TransformStartTime"].timestamp() <= started
    found = manifests(world)
    folder = "in/" if prefix.endswith("i") else ""
    names = [f"{folder}{number}.csv" for number in range(3)]
    assert found[f"captured/input/{hour}/job-1.jsonl"] == [
        {"prefix": "s3://data/" if folder else "s3://data/in/"},
        *names,
    ]
    assert found[f"captured/output/{hour}/job-1.jsonl"] == [
        {"prefix": "s3://results/out/"},
        *(f"{name}.out" for name in names),
    ]
    assert describe(world)["DataCaptureConfig"] == CAPTURE


def test_what_failed_is_in_no_manifest(world: World, movers: FakeMovers) -> None:
    create(world, DataCaptureConfig=CAPTURE, TransformResources={"InstanceCount": 2})
    moved(world, movers, failed=(1,))
    assert describe(world)["TransformJobStatus"] == "Failed"
    assert [found[1:] for found in manifests(world).values()] == [
        ["0.csv", "2.csv"],
        ["0.csv.out", "2.csv.out"],
    ]


def test_without_a_capture_there_is_none(world: World, movers: FakeMovers) -> None:
    create(world)
    moved(world, movers)
    assert manifests(world) == {}
    assert "DataCaptureConfig" not in describe(world)


def test_a_kill_before_the_end_was_told_writes_the_same_manifests(
    world: World, movers: FakeMovers
) -> None:
    create(world, DataCaptureConfig=CAPTURE)
    for folder in list(movers.plans):
        movers.moves(folder)
    again = world.restarted()
    again.settle()
    again.advance(LOOK_S)
    assert sorted(key.split("/")[1] for key in manifests(again)) == ["input", "output"]


def test_a_bucket_that_is_missing_fails_the_job_before_it_starts(world: World) -> None:
    create(world, DataCaptureConfig={"DestinationS3Uri": "s3://nowhere/x"})
    job = describe(world)
    assert job["TransformJobStatus"] == "Failed"
    assert "`nowhere` of `DestinationS3Uri` of `DataCaptureConfig`" in job["FailureReason"]
    assert world.driver.started == []


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        ({"DestinationS3Uri": "s3://B/x"}, "DestinationS3Uri of DataCaptureConfig"),
        ({**CAPTURE, "GenerateInferenceId": True}, "not application/x-npy"),
    ],
)
def test_what_cannot_be_captured_is_refused(
    world: World, capture: dict[str, Any], words: str
) -> None:
    output = {"Accept": "application/x-npy"}
    with pytest.raises(ServiceError, match=words):
        create(world, DataCaptureConfig=capture, TransformOutput=output)


def test_inference_ids_have_the_time_of_the_jobs_start(world: World, movers: FakeMovers) -> None:
    create(world, DataCaptureConfig={**CAPTURE, "GenerateInferenceId": True})
    (plan,) = movers.plans.values()
    start = describe(world)["TransformStartTime"]
    assert plan.inference_time == start.strftime("%Y-%m-%dT%H:%M:%SZ")


# The ids themselves


def test_rows_of_csv_get_two_more_columns() -> None:
    first, second = stamped(b'0,"a,b"\n1,c\n', "text/csv; charset=utf-8", AT).decode().splitlines()
    assert first.startswith('0,"a,b",')
    ids = {line.split(",")[-2] for line in (first, second)}
    assert len({uuid.UUID(one) for one in ids}) == 2
    assert second.endswith(AT)


@pytest.mark.parametrize(
    ("content_type", "answer", "expected"),
    [
        ("application/json", b'{\n  "output": 0\n}', [{"output": 0}]),
        ("application/json", b"[1, 2]", [{"SageMakerOutput": [1, 2]}]),
        ("application/jsonlines", b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
    ],
)
def test_json_values_get_two_more_members(
    content_type: str, answer: bytes, expected: list[Any]
) -> None:
    values = [json.loads(line) for line in stamped(answer, content_type, AT).splitlines()]
    for value in values:
        uuid.UUID(value.pop("SageMakerInferenceId"))
        assert value.pop("SageMakerInferenceTime") == AT
    assert values == expected


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [("application/json", b"{no"), ("text/csv", b"\xff"), ("application/x-npy", b"1"), ("", b"1")],
)
def test_what_has_no_records_is_refused_by_name(content_type: str, answer: bytes) -> None:
    with pytest.raises(FilterError, match=r"the answer is no|has no records"):
        stamped(answer, content_type, AT)
