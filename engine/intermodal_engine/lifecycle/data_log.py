"""Lines of the engine's own in log streams, those of endpoints above all."""

import os

from intermodal_engine.drivers.supervision.log import Log
from intermodal_engine.lifecycle.fleet_kind import ENDPOINT
from intermodal_engine.store.log_streams import LogStreams


class DataLog:
    """The streams `VARIANT/data-log` of all endpoints.

    Args:
        log_streams: names the files.
    """

    def __init__(self, log_streams: LogStreams) -> None:
        self._log_streams = log_streams

    def say(self, endpoint: str, variant: str, message: str) -> None:
        """Adds a line."""
        group = f"{ENDPOINT.log_group_prefix}{endpoint}"
        write_line(self._log_streams, group, f"{variant}/data-log", message)


def write_line(log_streams: LogStreams, group: str, stream: str, message: str) -> None:
    """Adds a line to a stream, which is there from then on."""
    path = log_streams.path(group, stream)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = Log(str(path))
    log.write(message.encode())
    os.close(log.fd)
