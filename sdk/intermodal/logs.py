"""A job's or endpoint's log lines out of CloudWatch Logs: one stream and one token an instance."""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from intermodal.interruption import uninterrupted
from intermodal.live import LogLine

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
ENDPOINT_GROUP = "/aws/sagemaker/Endpoints"
KEPT_LINES = 20
_TRAINING_STREAM = re.compile(r"(algo-\d+)-\d+")


class LogTail:
    """Reads on where it left off.

    Args:
        client: a boto3 CloudWatch Logs client.
        group: the log group.
        prefix: what the streams' names begin with; `JOB/` for a training job.
        instances: how many streams there will be, `None` if nobody knows.
    """

    def __init__(self, client: Any, group: str, prefix: str, instances: int | None = None) -> None:
        self._client = client
        self._group = group
        self._prefix = prefix
        self._instances = instances
        self._tokens: dict[str, str | None] = {}
        self._held: list[LogLine] = []
        self.last: deque[LogLine] = deque(maxlen=KEPT_LINES)

    @property
    def streams(self) -> list[str]:
        """The streams seen so far."""
        return list(self._tokens)

    def read(self, *, to_the_end: bool = False) -> None:
        """Fetch what is new, for `take`; what was fetched is kept if this breaks off.

        Args:
            to_the_end: until every stream says that there is no more; otherwise a page a stream.
        """
        if to_the_end or self._instances is None or len(self._tokens) < self._instances:
            for name in self._names():
                self._tokens.setdefault(name, None)
        for stream in self._tokens:
            self._hold(stream, to_the_end=to_the_end)

    def take(self) -> list[LogLine]:
        """The lines that were read since the last call."""
        lines = sorted(self._held, key=lambda line: line.time_ms)
        self._held.clear()
        self.last.extend(lines)
        return lines

    def end(self) -> list[LogLine]:
        """The last lines of each stream, whatever was read before."""
        lines = []
        for stream in self._names():
            self._tokens.setdefault(stream, None)
            answer = self._client.get_log_events(
                logGroupName=self._group,
                logStreamName=stream,
                startFromHead=False,
                limit=KEPT_LINES,
            )
            lines += self._lines(stream, answer)
        lines.sort(key=lambda line: line.time_ms)
        self.last.extend(lines)
        return list(self.last)

    def _names(self) -> Iterator[str]:
        which = {"logStreamNamePrefix": self._prefix} if self._prefix else {}
        pages = self._client.get_paginator("describe_log_streams").paginate(
            logGroupName=self._group, orderBy="LogStreamName", **which
        )
        try:
            for page in pages:
                yield from (stream["logStreamName"] for stream in page["logStreams"])
        except self._client.exceptions.ResourceNotFoundException:
            # The group comes into being with the account's first job.
            return

    def _hold(self, stream: str, *, to_the_end: bool) -> None:
        while True:
            token = self._tokens[stream]
            resume = {"nextToken": token} if token else {}
            answer = self._client.get_log_events(
                logGroupName=self._group, logStreamName=stream, startFromHead=True, **resume
            )
            lines = self._lines(stream, answer)
            with uninterrupted():
                self._held += lines
                self._tokens[stream] = answer["nextForwardToken"]
            # The service says "no more for now" by giving back the token that it got.
            if answer["nextForwardToken"] == token or not (to_the_end or lines):
                return
            if not to_the_end and len(lines) < 1000:
                return

    def _lines(self, stream: str, answer: Any) -> list[LogLine]:
        host = self._host(stream)
        return [
            LogLine(event["timestamp"], host, event["message"].rstrip("\n"))
            for event in answer["events"]
        ]

    def _host(self, stream: str) -> str:
        name = stream.removeprefix(self._prefix) or stream
        match = _TRAINING_STREAM.fullmatch(name)
        return match.group(1) if match else name
