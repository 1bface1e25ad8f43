"""CloudWatch Logs as boto3 sees it, over files that supervisors append to."""

import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from intermodal_engine.store.log_streams import LogStreams
from tests.helpers.engine import RunningEngine

pytestmark = pytest.mark.e2e

STREAM = "job/algo-1-1600000000"


@pytest.fixture
def logs(engine: RunningEngine) -> Any:
    return engine.client("logs", retries={"total_max_attempts": 1})


@pytest.fixture
def group(logs: Any) -> str:
    name = f"/test/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=name)
    return name


def append(engine: RunningEngine, group: str, stream: str, text: str) -> None:
    """What a supervisor does."""
    with LogStreams(engine.home / "logs").path(group, stream).open("a") as file:
        file.write(text)


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def refusal(error: "pytest.ExceptionInfo[ClientError]") -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_client_follows_a_stream_that_grows(logs: Any, group: str, engine: RunningEngine) -> None:
    where = {"logGroupName": group, "logStreamName": STREAM}
    append(engine, group, STREAM, "1000 first\n2000 second\n3000 thi")
    answer = logs.get_log_events(**where, startFromHead=True)
    assert messages(answer) == ["first", "second"]
    assert [event["timestamp"] for event in answer["events"]] == [1000, 2000]
    token = answer["nextForwardToken"]
    answer = logs.get_log_events(**where, nextToken=token)
    assert (messages(answer), answer["nextForwardToken"]) == ([], token)
    append(engine, group, STREAM, "rd\n")
    answer = logs.get_log_events(**where, nextToken=token)
    assert messages(answer) == ["third"]
    assert answer["nextForwardToken"] != token


def test_the_last_events_come_first_and_the_tokens_lead_back(
    logs: Any, group: str, engine: RunningEngine
) -> None:
    where = {"logGroupName": group, "logStreamName": STREAM}
    append(engine, group, STREAM, "".join(f"{at} line {at}\n" for at in range(25)))
    answer = logs.get_log_events(**where, limit=10)
    assert messages(answer) == [f"line {at}" for at in range(15, 25)]
    answer = logs.get_log_events(**where, limit=10, nextToken=answer["nextBackwardToken"])
    assert messages(answer) == [f"line {at}" for at in range(5, 15)]
    again = logs.get_log_events(**where, limit=10, nextToken=answer["nextForwardToken"])
    assert messages(again) == [f"line {at}" for at in range(15, 25)]
    answer = logs.get_log_events(**where, limit=10, nextToken=answer["nextBackwardToken"])
    assert messages(answer) == [f"line {at}" for at in range(5)]
    top = answer["nextBackwardToken"]
    answer = logs.get_log_events(**where, limit=10, nextToken=top)
    assert (messages(answer), answer["nextBackwardToken"]) == ([], top)


def test_events_of_all_streams_are_filtered_in_the_order_of_time(
    logs: Any, group: str, engine: RunningEngine
) -> None:
    append(engine, group, "job/algo-1", "1 start\n3 loss 1\n5 loss 3\n")
    append(engine, group, "job/algo-2", "2 start\n4 loss 2\n")
    append(engine, group, "other/algo-1", "6 loss 4\n")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        filterPattern="loss",
        logStreamNamePrefix="job/",
        PaginationConfig={"PageSize": 1},
    )
    found = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in found] == ["loss 1", "loss 2", "loss 3"]
    assert len({event["eventId"] for event in found}) == 3
    some = logs.filter_log_events(logGroupName=group, startTime=2, endTime=4)
    assert messages(some) == ["start", "loss 1"]


def test_streams_are_described_by_name_or_by_their_last_event(
    logs: Any, group: str, engine: RunningEngine
) -> None:
    append(engine, group, "a", "5 x\n9 y\n")
    append(engine, group, "b/1", "7 z\n")
    append(engine, group, "b/2", "")
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, PaginationConfig={"PageSize": 2}
    )
    streams = [stream for page in pages for stream in page["logStreams"]]
    assert [stream["logStreamName"] for stream in streams] == ["a", "b/1", "b/2"]
    assert (streams[0]["firstEventTimestamp"], streams[0]["lastEventTimestamp"]) == (5, 9)
    assert "lastEventTimestamp" not in streams[2]
    latest = logs.describe_log_streams(
        logGroupName=group, orderBy="LastEventTime", descending=True, limit=2
    )
    assert [stream["logStreamName"] for stream in latest["logStreams"]] == ["a", "b/1"]
    prefixed = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="b/")
    assert len(prefixed["logStreams"]) == 2
    assert group in [
        found["logGroupName"]
        for found in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    ]


def test_what_a_client_puts_it_gets_back_line_by_line(logs: Any, group: str) -> None:
    logs.create_log_stream(logGroupName=group, logStreamName="mine")
    now_ms = int(time.time() * 1000)
    events = [
        {"timestamp": now_ms - 20 * 24 * 3600 * 1000, "message": "ancient"},
        {"timestamp": now_ms, "message": "two\nlines"},
        {"timestamp": now_ms + 1, "message": "\ttab"},
    ]
    where = {"logGroupName": group, "logStreamName": "mine"}
    answer = logs.put_log_events(**where, logEvents=events)
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert messages(logs.get_log_events(**where)) == ["two\nlines", "\ttab"]
    with pytest.raises(ClientError) as caught:
        logs.put_log_events(**where, logEvents=events[:0:-1])
    assert refusal(caught) == "InvalidParameterException"


def test_groups_and_streams_that_are_not_there_or_there_already(logs: Any, group: str) -> None:
    stream = {"logGroupName": group, "logStreamName": "none"}
    missing = "ResourceNotFoundException"
    calls: list[tuple[str, Any]] = [
        (missing, lambda: logs.get_log_events(**stream)),
        (missing, lambda: logs.filter_log_events(logGroupName="/none")),
        (missing, lambda: logs.describe_log_streams(logGroupName="/none")),
        (missing, lambda: logs.delete_log_stream(**stream)),
        (missing, lambda: logs.delete_log_group(logGroupName="/none")),
        ("ResourceAlreadyExistsException", lambda: logs.create_log_group(logGroupName=group)),
        (
            "InvalidParameterException",
            lambda: logs.describe_log_streams(
                logGroupName=group, orderBy="LastEventTime", logStreamNamePrefix="x"
            ),
        ),
    ]
    for code, call in calls:
        with pytest.raises(ClientError) as caught:
            call()
        assert refusal(caught) == code
    logs.delete_log_group(logGroupName=group)
    with pytest.raises(ClientError) as caught:
        logs.describe_log_streams(logGroupName=group)
    assert refusal(caught) == missing
