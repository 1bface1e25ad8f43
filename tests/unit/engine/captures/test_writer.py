"""From the router's memory to files, from files to S3, on a clock turned by hand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.captures import writer
from intermodal_engine.router.captures import Captured
from intermodal_engine.router.instance import Backend
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.endpoints import create, create_config, describe, endpoint_world, make_healthy
from tests.helpers.lifecycle import World

CONFIG: dict[str, Any] = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://kept/here",
    "CaptureOptions": [{"CaptureMode": "Input"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = endpoint_world(tmp_path)
    world.backends.objects.create_bucket("kept")
    capturing(world, "capturing")
    create(world, "capturing")
    make_healthy(world)
    return world


def capturing(world: World, name: str, **changes: Any) -> None:
    create_config(world, name, count=1, capture={**CONFIG, **changes})


def update(world: World, config: str, **parameters: Any) -> None:
    world.call("UpdateEndpoint", EndpointName="ep", EndpointConfigName=config, **parameters)
    world.settle()
    make_healthy(world)


def call(world: World, body: bytes = b"1", generation: int = 1) -> None:
    """A call that the router keeps."""
    captures = world.router.captures
    backend = Backend("i-1", "ep", "AllTraffic", generation, "a", "127.0.0.1", 1)
    rule = captures._chosen(backend)
    if rule is not None:
        headers = {"Content-Type": "text/csv"}
        captures.keep(Captured(rule, backend, world.clock.now(), headers, [body]))
    world.settle()


def keys(world: World, bucket: str = "kept") -> list[str]:
    return [one.key for one in world.backends.objects.iterate(bucket)]


def bodies(world: World, bucket: str = "kept") -> list[str]:
    return list(_bodies(world, bucket))


def _bodies(world: World, bucket: str) -> Iterator[str]:
    for one in world.backends.objects.iterate(bucket):
        for line in one.path.read_text().splitlines():
            yield json.loads(line)["captureData"]["endpointInput"]["data"]


def spooled(world: World) -> list[Path]:
    return list(world.backends.settings.captures_folder.glob("*"))


def test_calls_of_a_few_seconds_come_in_one_file(world: World) -> None:
    call(world, b"1")
    world.advance(1.0)
    call(world, b"2")
    assert keys(world) == []
    world.advance(writer.PUBLISH_AFTER_S)
    (key,) = keys(world)
    assert key.startswith("here/ep/AllTraffic/")
    assert bodies(world) == ["1", "2"]
    assert spooled(world) == []


def test_each_hour_has_its_folder(world: World) -> None:
    call(world, b"1")
    world.advance(3600.0)
    call(world, b"2")
    world.advance(5.0)
    first, second = keys(world)
    assert first.rpartition("/")[0] < second.rpartition("/")[0]


def test_a_long_file_does_not_wait(world: World) -> None:
    call(world, b"x" * (writer.PUBLISH_BYTES + 1))
    assert len(keys(world)) == 1


def test_when_there_is_nothing_nothing_is_looked_at(world: World) -> None:
    call(world)
    world.advance(5.0)
    world.advance(writer.GATHER_S)
    assert world.queue._timers == [
        timer for timer in world.queue._timers if timer[1][0] != "captures"
    ]


def test_what_was_gathered_outlives_a_kill_of_the_engine(world: World) -> None:
    call(world, b"1")
    world.advance(writer.GATHER_S)
    call(world, b"2")
    world.advance(writer.GATHER_S)
    assert len(spooled(world)) == 2
    later = world.restarted()
    later.settle()
    assert bodies(later) == ["1", "2"]
    assert spooled(later) == []


def test_a_line_that_a_kill_cut_is_dropped(world: World) -> None:
    call(world, b"1")
    (path,) = world.backends.settings.captures_folder.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"captureData":{"endpoi')
    later = world.restarted()
    later.settle()
    assert bodies(later) == ["1"]


def test_a_kill_between_the_two_steps_of_publishing_keeps_every_line_once(world: World) -> None:
    call(world, b"1")
    (about,) = world.backends.settings.captures_folder.glob("*.json")
    text = about.read_text()
    world.advance(5.0)
    about.write_text(text)  # the file was moved to S3; its note was not removed yet
    later = world.restarted()
    later.settle()
    assert bodies(later) == ["1"]
    assert spooled(later) == []


def test_a_stop_writes_what_there_is(tmp_path: Path) -> None:
    world = endpoint_world(tmp_path)
    world.backends.objects.create_bucket("kept")
    capturing(world, "capturing")
    create(world, "capturing")
    make_healthy(world)
    call(world, b"1")
    call(world, b"2")
    world.captures.flush()
    assert bodies(world) == ["1", "2"]


def test_captures_wait_for_a_bucket_that_is_missing_and_the_log_says_so(world: World) -> None:
    capturing(world, "nowhere", DestinationS3Uri="s3://missing/x")
    update(world, "nowhere")
    call(world, b"1", 2)
    world.advance(5.0)
    log = world.backends.log_streams.path("/aws/sagemaker/Endpoints/ep", "AllTraffic/data-log")
    assert "the bucket `missing` does not exist" in log.read_text()
    world.backends.objects.create_bucket("missing")
    world.advance(writer.RETRY_S)
    assert bodies(world, "missing") == ["1"]


def test_captures_that_nobody_wants_are_let_go_after_an_hour(world: World) -> None:
    capturing(world, "nowhere", DestinationS3Uri="s3://missing/x")
    update(world, "nowhere")
    call(world, b"1", 2)
    world.advance(5.0)
    for _ in range(3):
        world.advance(writer.KEEP_S / 2)
    assert spooled(world) == []


def test_beyond_its_room_on_disk_nothing_more_is_captured(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SPOOL_LIMIT_BYTES", 100)
    call(world, b"1" * 200)
    call(world, b"2")
    world.advance(1.0)
    world.advance(5.0)
    assert bodies(world) == ["1" * 200]
    log = world.backends.log_streams.path("/aws/sagemaker/Endpoints/ep", "AllTraffic/data-log")
    assert "1 calls are not captured" in log.read_text()


# What the operations say


def test_describe_tells_what_is_captured(world: World) -> None:
    shown = world.call("DescribeEndpointConfig", EndpointConfigName="capturing")
    assert shown["DataCaptureConfig"] == CONFIG
    assert describe(world)["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": "s3://kept/here",
        "KmsKeyId": "",
    }


def test_an_update_stops_capture_and_tells(world: World) -> None:
    capturing(world, "stopped", EnableCapture=False, KmsKeyId="key")
    update(world, "stopped")
    shown = describe(world)["DataCaptureConfig"]
    assert (shown["CaptureStatus"], shown["KmsKeyId"]) == ("Stopped", "key")
    call(world, b"1", 2)
    world.advance(5.0)
    assert keys(world) == []
    update(world, "config-1")
    assert "DataCaptureConfig" not in describe(world)


def test_retained_properties_include_the_capture_unless_it_is_excluded(world: World) -> None:
    capturing(world, "half", InitialSamplingPercentage=50)
    update(world, "half", RetainAllVariantProperties=True)
    assert describe(world)["DataCaptureConfig"]["CurrentSamplingPercentage"] == 100
    excluded = [{"VariantPropertyType": "DataCaptureConfig"}]
    update(
        world,
        "half",
        RetainAllVariantProperties=True,
        RetainDeploymentConfig=True,
        ExcludeRetainedVariantProperties=excluded,
    )
    assert describe(world)["DataCaptureConfig"]["CurrentSamplingPercentage"] == 50


@pytest.mark.parametrize("uri", ["https://s3.amazonaws.com/b/k", "s3://B/k"])
def test_a_destination_that_is_no_place_in_s3_is_refused_by_name(world: World, uri: str) -> None:
    with pytest.raises(ServiceError, match="DestinationS3Uri of DataCaptureConfig"):
        capturing(world, "wrong", DestinationS3Uri=uri)
