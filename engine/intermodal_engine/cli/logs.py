"""`intermodal logs`: a job's or an endpoint's output, from the files that the API reads too."""

import argparse
import contextlib
import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.errors import IntermodalError
from intermodal_contract.statuses import TrainingJobStatus, is_terminal
from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.clock import SystemClock
from intermodal_engine.lifecycle import (
    processing_instances,
    training_instances,
    transform_instances,
)
from intermodal_engine.lifecycle.fleet_kind import FLEET_KINDS
from intermodal_engine.settings import Settings
from intermodal_engine.store.database import Database
from intermodal_engine.store.log_pages import read_events
from intermodal_engine.store.log_streams import LogEvent, LogStream, LogStreams, NoSuchGroupError
from intermodal_engine.store.records import Records

_JOBS = (training_instances, processing_instances, transform_instances)

# Files cannot be waited on with the standard library alone.
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Line:
    timestamp_ms: int
    instance: str
    text: str


class _Follower:
    """Reads what is new in all streams of a name, each time it is asked.

    Args:
        log_streams: where they are.
        name: of a job or an endpoint.
    """

    def __init__(self, log_streams: LogStreams, name: str) -> None:
        self._log_streams = log_streams
        self._name = name
        self._offsets: dict[Path, int] = {}

    def streams(self) -> list[LogStream]:
        """The streams that there are by now."""
        found = []
        for group, prefix in (
            *((kind.LOG_GROUP, f"{self._name}/") for kind in _JOBS),
            *((f"{kind.log_group_prefix}{self._name}", "") for kind in FLEET_KINDS),
        ):
            try:
                found += self._log_streams.streams(group, prefix)
            except NoSuchGroupError:
                continue
        return found

    def new_lines(self) -> Iterator[_Line]:
        """What has been written since the last call, in the order of time."""
        return heapq.merge(
            *(self._new_lines(stream) for stream in self.streams()),
            key=lambda line: line.timestamp_ms,
        )

    def _new_lines(self, stream: LogStream) -> Iterator[_Line]:
        instance = stream.name.rpartition("/")[2]
        for event in self._new_events(stream.path):
            for text in event.message.split("\n"):
                yield _Line(event.timestamp_ms, instance, text)

    def _new_events(self, path: Path) -> Iterator[LogEvent]:
        for event in read_events(path, self._offsets.get(path, 0)):
            self._offsets[path] = event.end
            yield event


def logs(options: argparse.Namespace) -> int:
    """Prints the log, and goes on until the job's end where that is asked for."""
    settings = settings_of(options)
    follower = _Follower(LogStreams(settings.logs_folder), options.name)
    with _opened_records(settings) as records:
        return _print(settings, options, follower, records)


def _print(
    settings: Settings, options: argparse.Namespace, follower: _Follower, records: Records | None
) -> int:
    if not follower.streams() and _status(records, options.name) is None:
        raise IntermodalError(
            f"there is no job or endpoint `{options.name}` on `{settings.home}`",
            hint="`intermodal exec -- aws sagemaker list-training-jobs` names them, or choose "
            "another engine with `--home`",
        )
    while True:
        status = _status(records, options.name)
        has_several = len(follower.streams()) > 1
        for line in follower.new_lines():
            print(f"{line.instance} | {line.text}" if has_several else line.text, flush=True)
        if not options.follow:
            return EXIT_OK
        if _has_ended(status):
            print_note(f"`{options.name}` has ended: {status or 'deleted'}")
            return EXIT_OK
        time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def _opened_records(settings: Settings) -> Iterator[Records | None]:
    """The records of the home; None where no engine ever ran."""
    if not settings.database_file.exists():
        yield None
        return
    with contextlib.closing(Database(settings.database_file)) as database:
        yield Records(database, SystemClock())


def _status(records: Records | None, name: str) -> str | None:
    """The status of the job of that name, of whichever kind, else of the endpoint."""
    if records is None:
        return None
    kinds = [kind.KIND for kind in _JOBS] + [kind.name for kind in FLEET_KINDS]
    found = (records.find(kind, name) for kind in kinds)
    return next((record.status for record in found if record is not None), None)


def _has_ended(status: str | None) -> bool:
    """Whether nothing more will be written; an endpoint writes until it is deleted.

    Jobs of all kinds end with the same words.
    """
    return status is None or (
        status in TrainingJobStatus.__members__.values() and is_terminal(TrainingJobStatus(status))
    )
