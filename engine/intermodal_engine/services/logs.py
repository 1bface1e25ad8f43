"""CloudWatch Logs over the log streams' files.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

import base64
import contextlib
import errno
import functools
import re
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from intermodal_engine.services.call import Call, Operation, Parameters, PlainOperation
from intermodal_engine.services.log_filter import parse_filter
from intermodal_engine.services.log_merge import merge, read_token, write_token
from intermodal_engine.store.log_pages import (
    EVENT_OVERHEAD_BYTES,
    PAGE_LIMIT_BYTES,
    LogPage,
    TimeRange,
    page_backward,
    page_forward,
    read_events,
    read_events_backward,
)
from intermodal_engine.store.log_streams import (
    LogEvent,
    LogStream,
    NoSuchGroupError,
    NoSuchStreamError,
)
from intermodal_engine.wire.errors import ServiceError

_EVENTS_LIMIT = 10_000
_NAMES_LIMIT = 50
_TOKEN = re.compile(r"([fb])/(\d{1,18})")
T = TypeVar("T")
_TOO_OLD_MS = 14 * 24 * 3600 * 1000
_TOO_NEW_MS = 2 * 3600 * 1000


def create_log_group(call: Call, parameters: Parameters) -> Parameters:
    """Makes a group."""
    _create("log group", lambda: call.backends.log_streams.create_group(parameters["logGroupName"]))
    return {}


def delete_log_group(call: Call, parameters: Parameters) -> Parameters:
    """Removes a group and its streams."""
    call.backends.log_streams.delete_group(parameters["logGroupName"])
    return {}


def create_log_stream(call: Call, parameters: Parameters) -> Parameters:
    """Makes a stream."""
    group, name = parameters["logGroupName"], parameters["logStreamName"]
    _create("log stream", lambda: call.backends.log_streams.create_stream(group, name))
    return {}


def delete_log_stream(call: Call, parameters: Parameters) -> Parameters:
    """Removes a stream."""
    call.backends.log_streams.delete_stream(parameters["logGroupName"], parameters["logStreamName"])
    return {}


def put_log_events(call: Call, parameters: Parameters) -> Parameters:
    """Adds events to a stream; those that are too old or too new are left out and named."""
    events = [(event["timestamp"], event["message"]) for event in parameters["logEvents"]]
    if any(earlier > later for (earlier, _), (later, _) in pairwise(events)):
        raise _invalid(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    size = sum(len(message.encode()) + EVENT_OVERHEAD_BYTES for _, message in events)
    if size > PAGE_LIMIT_BYTES:
        raise _invalid(f"Upload too large: {size} bytes exceeds limit of {PAGE_LIMIT_BYTES}")
    now_ms = int(call.backends.clock.now() * 1000)
    too_old = sum(at < now_ms - _TOO_OLD_MS for at, _ in events)
    fresh = sum(at <= now_ms + _TOO_NEW_MS for at, _ in events)
    call.backends.log_streams.append(
        parameters["logGroupName"], parameters["logStreamName"], events[too_old:fresh]
    )
    rejected = {
        "tooOldLogEventEndIndex": too_old or None,
        "tooNewLogEventStartIndex": fresh if fresh < len(events) else None,
    }
    return {"rejectedLogEventsInfo": rejected if any(rejected.values()) else None}


def describe_log_groups(call: Call, parameters: Parameters) -> Parameters:
    """Groups by name."""
    pattern = (parameters.get("logGroupNamePattern") or "").lower()
    after = _read_name_token(parameters.get("nextToken"))
    names = [
        name
        for name in call.backends.log_streams.groups(parameters.get("logGroupNamePrefix") or "")
        if pattern in name.lower() and name > after
    ]
    page = names[: parameters.get("limit", _NAMES_LIMIT)]
    return {
        "logGroups": _of_those_there(lambda name: _group(call, name), page),
        "nextToken": _write_name_token(page[-1]) if len(names) > len(page) else None,
    }


def describe_log_streams(call: Call, parameters: Parameters) -> Parameters:
    """Streams of a group, by name or by the time of their last event."""
    group = _group_name(parameters)
    prefix = parameters.get("logStreamNamePrefix") or ""
    by_time = parameters.get("orderBy") == "LastEventTime"
    if by_time and prefix:
        raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    streams = call.backends.log_streams.streams(group, prefix)
    if by_time:
        streams.sort(key=lambda stream: (_last_ms(stream) or 0, stream.name))
    if parameters.get("descending"):
        streams.reverse()
    after = _read_name_token(parameters.get("nextToken"))
    names = [stream.name for stream in streams]
    start = names.index(after) + 1 if after in names else 0
    page = streams[start : start + parameters.get("limit", _NAMES_LIMIT)]
    more = start + len(page) < len(streams)
    return {
        "logStreams": _of_those_there(lambda stream: _stream(call, stream), page),
        "nextToken": _write_name_token(page[-1].name) if more else None,
    }


def get_log_events(call: Call, parameters: Parameters) -> Parameters:
    """A page of one stream; its tokens lead on in both directions, to the same place at an end."""
    stream = call.backends.log_streams.stream(_group_name(parameters), parameters["logStreamName"])
    page = _page(stream, parameters)
    return {
        "events": [
            {
                "timestamp": event.timestamp_ms,
                "message": event.message,
                "ingestionTime": event.timestamp_ms,
            }
            for event in page.events
        ],
        "nextForwardToken": f"f/{page.end}",
        "nextBackwardToken": f"b/{page.begin}",
    }


def filter_log_events(call: Call, parameters: Parameters) -> Parameters:
    """Events of several streams whose messages match a pattern, in the order of time."""
    streams = _chosen_streams(call, parameters)
    token = parameters.get("nextToken")
    page = merge(
        streams,
        read_token(token) if token is not None else {},
        _within(parameters),
        parse_filter(parameters.get("filterPattern") or "").lets_through,
        parameters.get("limit", _EVENTS_LIMIT),
    )
    return {
        "events": [_filtered(stream, event) for stream, event in page.events],
        "searchedLogStreams": [],
        "nextToken": None if page.offsets is None else write_token(page.offsets),
    }


def _page(stream: LogStream, parameters: Parameters) -> LogPage:
    limit = parameters.get("limit", _EVENTS_LIMIT)
    within = _within(parameters)
    token = parameters.get("nextToken")
    if token is None:
        if parameters.get("startFromHead"):
            return page_forward(stream.path, 0, limit, within)
        return page_backward(stream.path, None, limit, within)
    found = _TOKEN.fullmatch(token)
    if found is None or int(found[2]) > stream.path.stat().st_size:
        raise _invalid("The specified nextToken is invalid.")
    if found[1] == "f":
        return page_forward(stream.path, int(found[2]), limit, within)
    return page_backward(stream.path, int(found[2]), limit, within)


def _within(parameters: Parameters) -> TimeRange:
    return TimeRange(parameters.get("startTime"), parameters.get("endTime"))


def _chosen_streams(call: Call, parameters: Parameters) -> Sequence[LogStream]:
    names, prefix = parameters.get("logStreamNames"), parameters.get("logStreamNamePrefix")
    if names and prefix:
        raise _invalid("logStreamNames and logStreamNamePrefix cannot both be given.")
    group = _group_name(parameters)
    if names:
        return [call.backends.log_streams.stream(group, name) for name in names]
    return call.backends.log_streams.streams(group, prefix or "")


def _filtered(stream: LogStream, event: LogEvent) -> Parameters:
    return {
        "logStreamName": stream.name,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.timestamp_ms,
        "eventId": f"{zlib.crc32(stream.name.encode()):010d}{event.offset:046d}",
    }


def _of_those_there(describe: Callable[[T], Parameters], names: Sequence[T]) -> list[Parameters]:
    """Descriptions of what has not been deleted meanwhile."""
    found = []
    for name in names:
        with contextlib.suppress(NoSuchGroupError, FileNotFoundError):
            found.append(describe(name))
    return found


def _group(call: Call, name: str) -> Parameters:
    streams = call.backends.log_streams.streams(name)
    arn = _arn(call, name)
    return {
        "logGroupName": name,
        "creationTime": int(call.backends.log_streams.created_at(name) * 1000),
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": sum(stream.size_bytes for stream in streams),
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    }


def _stream(call: Call, stream: LogStream) -> Parameters:
    first = next(read_events(stream.path, 0), None)
    last_ms = _last_ms(stream)
    created_ms = first.timestamp_ms if first is not None else int(stream.created_at * 1000)
    return {
        "logStreamName": stream.name,
        "creationTime": created_ms,
        "firstEventTimestamp": first and first.timestamp_ms,
        "lastEventTimestamp": last_ms,
        "lastIngestionTime": last_ms,
        "arn": f"{_arn(call, stream.group)}:log-stream:{stream.name}",
        "storedBytes": 0,  # as AWS has answered since 2019
    }


def _last_ms(stream: LogStream) -> int | None:
    last = next(read_events_backward(stream.path, None), None)
    return None if last is None else last.timestamp_ms


def _arn(call: Call, group: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account_id}:log-group:{group}"


def _group_name(parameters: Parameters) -> str:
    name, identifier = parameters.get("logGroupName"), parameters.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise _invalid("Exactly one of logGroupName and logGroupIdentifier must be given.")
    text = str(name or identifier)
    return text.partition(":log-group:")[2].removesuffix(":*") if text.startswith("arn:") else text


def _create(kind: str, create: Callable[[], None]) -> None:
    try:
        create()
    except FileExistsError as error:
        raise ServiceError(
            "ResourceAlreadyExistsException", f"The specified {kind} already exists"
        ) from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise _invalid(f"The name of the {kind} is too long for this machine's files") from error


def _write_name_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_name_token(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode((token or "").encode()).decode()
    except ValueError as error:
        raise _invalid("The specified nextToken is invalid.") from error


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def _found(operation: PlainOperation) -> Operation:
    """The operation, with CloudWatch's answer where a group or stream is not there."""

    @functools.wraps(operation)
    def perform(call: Call, parameters: Parameters) -> Parameters:
        try:
            return operation(call, parameters)
        except NoSuchGroupError as error:
            raise _not_found("log group") from error
        except (NoSuchStreamError, FileNotFoundError) as error:
            raise _not_found("log stream") from error

    return perform


def _not_found(kind: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"The specified {kind} does not exist.")


OPERATIONS: dict[str, Operation] = {
    "CreateLogGroup": _found(create_log_group),
    "CreateLogStream": _found(create_log_stream),
    "DeleteLogGroup": _found(delete_log_group),
    "DeleteLogStream": _found(delete_log_stream),
    "DescribeLogGroups": _found(describe_log_groups),
    "DescribeLogStreams": _found(describe_log_streams),
    "FilterLogEvents": _found(filter_log_events),
    "GetLogEvents": _found(get_log_events),
    "PutLogEvents": _found(put_log_events),
}
"""Operations by name."""
